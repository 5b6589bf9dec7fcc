"""How the cost grows with resolution, classes, images a step and processes; from :mod:`gholm_lib.scale`'s table."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gholm_lib import plots

_STYLES = (("#000000", "-", "o"), ("#0072B2", "--", "s"), ("#D55E00", ":", "^"))
_PANELS = (
    ("resolution", "operations", "side of the image in pixels"),
    ("classes", "operations", "classes"),
    ("processes", "images a second", "processes (one thread each)"),
    ("resolution", "ms an image", "side of the image in pixels"),
    ("images a step", "ms an image", "images a step"),
    ("global batch", "ms an image", "images of all processes a step"),
)
_UNITS = {"operations": "operations an image", "ms an image": "milliseconds an image"}


def growth_curves(table: pd.DataFrame, machine: str) -> Figure:
    """One panel for each axis and unit of the table of :func:`gholm_lib.scale.growth`.

    machine  on which the measured rows were measured
    """
    fig, axes = plots.styled(3, 2, size=(5.4, 4.2))
    for ax, (axis, unit, words) in zip(axes.flat, _PANELS, strict=True):
        rows = table[(table["axis"] == axis) & (table["unit"] == unit)]
        for (what, own), (colour, dash, marker) in zip(
            rows.groupby("what", sort=False), _STYLES, strict=False
        ):
            label = what.split(": ")[-1]
            ax.plot(own["value"], own["number"], color=colour, linestyle=dash, marker=marker, label=label)
        ax.set(xlabel=words, ylabel=_UNITS.get(unit, unit))
        ax.set_title(", ".join(sorted(set(rows["how"]))), fontsize=15)
        ax.set_ylim(0, None) if unit != "operations" else ax.set_yscale("log")
        _ticks(ax, rows["value"])
        ax.legend(frameon=False, fontsize=14)
    fig.supxlabel(_note(table, machine), fontsize=12, color="0.35")
    return fig


def _ticks(ax: Axes, values: pd.Series) -> None:
    ticks = sorted(set(values))
    if ticks[-1] >= 10 * ticks[0]:
        ax.set_xscale("log")
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.minorticks_off()


def _note(table: pd.DataFrame, machine: str) -> str:
    computed = sorted({w.split(": ")[0] for w in table.loc[table["how"] == "computed", "what"]})
    return (
        f"computed: operations of {', '.join(computed)}; a multiply-add is two, backward is twice forward. "
        f"measured: the mini network on this processor, {machine};\n"
        "floor: the plain network on as many images. Several GPUs: not measured"
    )
