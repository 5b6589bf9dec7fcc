"""Figures of chapter 10: the maps side by side, how much of the truth each finds, and how their judges judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gholm_kit import style
from gholm_kit.teaching.heatmap_tests import mean_interval
from gholm_kit.teaching.other_maps import AREA, BLIND, CEILING, hottest
from gholm_lib.config import Config
from gholm_lib.gradcam import upsample

PLAIN, FAINT = style.COLOURS["raw"], "0.55"  # maps that look at the network, and those that do not
Interval = tuple[float, float, float]  # value, low, high


@style.in_style
def gallery(images: Tensor, maps: Mapping[str, Tensor], where: Tensor, config: Config) -> Figure:
    """A row an image: the picture with its true places outlined, then each map with its hottest tenth outlined.

    images (N, 3, s, s), maps name → (N, h, w), where (N, s, s), above 0 at the true places
    """
    fig, axes = style.styled(len(maps) + 1, len(images), size=(1.75, 1.95), squeeze=False)
    for row, (image, place) in enumerate(zip(images, where, strict=True)):
        shown = style.pixels(image, config)
        style.picture(axes[row, 0], shown, "truth" if row == 0 else "")
        axes[row, 0].contour(place.numpy() > 0, [0.5], colors="white", linewidths=4)
        axes[row, 0].contour(place.numpy() > 0, [0.5], colors="black", linewidths=2)
        for ax, (name, cells) in zip(axes[row, 1:], maps.items(), strict=True):
            heat = upsample(cells[row : row + 1], image.shape[-1])
            over = style.heat_over(ax, shown, heat[0].numpy(), None, name if row == 0 else "")
            ax.contour(hottest(heat, AREA)[0].numpy(), [0.5], colors="white", linewidths=2)
    style.heat_bar(fig, over, axes.ravel().tolist())
    style.say_if_drawn(fig, config.dataset)
    return fig


@style.in_style
def found_bars(scores: Mapping[str, Mapping[str, np.ndarray]], title: str) -> Figure:
    """How much of the true places each map finds: a panel a family, a bar a map, with 95 % intervals.

    scores  family → name of a map → (N,) shares
    """
    fig, axes = style.styled(len(scores), 1, size=(3.6, 5.2), squeeze=False, sharey=True)
    for ax, (family, of_maps) in zip(axes[0], scores.items(), strict=True):
        _bars(ax, {n: mean_interval(v) for n, v in of_maps.items()})
        ax.set_title(f"{family}\n{len(next(iter(of_maps.values())))} images")
    axes[0, 0].invert_yaxis()  # once: the panels share it
    fig.suptitle(title)
    style.say_if_drawn(fig, "mini_", ", ".join(scores))
    return fig


def _bars(ax: Axes, intervals: Mapping[str, Interval]) -> None:
    value, low, high = (100 * np.array(list(intervals.values()))).T
    faint = (*BLIND, CEILING)
    ax.barh(range(len(value)), value, color=[FAINT if n in faint else PLAIN for n in intervals], height=0.7)
    errors = np.maximum([value - low, high - value], 0)
    ax.errorbar(value, range(len(value)), xerr=errors, fmt="none", ecolor="black", capsize=3)
    ax.set(xlim=(0, 105), xlabel="% found", yticks=range(len(value)), yticklabels=list(intervals))


@style.in_style
def judges(
    everything: Mapping[str, Interval], lookers: Mapping[str, Interval], dataset: str, images: int
) -> Figure:
    """Rank correlation of each judge with the truth; with and without the maps that never look at the network.

    everything, lookers  judge → value, low, high
    """
    fig, ax = style.styled(1, 1, size=(10, 4.6))
    kinds = (
        ("all maps", everything, FAINT, "s", -0.13),
        ("maps of the network alone", lookers, PLAIN, "o", 0.13),
    )
    for name, intervals, colour, marker, shift in kinds:
        value, low, high = np.array(list(intervals.values())).T
        places = np.arange(len(value)) + shift
        errors = np.maximum([value - low, high - value], 0)
        ax.errorbar(value, places, xerr=errors, fmt=marker, color=colour, capsize=4, markersize=9, label=name)
    ax.axvline(0, color="black", linewidth=1)
    ax.set(xlim=(-1.05, 1.05), yticks=range(len(everything)), yticklabels=list(everything))
    ax.set_xlabel("rank correlation with the truth (1: the same order of maps)")
    ax.set_title(f"Does the judge rank the maps as the truth does? ({images} images)")
    ax.invert_yaxis()
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    style.say_if_drawn(fig, dataset)
    return fig


@style.in_style
def ranks(scores: Mapping[str, Mapping[str, np.ndarray]], order: Sequence[str], dataset: str) -> Figure:
    """The place that each judge gives to each map, 1 the best: a row a map, a column a judge.

    scores  judge → name of a map → (N,); order  the maps, best first
    """
    means = np.array([[np.nanmean(of_maps[n]) for of_maps in scores.values()] for n in order])
    places = 1 + (means[None] > means[:, None]).sum(1)  # (maps, judges)
    fig, ax = style.styled(1, 1, size=(11.5, 5.2))
    ax.imshow(places, cmap="Greys", vmin=1, vmax=2.2 * len(order), aspect="auto")
    for (row, column), place in np.ndenumerate(places):
        ax.text(column, row, str(place), ha="center", va="center")
    ax.set(
        xticks=range(len(scores)), xticklabels=list(scores), yticks=range(len(order)), yticklabels=list(order)
    )
    ax.set_title("Place of each map, 1 the best")
    style.say_if_drawn(fig, dataset)
    return fig
