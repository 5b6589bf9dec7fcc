"""Figures of chapter 09: all branches for one picture on one screen; how a picture becomes the network's input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from gholm_kit import style
from gholm_kit.teaching.photos import Look, top
from gholm_lib.config import Config
from gholm_lib.loading import resized, to_input

NAMES = {"raw": "Raw", "both": "answer: Raw + Crop", "crop": "Crop", "drop": "Drop (not in the answer)"}
NAME_PAD = 0.22  # inches on each side of a panel: class names are wider than the pictures above them
LETTERS = 26  # as many letters of a class name fit over its bar
BAR = 0.74  # share of a panel's width for a probability of 1; the number stands beside the bar


@style.in_style
def explorer_panel(
    look: Look,
    classes: Sequence[str],
    config: Config,
    mu: float,
    theta: float,
    title: str,
    label: int | None = None,
    source: str = "",
) -> Figure:
    """Image with box, heatmap, crop, erased image; below them the most likely classes of each branch.

    title   name of the picture
    label   its true class, marked ✓; None if unknown
    source  small print at the bottom
    """
    # Wider than a 16:9 screen, so that the sliders fit above it.
    fig, axes = style.styled(4, 2, size=(3.3, 3.15), height_ratios=(1.3, 1))
    fig.get_layout_engine().set(w_pad=NAME_PAD)
    image = style.pixels(look.image, config)
    style.picture(axes[0, 0], image, f"1  {short(title, 23)}\nand its box (eq. 5)")
    style.box(axes[0, 0], look.box)
    artist = style.heat_over(
        axes[0, 1], image, look.heat.cpu().numpy(), mu, f"2  heatmap of\n{short(classes[look.target], 25)}"
    )
    style.heat_bar(fig, artist, axes.ravel().tolist())
    size = "empty mask: whole picture" if look.fallback else f"{100 * look.box_share:.0f} % of the picture"
    style.picture(axes[0, 2], style.pixels(look.crop, config), f"3  crop, μ = {mu:.2f}\n{size}")
    gone = 100 * float(look.erased_mask.float().mean())
    style.picture(
        axes[0, 3],
        style.pixels(look.erased, config),
        f"4  erased, θ = {theta:.2f}\n{gone:.0f} % of the picture",
    )
    for ax, branch in zip(axes[1], NAMES, strict=True):
        class_bars(ax, top(look.logits[branch]), classes, branch, label)
    fig.supxlabel(source, fontsize=11, color="0.35")
    return fig


def short(name: str, letters: int = LETTERS) -> str:
    """A name cut to ``letters``; the middle goes, because car models differ by the year at the end."""
    tail = letters * 2 // 5
    return name if len(name) <= letters else f"{name[: letters - tail - 1]}…{name[-tail:]}"


def class_bars(
    ax: Axes, likeliest: Sequence[tuple[int, float]], classes: Sequence[str], branch: str, label: int | None
) -> None:
    """Class names over probability bars, most likely first; the true class, if known, gets a ✓."""
    for row, (k, p) in enumerate(likeliest):
        name = "✓ " * (k == label) + short(classes[k])
        # Not in the layout: a long name must not make all panels smaller.
        ax.text(0, row - 0.1, name, va="bottom", fontsize=13, in_layout=False)
        ax.text(1, row + 0.13, f"{100 * p:.0f} %", ha="right", va="center", fontsize=13.5, in_layout=False)
    rows = np.arange(len(likeliest)) + 0.1
    ax.barh(rows, BAR, 0.24, color="0.9")
    ax.barh(rows, [BAR * p for _, p in likeliest], 0.24, color=style.COLOURS[branch])
    ax.set(xlim=(0, 1), ylim=(len(likeliest) - 0.6, -0.75), title=NAMES[branch])
    ax.axis("off")


@style.in_style
def way_in(images: dict[str, Image.Image], config: Config) -> Figure:
    """One row per picture: the file, the resized square with the used part framed, and the network's input."""
    fig, axes = style.styled(3, len(images), size=(4.0, 3.2), squeeze=False)
    side = config.resize if config.random_crop else config.image_size
    edge = round((side - config.image_size) / 2)
    for ax, (title, image) in zip(axes, images.items(), strict=True):
        style.picture(ax[0], np.asarray(image), f"{title}\n{image.width} × {image.height} pixels")
        square = resized(image, config).permute(1, 2, 0).numpy()
        style.picture(ax[1], square, f"resized to\n{side} × {side}")
        style.box(ax[1], (edge, edge, edge + config.image_size, edge + config.image_size))
        used = style.pixels(to_input(image, config), config)
        style.picture(ax[2], used, f"what the network sees\n{config.image_size} × {config.image_size}")
    style.say_if_drawn(fig, config.dataset)
    return fig


@style.in_style
def strangers(looks: dict[str, Look], classes: Sequence[str], config: Config) -> Figure:
    """One column per picture: image with box, heatmap, and the most likely classes of the answer."""
    fig, axes = style.styled(len(looks), 3, size=(3.3, 2.9), height_ratios=(1.2, 1.2, 1), squeeze=False)
    fig.get_layout_engine().set(w_pad=NAME_PAD)
    for (top_ax, heat_ax, bars), (name, look) in zip(axes.T, looks.items(), strict=True):
        image = style.pixels(look.image, config)
        style.picture(top_ax, image, name)
        style.box(top_ax, look.box)
        artist = style.heat_over(heat_ax, image, look.heat.cpu().numpy(), config.mu)
        class_bars(bars, top(look.logits["both"], 4), classes, "both", None)
    style.heat_bar(fig, artist, axes.ravel().tolist())
    style.say_if_drawn(fig, config.dataset, f"network trained on {config.dataset}")
    return fig


@style.in_style
def confidences(known: np.ndarray, strange: np.ndarray, names: tuple[str, str], overlap: float) -> Figure:
    """Confidence of the answer on pictures of the known classes, and on others (strangers).

    known, strange  largest probability of the answer, one value per picture
    overlap         share of pairs in which the network is surer about the stranger (0.5 is chance)
    """
    fig, ax = style.styled(1, 1, size=(9.5, 4.2))
    bins = np.linspace(0, 1, 21)
    for values, name, colour, look in (
        (known, names[0], style.COLOURS["raw"], {"histtype": "stepfilled", "alpha": 0.45}),
        (strange, names[1], style.COLOURS["crop"], {"histtype": "step", "linewidth": 3, "linestyle": "--"}),
    ):
        share = np.full(len(values), 100 / len(values))
        ax.hist(values, bins, weights=share, color=colour, label=f"{name} ({len(values)} pictures)", **look)
    ax.set(xlabel="probability of the answer (Raw + Crop)", ylabel="% of the pictures", xlim=(0, 1))
    ax.set_title(f"In {100 * overlap:.0f} % of all pairs the network is surer about the stranger")
    ax.legend(loc="upper left")
    style.say_if_drawn(fig, names[0])
    return fig
