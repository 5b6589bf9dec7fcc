"""Table and figure of the second looks, from their answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from gholm_kit import style
from gholm_kit.reproduction import verdicts
from gholm_kit.reproduction.second_looks import AGAIN, MUS, PLACES, SOURCES, SecondLooks, look_name, readings
from gholm_kit.reproduction.sheets import Drawn
from gholm_kit.table import Change, PValue, Table
from gholm_lib.uncertainty import Difference, difference

NAME = "second_looks"
_CUT_FROM = {"input": "the network's input", "original": "the original picture"}
_WORDS = {"heatmap": "by the heatmap", "random": "at a random place", "centre": "in the centre"}
_ANSWERS = {"both": "Raw + second look", "second": "second look alone"}


@dataclass(frozen=True)
class _Row:
    """A second look in the table; ``controls`` are the looks at boxes of the same size elsewhere."""

    look: str
    words: str
    cut_from: str | None = None
    mu: float | None = None
    controls: tuple[str, ...] = ()


def _rows(default_mu: float) -> Iterator[_Row]:
    for source in SOURCES:
        for mu in MUS:
            look, *controls = (look_name(source, place, mu) for place in PLACES)
            yield _Row(look, "Crop, eq. (5)", _CUT_FROM[source], mu, tuple(controls))
    for question, reading in readings():
        mu = reading.changes.get("mu", default_mu)
        yield _Row(reading.name, f"{question.asks} {reading.name}", _CUT_FROM["input"], mu)
    yield _Row(AGAIN, "control: the whole picture, mirrored")


def second_looks_table(answers: SecondLooks) -> Table:
    """Accuracy of each second look alone and in the sum, and what it changes."""
    rows = list(_rows(answers.about["config"]["mu"]))
    changes = [difference(answers.correct(r.look), answers.correct(None)) for r in rows]
    signs = verdicts.directions(changes)
    told = [_told(answers, *each) for each in zip(rows, changes, signs, strict=True)]
    return Table(NAME, "Second looks at photographs, without any training", told, _notes(answers))


def _told(answers: SecondLooks, row: _Row, change: Difference, sign: int | None) -> dict[str, Any]:
    alone, both = answers.correct(row.look, "second"), answers.correct(row.look)
    return {
        "second look": row.words,
        "cut from": row.cut_from,
        "μ": row.mu and f"{row.mu:g}",
        "share of the picture, %": 100 * float(answers.area[answers.place[row.look]].mean(dtype=float)),
        "it alone": 100 * float(alone.mean()),
        "alone minus Raw": Change(difference(alone, answers.correct(None))),
        **_minus_controls(answers, row, "second", "alone minus"),
        "Raw + it": 100 * float(both.mean()),
        "Raw + it minus Raw": Change(change),
        "p": PValue(change.p),
        "verdict": verdicts.of_effect(sign),
        **_minus_controls(answers, row, "both", "Raw + it minus Raw +"),
    }


def _minus_controls(answers: SecondLooks, row: _Row, answer: str, words: str) -> dict[str, Change | None]:
    """The look minus boxes of the same size, both alone or both in the sum; None where there is no such box."""
    own = answers.correct(row.look, answer)
    found = [Change(difference(own, answers.correct(c, answer))) for c in row.controls] or [None, None]
    return {
        f"{words} {box}": change for box, change in zip(("random box", "centred box"), found, strict=True)
    }


def _notes(answers: SecondLooks) -> list[str]:
    about, raw = answers.about, answers.correct(None)
    return [
        f"EfficientNet-Lite0 with ImageNet's own classifier, {raw.size} photographs, one of each class "
        f"({about['photographs']['page']}). Raw alone: {100 * raw.mean():.1f} %. Nothing was trained. The "
        "photographs come from ImageNet and may be among those that the network learned from, so the differences "
        "say more than the accuracies.",
        "Differences in points, with their 95 % intervals over the photographs; all looks are at the same ones. "
        "*Better* or *worse*: Raw + it against Raw, significant at 5 % after Holm's correction over the rows. "
        "Random and centred boxes have the same size; the intervals of their columns are not corrected.",
        "The network's input has 224 × 224 pixels; from the original picture, the box is cut at twice that size. "
        "The rows that ask a question are the other readings of the ledger.",
    ]


# ---------------------------------------------------------------------- the figure

_LINES = {
    "heatmap": {"color": style.COLOURS["crop"], "linestyle": "-", "marker": "o"},
    "random": {"color": style.COLOURS["drop"], "linestyle": ":", "marker": "s"},
    "centre": {"color": style.COLOURS["raw"], "linestyle": "--", "marker": "D"},
}


@style.in_style
def draw_second_looks(answers: SecondLooks) -> Drawn:
    """Difference to Raw over mu: above the sum, below the second look alone; left and right the two sources."""
    fig, axes = style.styled(len(SOURCES), len(_ANSWERS), size=(6.5, 4.5), sharex=True, sharey="row")
    for row, (answer, name) in zip(axes, _ANSWERS.items(), strict=True):
        for ax, source in zip(row, SOURCES, strict=True):
            _panel(ax, answers, source, answer)
        row[0].set_ylabel(f"{name}\nminus Raw (points)")
    for ax, source in zip(axes[0], SOURCES, strict=True):
        ax.set_title(f"cut from {_CUT_FROM[source]}")
    for ax in axes[-1]:
        ax.set_xlabel("μ")
    axes[0][0].legend(loc="lower left", fontsize=11)
    return Drawn(fig, _alt(answers), {"answers": _digest(answers)})


def _panel(ax: Axes, answers: SecondLooks, source: str, answer: str) -> None:
    ax.axhline(0, color="0.5", linewidth=1)
    mirrored = _against_raw(answers, AGAIN, answer).mean
    ax.axhline(mirrored, color="0.2", linewidth=1.5, linestyle="-.", label="whole picture, mirrored")
    for place, look in _LINES.items():
        found = [_against_raw(answers, look_name(source, place, mu), answer) for mu in MUS]
        ax.plot(MUS, [d.mean for d in found], label=_WORDS[place], **look)
        if place == "heatmap":
            ax.fill_between(
                MUS, [d.low for d in found], [d.high for d in found], color=look["color"], alpha=0.15
            )


def _against_raw(answers: SecondLooks, look: str, answer: str) -> Difference:
    return difference(answers.correct(look, answer), answers.correct(None))


def _alt(answers: SecondLooks) -> str:
    told = [f"Accuracy minus Raw's over μ from {MUS[0]:g} to {MUS[-1]:g}, for boxes of equal size."]
    for source in SOURCES:
        for place in PLACES:
            means = [_against_raw(answers, look_name(source, place, mu), "both").mean for mu in MUS]
            words = f"cut from {_CUT_FROM[source]}, {_WORDS[place]}"
            told.append(f"Raw + second look, {words}: {min(means):+.1f} to {max(means):+.1f} points.")
    return " ".join(told)


def _digest(answers: SecondLooks) -> str:
    arrays = (answers.label, answers.raw, answers.second, answers.both)
    return hashlib.sha256(b"".join(np.ascontiguousarray(a, "<i2").tobytes() for a in arrays)).hexdigest()
