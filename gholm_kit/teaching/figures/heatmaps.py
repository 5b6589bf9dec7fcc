"""Figures of chapter 01: how a heatmap is computed, what it depends on, what it costs and what it finds."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from torch import Tensor

from gholm_kit import style
from gholm_kit.teaching.heatmap_tests import Regions, hottest_pixels
from gholm_lib.config import Config
from gholm_lib.gradcam import upsample
from gholm_lib.loading import to_picture

SIGNED = "PuOr_r"  # for signed values; both ends are dark, so negative cells also get a minus sign
POSITIVE, NEGATIVE = "#b35806", "#8073ac"  # its two ends; they differ in grey print too
POSSIBLE = 0.9  # of the work that a program contains, the least time that it can show; 1 without any noise

Interval = tuple[float, float, float]  # value, low, high


def pictures_of(images: Tensor, config: Config) -> np.ndarray:
    """Network inputs (B, 3, H, W) → pictures for display (B, H, W, 3) in 0..1."""
    return to_picture(images, config).permute(0, 2, 3, 1).cpu().numpy()


# ---------------------------------------------------------------------- Figure 3, step by step


@style.in_style
def channels_and_weights(image: Tensor, a: Tensor, weights: Tensor, config: Config, count: int = 5) -> Figure:
    """The channels with the largest weights for a class, and the weights of all channels (eq. 1).

    image (3, H, W) normalised; a = A (C, h, w); weights a_k^c (C,)
    """
    order = weights.abs().argsort(descending=True)[:count].tolist()
    fig = style.blank(12.5, 6.4)
    axes = fig.subplot_mosaic([["image", *map(str, range(count))], ["bars"] * (count + 1)])
    style.picture(axes["image"], pictures_of(image[None], config)[0], "image X")
    limit = float(a[order].abs().max())
    for column, k in enumerate(order):
        title = f"$A^k$, k = {k}\n$a_k^c$ = {float(weights[k]):+.3f}"
        shown = _signed_picture(axes[str(column)], a[k], limit, title)
    fig.colorbar(shown, ax=[axes[str(k)] for k in range(count)], shrink=0.8, label="value of $A^k$")
    _weight_bars(axes["bars"], weights, order)
    style.say_if_drawn(fig, config.dataset)
    return fig


def _weight_bars(ax: Axes, weights: Tensor, marked: Sequence[int]) -> None:
    values = weights.cpu().numpy()
    colours = np.where(values >= 0, POSITIVE, NEGATIVE)
    ax.bar(range(len(values)), values, color=colours, width=1.0)
    ax.axhline(0, color="black", linewidth=1)
    top = np.abs(values).max()
    for k in marked:
        side = np.sign(values[k])
        ax.text(k, values[k] + 0.05 * side * top, str(k), ha="center", va="bottom" if side > 0 else "top")
    ax.set(xlabel="channel k", ylabel="$a_k^c$", ylim=(-1.3 * top, 1.3 * top), xlim=(-1, len(values)))
    ax.set_title("Eq. (1): weight of each channel for class c (numbered: the channels shown above)")


@style.in_style
def sum_relu_upsample(image: Tensor, summed: Tensor, cam: Tensor, config: Config) -> Figure:
    """Eq. (2) and (3): the weighted sum, the same after the ReLU, and the heatmap over the image.

    image (3, H, W) normalised; summed, cam (h, w) before and after the ReLU
    """
    fig = style.blank(13.5, 3.9)
    axes = fig.subplots(1, 4)
    shown = pictures_of(image[None], config)[0]
    style.picture(axes[0], shown, f"image X\n{style.times(*image.shape)}")
    limit = float(summed.abs().max())
    signed = _signed_picture(
        axes[1], summed, limit, "$\\Sigma_k\\ a_k^c A^k$" + f"\n{style.times(*summed.shape)}"
    )
    _signed_picture(axes[2], cam, limit, f"ReLU, eq. (2)\n{style.times(*cam.shape)}")
    fig.colorbar(signed, ax=axes[1:3].tolist(), shrink=0.8)
    heat = upsample(cam[None], tuple(image.shape[-2:]))[0]
    title = f"upsampled, eq. (3)\n{style.times(*heat.shape)}"
    over = style.heat_over(
        axes[3], shown, heat.cpu().numpy(), config.mu, title, style.heat_top(config.dataset)
    )
    style.heat_bar(fig, over, axes[3:].tolist(), config.mu)
    style.say_if_drawn(fig, config.dataset)
    return fig


def _signed_picture(ax: Axes, values: Tensor, limit: float, title: str):
    values = values.cpu().numpy()
    style.picture(ax, np.ones((*values.shape, 3)), title)
    shown = ax.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit)
    y, x = np.nonzero(values < 0)
    ax.plot(x, y, "_", color="black", markersize=6, markeredgewidth=1.5)  # grey print would not show the sign
    return shown


# ---------------------------------------------------------------------- maps side by side


@style.in_style
def map_grid(
    images: Tensor,
    rows: Mapping[str, Tensor],
    config: Config,
    titles: Sequence[str] | None = None,
    regions: Sequence[Regions] | None = None,
) -> Figure:
    """One column per image, one row per kind of heatmap, with the contour at mu and a cross on the hottest pixel.

    images (B, 3, H, W) normalised; rows: name → heat (B, H, W); titles: one per image; regions: discs of the
    deciding parts, drawn on the images. A map that is zero everywhere is labelled "empty".
    """
    shown, count, top = pictures_of(images, config), len(images), style.heat_top(config.dataset)
    fig = style.blank(2.2 + 2.1 * count, (1.2 if titles else 0.5) + 2.05 * (1 + len(rows)))
    axes = fig.subplots(1 + len(rows), count, squeeze=False)
    for column in range(count):
        style.picture(axes[0, column], shown[column], _wrapped(titles[column]) if titles else "")
        for x, y, radius in regions[column].values() if regions else ():
            _ring(axes[0, column], x, y, radius)
    for row, (name, heat) in enumerate(rows.items(), start=1):
        points = hottest_pixels(heat).tolist()
        for column in range(count):
            ax = axes[row, column]
            over = style.heat_over(ax, shown[column], heat[column].cpu().numpy(), config.mu, top=top)
            if points[column][0] < 0:
                _say_empty(ax)
            else:
                _cross(ax, *points[column])
        axes[row, 0].set_ylabel(_wrapped(name), fontsize=15)
    style.heat_bar(fig, over, axes[1:].ravel().tolist(), config.mu)
    style.say_if_drawn(fig, config.dataset)
    return fig


def _say_empty(ax: Axes) -> None:
    word = ax.text(0.5, 0.5, "empty", ha="center", va="center", transform=ax.transAxes, fontsize=16)
    word.set_path_effects([withStroke(linewidth=4, foreground="white")])  # legible on a dark picture too


def maps_in_words(
    rows: Mapping[str, Tensor],
    regions: Sequence[Regions] | None = None,
    images: Sequence[int] | None = None,
) -> str:
    """Where the maps of :func:`map_grid` are hottest, image by image; ``rows`` as there.

    regions: discs of the deciding parts of all images, None where they are unknown; images: which of these the
    columns show, None for all in order.
    """
    told = []
    for name, heat in rows.items():
        columns = range(len(heat)) if images is None else images
        discs = [regions[k] if regions is not None else None for k in columns]
        points = hottest_pixels(heat).tolist()
        places = [_place(*point, heat.shape[1:], known) for point, known in zip(points, discs, strict=True)]
        told.append(f"{name}: {'; '.join(places)}")
    return f"Hottest point, image by image: {'. '.join(told)}."


def _place(x: int, y: int, size: Sequence[int], discs: Regions | None) -> str:
    """A point of a map (height, width) in words: the deciding part that it lies on, or where in the picture."""
    if x < 0:
        return "none, the map is empty"
    on = [part for part, (cx, cy, radius) in (discs or {}).items() if np.hypot(x - cx, y - cy) <= radius]
    if on:
        return f"on the {' and '.join(on).replace('_', ' ')} (deciding)"
    height, width = size
    down, across = ("upper", "", "lower")[3 * y // height], ("left", "middle", "right")[3 * x // width]
    where = f"{down} {across}".strip()
    return where if discs is None else f"{where} (on no deciding part)"


def _wrapped(text: str, width: int = 18) -> str:
    return "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, width))


def _ring(ax: Axes, x: float, y: float, radius: float) -> None:
    for colour, width in (("black", 4), ("white", 2)):
        ax.add_patch(Circle((x, y), radius, fill=False, edgecolor=colour, linewidth=width))


def _cross(ax: Axes, x: int, y: int) -> None:
    for colour, width in (("black", 5), ("white", 2.5)):
        (mark,) = ax.plot(x, y, "+", color=colour, markersize=14, markeredgewidth=width)
        mark.set_in_layout(False)  # at the edge of an image it is cut, and would push the panels apart


# ---------------------------------------------------------------------- measured


@style.in_style
def share_bars(panels: Mapping[str, Mapping[str, Interval]], dataset: str) -> Figure:
    """Percentages with 95 % intervals, one panel per measure; baselines are hollow circles.

    panels: measure → {name: (value, low, high) in 0..1}. Names that start with "chance" or "centre" are baselines.
    """
    names = list(dict.fromkeys(n for rows in panels.values() for n in rows))
    fig = style.blank(13, 1.6 + 0.55 * len(names))
    axes = fig.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, (measure, rows) in zip(axes, panels.items(), strict=True):
        for name, (value, low, high) in rows.items():
            y, baseline = names.index(name), name.startswith(("chance", "centre"))
            ax.plot([100 * low, 100 * high], [y, y], color="0.45" if baseline else "black", linewidth=3)
            face = "white" if baseline else "black"
            ax.plot(100 * value, y, "o", markersize=11, markerfacecolor=face, markeredgecolor="black")
            ax.annotate(
                f"{100 * value:.0f}", (100 * value, y), (0, 9), textcoords="offset points", ha="center"
            )
        ax.set(xlim=(0, 100), xlabel="% (95 % interval)", title=measure)
        ax.set_yticks(range(len(names)), names)
        ax.grid(axis="x", color="0.88")
        ax.set_ylim(len(names) - 0.5, -0.7)
    style.say_if_drawn(fig, dataset)
    return fig


def shares_in_words(panels: Mapping[str, Mapping[str, Interval]]) -> str:
    """The values that :func:`share_bars` shows."""
    return "; ".join(
        f"{measure}: " + ", ".join(f"{name} {100 * value:.0f}" for name, (value, *_) in rows.items())
        for measure, rows in panels.items()
    )


@style.in_style
def cost_bars(seconds: Mapping[str, float], title: str) -> Figure:
    """Times as multiples of the first one, with the milliseconds next to each bar.

    Each other program contains the first one's work. A ratio below ``POSSIBLE`` is therefore a disturbed
    measurement, which is said and not drawn.
    """
    names, base = list(seconds), next(iter(seconds.values()))
    ratios = [s / base for s in seconds.values()]
    drawn = [ratio if ratio >= POSSIBLE else 0.0 for ratio in ratios]
    fig = style.blank(11, 1.6 + 0.55 * len(names))
    ax = fig.subplots()
    ax.barh(names, drawn, color=["0.75", POSITIVE, *["#555555"] * (len(names) - 2)])
    for y, (ratio, second) in enumerate(zip(ratios, seconds.values(), strict=True)):
        if ratio >= POSSIBLE:
            place, said = max(1, ratio), f"{ratio:.2f} ×   ({1000 * second:.0f} ms)"
        else:
            place, said = 1, f"not drawn: {ratio:.2f} × is less than its forward pass"
        ax.text(place + 0.03 * max(drawn), y, said, va="center")
    ax.axvline(1, color="black", linewidth=1.5, linestyle=":")
    right = 3.2 if min(drawn) == 0 else 1.35  # room for a sentence
    ax.set(xlim=(0, right * max(drawn)), xlabel="time, as a multiple of a plain forward pass", title=title)
    ax.invert_yaxis()
    return fig


@style.in_style
def forgetting_curves(
    kept: Mapping[str, Mapping[str, Interval]], unrelated: Interval, dataset: str
) -> Figure:
    """How similar a heatmap stays to the trained network's while the network forgets from the top down.

    kept: kind of map → {block: (mean, low, high) of the rank correlation with the trained network's map};
    unrelated: the same for maps of two different images.
    """
    fig = style.blank(12, 5.2)
    ax = fig.subplots()
    styles = zip((POSITIVE, "black"), ("-", "--"), ("o", "s"), strict=True)
    for (name, steps), (colour, line, marker) in zip(kept.items(), styles, strict=False):
        values, low, high = np.array(list(steps.values())).T
        x = np.arange(len(values))
        ax.plot(x, values, color=colour, linestyle=line, marker=marker, markersize=9, label=name)
        ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        labels = [b if k == 0 else f"+ {b}" for k, b in enumerate(steps)]
    lowest = min(low for steps in kept.values() for _, low, _ in steps.values())
    value, low, high = unrelated
    ax.axhspan(low, high, color="0.8", zorder=0)
    ax.axhline(value, color="0.4", linestyle=":", label="maps of two different images")
    ax.set_xticks(x, labels)
    ax.set(
        ylim=(min(-0.35, lowest - 0.05), 1.08),
        xlabel="blocks that have forgotten (weights shuffled), from the classifier down to the stem",
    )
    ax.set_ylabel("rank correlation\nwith the trained map")
    ax.legend()
    style.say_if_drawn(fig, dataset)
    return fig
