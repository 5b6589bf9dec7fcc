"""The figures of a finished search: accuracy over the learning rate, and what each row has beyond Raw."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from gholm_kit import style
from gholm_kit.reproduction import jobs
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.paper_figures import Drawn
from gholm_kit.reproduction.tuning import Progress, Search
from gholm_kit.reproduction.tuning_tables import curves, own_best
from gholm_kit.table import Change

_DASHES, _MARKS = ("-", "--", "-.", ":"), "osD^vPX*"
_SHOWN = ("Raw", "Raw + Crop")  # in both panels, as what the controls are compared with


@style.in_style
def draw_tuning(search: Search, state: Progress, archive: Archive) -> Drawn:
    """Held-out accuracy over the learning rate: on the left the branches, on the right the controls.

    A ring marks each row's best. Of the lengths of schedule, the better one at each rate is drawn.
    """
    lines = curves(search, state, archive)
    branches = [name for name in lines if name in jobs.ROWS]
    controls = [name for name in lines if name not in jobs.ROWS or name in _SHOWN]
    groups = [names for names in (branches, controls) if set(names) - set(_SHOWN) or names is branches]
    fig, axes = style.styled(len(groups), size=(7, 6), sharey=True, squeeze=False)
    for ax, names in zip(axes[0], groups, strict=True):
        _panel(ax, {name: lines[name] for name in names}, lines)
    axes[0][0].set_ylabel("held-out accuracy (%)")
    return Drawn(
        fig,
        _alt(search, lines),
        {
            "config": search.ours.to_dict(),
            "curves": {n: [list(p) for p in points] for n, points in lines.items()},
        },
    )


@style.in_style
def draw_owed(search: Search, state: Progress, archive: Archive) -> Drawn:
    """What the crop owes to the heatmap: each row minus Raw on test images, both at their own best.

    Intervals: 95 %. Rows without a difference (not run, diverged, unstable) have no point.
    """
    rows = [row.name for row in search.rows][1:]
    changes = {
        n: r.change for n, r in zip(rows, own_best(search, state, archive)[1:], strict=True) if r.change
    }
    fig, axes = style.styled(size=(11, 1.6 + 0.52 * len(rows)), squeeze=False)
    ax = axes[0][0]
    ax.axvline(0, color="0.5", linewidth=1.5)
    for place, name in enumerate(rows):
        change = changes.get(name)
        if change is None:
            continue
        colour = _owed_colour(name)
        ax.plot([change.low, change.high], [place, place], color=colour)
        ax.plot(change.mean, place, "o", color=colour, markersize=10)
        ax.annotate(
            str(Change(change)).split(" (")[0],
            (change.mean, place),
            (0, 9),
            ha="center",
            textcoords="offset points",
            fontsize=12,
            bbox={"fc": "white", "ec": "none", "pad": 0.5},  # legible across the line of 0
        )
    ax.set_yticks(range(len(rows)), rows)
    ax.set_ylim(len(rows) - 0.4, -0.8)
    ax.set_xlabel("test accuracy minus Raw's (points), with 95 % interval")
    style.say_if_drawn(fig, search.ours.dataset)
    told = "; ".join(f"{name} {Change(change)}" for name, change in changes.items())
    alt = f"Difference to Raw on test images of {search.ours.dataset}, each row at its own best: {told}."
    return Drawn(fig, alt, {"config": search.ours.to_dict(), "told": told})


def _owed_colour(name: str) -> str:
    """Branches of the method, second looks at other places, and more training without a second look."""
    if name in jobs.ROWS:
        return style.COLOURS["crop"]
    return style.COLOURS["raw"] if name.startswith("Crop") else "0.35"


def search_figures(search: Search) -> dict[str, Callable[[Search, Progress, Archive], Drawn]]:
    """The figures of a finished search, by the beginning of their file names; "owed" only with controls."""
    controls = any(row.name not in jobs.ROWS for row in search.rows)
    return {"tuning": draw_tuning} | ({"owed": draw_owed} if controls else {})


def _panel(ax: Axes, lines: dict[str, list[tuple[float, float]]], order: Iterable[str]) -> None:
    """One panel; a row has the same colour, dash and mark in both."""
    place = {name: k for k, name in enumerate(order)}
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    for name, points in lines.items():
        if not points:
            continue
        k = place[name]
        look = {
            "color": colours[2 * k % 20 + 2 * k // 20],
            "linestyle": _DASHES[k % 4],
            "marker": _MARKS[k % 8],
        }
        rates, accuracies = zip(*points, strict=True)
        ax.plot(rates, accuracies, label=name, **look)
        best = max(points, key=lambda point: point[1])
        ax.plot(*best, "o", markersize=16, markerfacecolor="none", markeredgecolor=look["color"], linewidth=0)
    ticks = sorted({rate for points in lines.values() for rate, _ in points})
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel("learning rate")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=11)


def _alt(search: Search, lines: dict[str, list[tuple[float, float]]]) -> str:
    bests = {name: max(points, key=lambda point: point[1]) for name, points in lines.items() if points}
    told = "; ".join(f"{name} {best:.1f} % at {rate:g}" for name, (rate, best) in bests.items())
    return f"Accuracy on held-out images of {search.ours.dataset} over the learning rate. Best of each row: {told}."
