"""How the cost grows with resolution, classes, images a step and processes; from :mod:`gholm_lib.scale`'s table."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gholm_lib import plots

_STYLES = (("#000000", "-", "o"), ("#0072B2", "--", "s"), ("#D55E00", ":", "^"))
_PANELS = (
    ("resolution", "operations", "side of the image in pixels", "operations an image"),
    ("classes", "operations", "classes", "operations an image"),
    ("resolution", "ms an image", "side of the image in pixels", "milliseconds an image"),
    ("images a step", "ms an image", "images a step", "milliseconds an image"),
    ("processes", "images a second", "processes (one thread each)", "images a second"),
)


def growth_curves(table: pd.DataFrame, machine: str) -> Figure:
    """One panel for each axis and unit of the table of :func:`gholm_lib.scale.growth`.

    machine  on which the measured rows were measured
    """
    fig, axes = plots.styled(3, 2, size=(5.6, 4.2))
    for ax, (axis, unit, x_label, y_label) in zip(axes.flat, _PANELS, strict=False):
        rows = table[(table["axis"] == axis) & (table["unit"] == unit)]
        for (what, own), (colour, dash, marker) in zip(
            rows.groupby("what", sort=False), _STYLES, strict=False
        ):
            label = what.split(": ")[-1]
            ax.plot(own["value"], own["number"], color=colour, linestyle=dash, marker=marker, label=label)
        ax.set(xlabel=x_label, ylabel=y_label, title=_title(rows))
        ax.set_xticks(sorted(set(rows["value"])))
        if unit == "operations":
            ax.set_yscale("log")
        else:
            ax.set_ylim(0, None)
        if axis == "classes":
            ax.set_xscale("log")
        ax.legend()
    _say_how(axes.flat[-1], table, machine)
    return fig


def _title(rows: pd.DataFrame) -> str:
    return ", ".join(sorted(set(rows["how"])))


def _say_how(ax: Axes, table: pd.DataFrame, machine: str) -> None:
    """The empty sixth panel says what the numbers are."""
    ax.axis("off")
    computed = sorted({w.split(": ")[0] for w in table.loc[table["how"] == "computed", "what"]})
    words = (
        f"computed: operations of\n{', '.join(computed)}; a multiply-add\nis two, backward is twice\nforward\n\n"
        f"measured: the mini network on\n{machine}; floor: the plain\nnetwork on as many images\n\n"
        "several GPUs: not measured"
    )
    ax.text(0, 1, words, va="top", transform=ax.transAxes)
