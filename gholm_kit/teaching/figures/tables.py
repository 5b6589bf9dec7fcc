"""Figures of tables: the paper's gains next to the measured ones, the ledger's readings, the test images needed.

A dot with its 95 % interval is a measured difference, a hollow diamond is the paper's number. Entries that were not
run, or have no common mean, are labelled as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gholm_kit import style
from gholm_lib.uncertainty import Difference, images_needed

MEASURED, PAPER, OTHER = "#000000", "#D55E00", "#0072B2"
FAR = 15  # points; a larger effect becomes an arrow, so that the scale still fits the others


def _dot(ax: Axes, x: float, delta: Difference, **style) -> None:
    error = [[delta.mean - delta.low], [delta.high - delta.mean]]
    look = {"fmt": "o", "color": MEASURED, "markersize": 9, "capsize": 5, "lw": 2}
    ax.errorbar(x, delta.mean, yerr=error, **(look | style))


def _papers(ax: Axes, x: float, value: float, label: str | None) -> None:
    ax.plot(x, value, "D", mfc="white", mec=PAPER, mew=2.5, markersize=11, label=label, zorder=4)


def _zero(ax: Axes) -> None:
    ax.axhline(0, color="0.6", lw=1.5, zorder=0)


def _drawn(fig: Figure, datasets: Sequence[str]) -> None:
    if any(d.startswith("mini_") for d in datasets):
        fig.supxlabel("measured on drawn teaching data, not photographs", fontsize=11, color="0.35")


@style.in_style
def steps(panels: Mapping[str, Mapping[str, tuple[float, Difference | str | None]]]) -> Figure:
    """What each branch adds, one panel per data set: name → (the paper's gain, the measured gain or why there is
    none; None: not run)."""
    fig, axes = style.styled(len(panels), 1, size=(6.2, 4.6), sharey=True, squeeze=False)
    for ax, (dataset, rows) in zip(axes[0], panels.items(), strict=True):
        _zero(ax)
        for x, (paper, delta) in enumerate(rows.values()):
            _papers(ax, x - 0.12, paper, "the paper" if x == 0 else None)
            if not isinstance(delta, Difference):
                words, look = f" {delta or 'not run'}", {"fontsize": 14, "color": "0.4"}
                ax.text(x + 0.12, 0, words, rotation=90, ha="center", va="bottom", **look)
            else:
                _dot(ax, x + 0.12, delta, label=f"measured, {delta.seeds} seed(s)" if x == 0 else None)
        ax.set_xticks(range(len(rows)), rows)
        ax.set(title=dataset, xlim=(-0.5, len(rows) - 0.5))
        ax.legend()
    axes[0, 0].set_ylabel("points above the previous row")
    _drawn(fig, list(panels))
    return fig


def steps_in_words(panels: Mapping[str, Mapping[str, tuple[float, Difference | str | None]]]) -> str:
    """The numbers that :func:`steps` shows."""
    told = []
    for dataset, rows in panels.items():
        said = (
            f"{name} {paper:+.1f} in the paper, {_measured(delta)}" for name, (paper, delta) in rows.items()
        )
        told.append(f"{dataset}: {'; '.join(said)}")
    return ". ".join(told)


def _measured(delta: Difference | str | None) -> str:
    return f"{delta.mean:+.1f} measured" if isinstance(delta, Difference) else delta or "not run"


@style.in_style
def mu_steps(
    paper: Mapping[float, float],
    trained: Mapping[float, Difference | None],
    tested: Mapping[float, Difference | None],
    dataset: str,
) -> Figure:
    """Table 4 as points above mu = 1.7: the paper's, trained with each mu, one network tested with each."""
    fig, ax = style.styled(size=(10, 4.8))
    _zero(ax)
    for k, mu in enumerate(paper):
        _papers(ax, mu, paper[mu], "the paper" if k == 0 else None)
    series = (
        (trained, -0.012, MEASURED, "o", "trained with μ"),
        (tested, 0.012, OTHER, "s", "tested with μ only"),
    )
    for values, shift, colour, marker, name in series:
        label = name
        for mu, delta in values.items():
            if delta is not None:
                _dot(ax, mu + shift, delta, color=colour, fmt=marker, label=label)
                label = None
        if label == name:
            ax.plot([], [], marker, color=colour, label=f"{name}: not run")
    ax.set(xlabel="μ", ylabel="points above μ = 1.7", xticks=list(paper))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    _drawn(fig, [dataset])
    return fig


def mu_in_words(series: Mapping[str, Mapping[float, Difference | None]]) -> str:
    """The measured numbers that :func:`mu_steps` shows."""
    return "; ".join(
        f"{name}: " + (", ".join(f"{mu:g} {_measured(delta)}" for mu, delta in values.items()) or "not run")
        for name, values in series.items()
    )


Line = tuple[str, Difference, str]  # a reading in words, its effect in points, the verdict


@style.in_style
def readings(blocks: Mapping[str, Sequence[Line]], dataset: str) -> dict[str, Figure]:
    """The ledger's measured readings, one figure for each block, the largest gain on top, all on one scale.

    An effect beyond FAR points is an arrow with its number. The axis ends there too, even where an interval goes
    on, so that small effects stay readable.
    """
    near = [delta for lines in blocks.values() for _, delta, _ in lines if abs(delta.mean) <= FAR]
    reach = min(FAR, max((abs(x) for d in near for x in (d.low, d.high)), default=1)) + 1
    return {block: _block(block, by_effect(lines), reach, dataset) for block, lines in blocks.items()}


def by_effect(lines: Sequence[Line]) -> list[Line]:
    """The largest gain first."""
    return sorted(lines, key=lambda line: -line[1].mean)


def _block(block: str, lines: Sequence[Line], reach: float, dataset: str) -> Figure:
    fig, ax = style.styled(size=(12, 0.62 * len(lines) + 1.6))
    ax.axvline(0, color="0.6", lw=1.5, zorder=0)
    for k, (_, delta, words) in enumerate(lines):
        colour = {"better": OTHER, "worse": PAPER}.get(words, MEASURED)
        if abs(delta.mean) > FAR:
            _far_away(ax, k, delta.mean, colour)
        else:
            look = {"color": colour, "mfc": colour if words in ("better", "worse") else "white"}
            error = [[delta.mean - delta.low], [delta.high - delta.mean]]
            ax.errorbar(delta.mean, k, xerr=error, fmt="o", mew=2, markersize=9, capsize=4, lw=2, **look)
    ax.set_yticks(range(len(lines)), [name for name, *_ in lines])
    ax.set(title=block, xlabel="points above our reading")
    ax.set(ylim=(len(lines) - 0.5, -0.5), xlim=(-reach, reach))
    _drawn(fig, [dataset])
    return fig


def readings_in_words(lines: Sequence[Line]) -> str:
    """The lines of one figure of :func:`readings`, with their effects."""
    told = (f"{name}: {_minus(delta.mean)}, {words}" for name, delta, words in by_effect(lines))
    return "; ".join(told).replace("\n", " ")


def _minus(value: float) -> str:
    """With a sign, and the minus as axes have it."""
    return f"{value:+.1f}".replace("-", "−")


def _far_away(ax: Axes, row: int, value: float, colour: str) -> None:
    """An arrow at the edge of the chart, independent of its scale, and the number."""
    side = value > 0
    place = {"transform": ax.get_yaxis_transform(), "color": colour}
    ax.plot(float(side), row, ">" if side else "<", markersize=12, clip_on=False, **place)
    ax.text(0.98 if side else 0.02, row, _minus(value), ha="right" if side else "left", va="center", **place)


@style.in_style
def images_for(accuracy: float, disagreement: float | None, marks: Mapping[str, int]) -> Figure:
    """Test images needed to detect a difference (80 % power, 5 % level), unpaired and paired; marks: test sets."""
    fig, ax = style.styled(size=(9.5, 4.8))
    points = np.geomspace(0.1, 5, 60)
    unpaired = [images_needed(p, accuracy) for p in points]
    ax.plot(points, unpaired, color=PAPER, ls="--", label="two test sets (unpaired)")
    if disagreement is not None:
        paired = [images_needed(p, accuracy, max(disagreement, p / 100)) for p in points]
        label = f"the same images, {100 * disagreement:.0f} % of answers differ"
        ax.plot(points, paired, color=OTHER, label=label)
    for name, count in marks.items():
        ax.axhline(count, color="0.5", ls=":", lw=1.8)
        ax.text(0.206, count * 1.08, name, ha="left", va="bottom", fontsize=14, color="0.3")
    ax.axvline(0.2, color="0.5", lw=1.2)
    ax.text(0.194, 1.1e4, "the paper's\n0.2 points", ha="right", fontsize=14, va="bottom", color="0.3")
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="true difference in points",
        ylabel="test images",
        ylim=(200, 2.2e6),
    )
    ax.set_xticks([0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"])
    ax.legend(loc="upper right")
    return fig
