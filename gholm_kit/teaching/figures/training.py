"""Figures and tables of chapter 05: recipe, schedule, the parts of the loss and of a step, reading a record."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from unittest import mock

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gholm_kit import style
from gholm_kit.speed.timing import OURS, STAGES, TRAINING
from gholm_lib import training
from gholm_lib.config import Config
from gholm_lib.predictions import Predictions
from gholm_lib.records import Record

_TERMS = {
    "raw": "Raw (eq. 7)",
    "crop": "Crop (eq. 8)",
    "drop": "γ · Drop (eq. 9)",
    "sup": "contrastive (eq. 11)",
}
# Stages of a pass that the plain network does not have.
_OWN = ["heatmap", "threshold and boxes", "crop", "erase"]
_HATCHES = {"raw": "", "crop": "//", "drop": "..", "sup": "xx"}


# ---------------------------------------------------------------------- the recipe


@dataclass(frozen=True)
class Note:
    """What the source of the Config says about a field."""

    group: str  # heading in the comments above the field, "" before the first
    text: str  # its docstring


@lru_cache
def notes() -> dict[str, Note]:
    """Field of the Config → its group and docstring, read from the source, so that no table repeats them."""
    source = inspect.getsource(Config)
    lines, body = source.splitlines(), ast.parse(source).body[0].body
    headings = [(n, m[1]) for n, line in enumerate(lines, 1) if (m := re.match(r"\s*# --- (.+) ---", line))]
    found = {}
    for node, after in itertools.pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
            group = [heading for line, heading in headings if line < node.lineno]
            text = " ".join(after.value.value.split())
            found[node.target.id] = Note(group[-1] if group else "", text)
    return found


def recipe(settings: Mapping[str, Config], wanted: Sequence[str]) -> str:
    """Markdown table of some settings: one column per config, and each setting's source or reason.

    wanted  names of fields, or the first words of a group's heading, for example "losses" or "optimisation"
    raises  ValueError when there is neither a field nor a group of that name
    """
    lines = [
        "| setting | " + " | ".join(settings) + " | source, reason |",
        "|---|" + "---|" * (len(settings) + 1),
    ]
    for word in wanted:
        group = {k: n for k, n in notes().items() if n.group.startswith(word)}
        if word not in notes() and not group:
            known = sorted({n.group for n in notes().values()} - {""})
            raise ValueError(f"the Config has no field and no group {word!r}; choose from {', '.join(known)}")
        if word not in notes():
            lines.append(f"| **{next(iter(group.values())).group}** |" + " |" * (len(settings) + 1))
        for name in [word] if word in notes() else group:
            values = [_plain(getattr(c, name)) for c in settings.values()]
            text = notes()[name].text.replace("|", "\\|")
            lines.append("| " + " | ".join([f"`{name}`", *values, text]) + " |")
    return "\n".join(lines)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "–"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@style.in_style
def schedule(settings: Mapping[str, Config]) -> Figure:
    """Learning rate over the epochs of each config, from the function that training uses."""
    fig, axes = style.styled(len(settings), 1, size=(6.2, 4), squeeze=False)
    for ax, (name, config) in zip(axes[0], settings.items(), strict=True):
        epochs = np.arange(config.epochs)
        rates = [training.learning_rate(config, int(e)) for e in epochs]
        # Epoch e, counted from 0, runs from e to e + 1 finished epochs.
        ax.stairs(
            rates, np.append(epochs, config.epochs), baseline=None, linewidth=3, color=style.COLOURS["raw"]
        )
        for decay in config.lr_decay_epochs:
            ax.axvline(decay, color="0.6", linestyle=":", linewidth=1.5)
            ax.text(decay, 1.4 * config.lr, f" after {decay}", fontsize=13, color="0.3")
        ax.set_yscale("log")
        ax.set(ylim=(min(rates) / 2, 2.5 * config.lr), xlim=(0, config.epochs))
        ax.set(xlabel="epochs finished", ylabel="learning rate", title=name)
    return fig


# ---------------------------------------------------------------------- losses of a run


@style.in_style
def total_made_of(record: Record) -> Figure:
    """Eq. (10) and (12) over the epochs of a run: the total loss as a stack of its weighted terms."""
    fig, ax = style.styled(size=(11, 4.6))
    weights = {"raw": 1.0, "crop": 1.0, "drop": record.config["gamma"], "sup": record.config["sup_weight"]}
    epochs = [e["epoch"] for e in record.curve]
    bottom = np.zeros(len(epochs))
    for term, name in _TERMS.items():
        if term in record.curve[0]["losses"]:
            values = weights[term] * np.array([e["losses"][term] for e in record.curve])
            look = {"color": style.COLOURS[term], "hatch": _HATCHES[term], "edgecolor": "white", "width": 0.7}
            ax.bar(epochs, values, bottom=bottom, label=name, **look)
            bottom += values
    ax.set(xlabel="epoch", ylabel="loss (training)", title="Weighted terms of the total loss (eq. 10, 12)")
    ax.set_xticks(epochs)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    style.say_if_drawn(fig, record.config["dataset"])
    return fig


# ---------------------------------------------------------------------- time of a step


def own_stages(table: pd.DataFrame, kind: str = TRAINING) -> tuple[float, float]:
    """Share of a pass that the method's own stages take, and whole pass / floor. ``table`` as for step_time."""
    rows = table[table["pass"] == kind].set_index("stage")
    return float(rows["share of step"].reindex(_OWN).sum()), float(_whole(rows)["ratio to floor"])


def _whole(rows: pd.DataFrame) -> pd.Series:
    """The row of the whole pass; a measurement and a kept file name it differently."""
    return rows.loc["whole" if "whole" in rows.index else f"whole, {OURS}"]


@style.in_style
def step_time(table: pd.DataFrame) -> Figure:
    """Where the time goes, one panel per kind of pass; ``table`` from ``stages`` or ``kept_results``."""
    passes = list(dict.fromkeys(table["pass"]))
    fig, axes = style.styled(len(passes), 1, size=(6.4, 4.8), squeeze=False)
    for ax, kind in zip(axes[0], passes, strict=True):
        rows = table[table["pass"] == kind].set_index("stage")
        parts = 100 * rows["share of step"].reindex([s for s in STAGES if s in rows.index])
        own = [s in _OWN for s in parts.index]
        colours = [style.COLOURS["crop"] if mine else "0.6" for mine in own]
        bars = ax.barh(parts.index, parts, color=colours, height=0.7)
        for bar, mine in zip(bars, own, strict=True):
            bar.set_hatch("//" if mine else "")
            bar.set_edgecolor("white")
        ax.bar_label(bars, [f" {v:.1f} %" for v in parts], fontsize=13)
        ratio = _whole(rows)["ratio to floor"]
        ax.set(title=f"{kind}: {ratio:.2f} × its floor", xlabel="% of the time", xlim=(0, 1.25 * parts.max()))
        ax.invert_yaxis()
    return fig


# ---------------------------------------------------------------------- stopping a run


@contextmanager
def stopped_after(epochs: int) -> Iterator[None]:
    """Inside this context, a run is interrupted as by Ctrl-C once ``epochs`` epochs are done and saved."""
    save = training._Run._save_checkpoint

    def save_and_stop(run, seconds: float) -> None:
        save(run, seconds)
        if len(run.curve) == epochs:
            raise KeyboardInterrupt

    with mock.patch.object(training._Run, "_save_checkpoint", save_and_stop):
        yield


# ---------------------------------------------------------------------- reading a record


def agreement(predictions: Predictions) -> pd.DataFrame:
    """How Raw and Crop agree on the test images, and how many of each kind their sum gets right."""
    raw, crop, both = (predictions.correct(a) for a in ("raw", "crop", "both"))
    kinds = {
        "both right": raw & crop,
        "only Raw": raw & ~crop,
        "only Crop": ~raw & crop,
        "both wrong": ~raw & ~crop,
    }
    rows = {name: (int(kind.sum()), int((kind & both).sum())) for name, kind in kinds.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["images", "sum is right"])


@style.in_style
def predictions_picture(record: Record, classes: Sequence[str]) -> Figure:
    """What a record contains image by image: confusion matrix of the answer, and agreement of Raw and Crop."""
    count = len(classes)
    found = record.predictions
    confusion = np.zeros((count, count), int)
    np.add.at(confusion, (found.label, getattr(found, record.answer)), 1)
    with_crop = record.answer == "both"
    shape = {"gridspec_kw": {"width_ratios": [1.3, 1]}} if with_crop else {}
    fig, axes = style.styled(1 + with_crop, 1, size=(6.6, 5.4), squeeze=False, **shape)
    ax = axes[0, 0]
    ax.imshow(confusion, cmap="Greys")
    if count <= 15:
        ax.set_yticks(range(count), [f"{name}  {k}" for k, name in enumerate(classes, 1)], fontsize=12)
        for row, column in np.argwhere(confusion):
            dark = confusion[row, column] > confusion.max() / 2
            text = {"ha": "center", "va": "center", "fontsize": 11, "color": "white" if dark else "black"}
            ax.text(column, row, str(confusion[row, column]), **text)
        ax.set_xticks(range(count), range(1, count + 1))
    ax.set(title="Confusion matrix: class (rows), answer (columns)")
    if with_crop:
        _agreement_bars(axes[0, 1], agreement(found))
    style.say_if_drawn(fig, record.config["dataset"])
    return fig


def _agreement_bars(ax, table: pd.DataFrame) -> None:
    bars = ax.barh(table.index, table["images"], color="0.8", height=0.7)
    look = {"color": style.COLOURS["raw"], "hatch": "//", "edgecolor": "white", "height": 0.4}
    ax.barh(table.index, table["sum is right"], label="Raw + Crop right", **look)
    ax.bar_label(bars, [f" {n}" for n in table["images"]], fontsize=13)
    ax.set(title="Raw and Crop, image by image", xlabel="test images", xlim=(0, 1.2 * table["images"].max()))
    ax.invert_yaxis()
    ax.legend(loc="lower right", fontsize=12)


# ---------------------------------------------------------------------- last or best epoch


def flat_runs(images: int, wavering: float, epochs: int, runs: int, seed: int = 0) -> np.ndarray:
    """Simulated test accuracy of networks that no longer learn: (runs, epochs), in points around the mean.

    After each epoch, a coin toss decides for a share ``wavering`` of the test images whether they are right; the
    others never change. So every epoch is equally good, and all differences are chance.
    """
    coins = round(wavering * images)
    right = np.random.default_rng(seed).binomial(coins, 0.5, (runs, epochs))
    return 100 * (right - coins / 2) / images


def optimism(accuracies: np.ndarray) -> np.ndarray:
    """(runs, epochs) → (epochs,): mean gain, in points, of the best epoch so far over the current one."""
    return (np.maximum.accumulate(accuracies, 1) - accuracies).mean(0)


def fence(values: Sequence[float]) -> float:
    """Tukey's fence, above which a value is an outlier: upper quartile plus 1.5 distances of the quartiles.

    Zeros do not count: where the last epoch is mostly the best one, every other value would lie outside.
    """
    above = [v for v in values if v > 0]
    if not above:
        return 0.0
    low, high = np.quantile(above, [0.25, 0.75])
    return float(high + 1.5 * (high - low))


@style.in_style
def best_or_last(
    one: np.ndarray, gains: Mapping[str, np.ndarray], seen: Sequence[tuple[int, float, str]], step: float
) -> Figure:
    """How much reporting the best test epoch inflates the accuracy.

    one    (epochs,) a simulated run in points around its mean
    gains  name → optimism by number of epochs tested
    seen   (epochs tested, best − last in points, name) of real runs; one far above the others becomes an arrow at
           the edge, with its value and name, so that the scale fits the others
    step   a difference to compare with, in points, for example between two rows of the paper's Table 2
    """
    fig, (left, right) = style.styled(2, 1, size=(6.4, 4.6))
    epochs = np.arange(1, len(one) + 1)
    left.plot(epochs, one, color="0.5", linewidth=1.5)
    left.axhline(0, color="black", linewidth=1)
    best = int(one.argmax())
    left.plot(best + 1, one[best], "^", color=style.COLOURS["crop"], markersize=14, label="best test epoch")
    left.plot(len(one), one[-1], "s", color=style.COLOURS["raw"], markersize=12, label="last epoch")
    reach = 1.5 * np.abs(one).max() + 0.01
    left.set(
        ylim=(-reach, reach),
        xlabel="epoch",
        ylabel="points from the true accuracy",
        title="One simulated run that no longer learns",
    )
    left.legend(loc="lower center", ncols=2, fontsize=12)
    for (name, gain), dash in zip(gains.items(), ("-", "--", ":", "-."), strict=False):
        right.plot(np.arange(1, len(gain) + 1), gain, dash, label=name, color="black")
    right.axhline(
        step, color=style.COLOURS["drop"], linewidth=2, linestyle=(0, (1, 1)), label=f"{step:g} points"
    )
    if seen:
        usual = max(step, *(gain.max() for gain in gains.values()), fence([y for _, y, _ in seen]))
        look = {"color": style.COLOURS["crop"], "linestyle": "none"}
        near = [(x, y) for x, y, _ in seen if y <= usual]
        right.plot(
            *zip(*near, strict=True), marker="o", markersize=9, label="kept records", alpha=0.7, **look
        )
        right.set_ylim(right.get_ylim()[0], 1.35 * right.get_ylim()[1])
        far = sorted((run for run in seen if run[1] > usual), key=lambda run: -run[1])
        for k, (x, y, name) in enumerate(far):
            place = {"transform": right.get_xaxis_transform(), "clip_on": False}
            right.plot(x, 1, marker="^", markersize=13, **look, **place)
            said = {"va": "top", "fontsize": 12, "color": style.COLOURS["crop"]}
            right.text(x + 1.5, 1 - 0.08 * k, f"{y:.1f}: {name}", **said, **place)
    right.set(xlabel="number of epochs tested", ylabel="points", title="Best test epoch − last epoch")
    fig.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2, fontsize=12)
    return fig
