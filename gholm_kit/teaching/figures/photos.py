"""Figures of chapter 09: all branches for one picture on one screen; how a picture becomes the network's input."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox
from PIL import Image

from gholm_kit import style
from gholm_kit.teaching.photos import Look, top
from gholm_lib.config import Config
from gholm_lib.loading import resized, to_input

NAMES = {"raw": "Raw", "both": "answer: Raw + Crop", "crop": "Crop", "drop": "Drop (not in the answer)"}
NAME_PAD = 0.22  # inches on each side of a panel: class names are wider than the pictures above them
NAME_WIDTH = 2.7  # inches for a class name, so that it does not reach into the next column
BAR = 0.74  # share of a panel's width for a probability of 1; the number stands beside the bar
_GRID = {"left": 0.02, "right": 0.915, "top": 0.9, "bottom": 0.06, "wspace": 0.12, "hspace": 0.14}


class ExplorerFigure:
    """Image with box, heatmap, crop, erased image; below them the most likely classes of each branch.

    The figure is kept from step to step of a slider: a panel is drawn again only if what it shows has changed.

    source  small print at the bottom
    """

    @style.in_style
    def __init__(self, classes: Sequence[str], config: Config, source: str = "") -> None:
        self.classes, self.config = classes, config
        # Wider than a 16:9 screen, so that the sliders fit above it. The places are fixed: a layout engine would
        # take longer than everything else.
        self.figure = Figure(figsize=(13.2, 6.3))
        ratios = {"height_ratios": (1.3, 1)}
        self.axes = self.figure.subplots(2, 4, gridspec_kw=_GRID | ratios).ravel().tolist()
        known = f"knows {len(classes)} classes and cannot name any other"
        self.figure.supxlabel(" · ".join(filter(None, [known, source])), fontsize=11, color="0.35", y=0.012)
        self._shown: dict[Axes, tuple] = {}
        self._changed: set[Axes] = set()  # since the last PNG
        self._canvas = FigureCanvasAgg(self.figure)
        self._blank: dict[Axes, Any] = {}  # the empty place of each panel, in pixels

    @style.in_style
    def show(self, look: Look, mu: float, theta: float, title: str, label: int | None = None) -> Figure:
        """Draw what is new in ``look``; returns the figure.

        title   name of the picture
        label   its true class, marked ✓; None if unknown
        """
        first = not self._shown
        for ax, panel in zip(self.axes, self._panels(look, mu, theta, title, label), strict=True):
            if ax not in self._shown or not _same(panel, self._shown[ax]):
                _empty(ax)
                draw, *content = panel
                draw(ax, *content)
                self._shown[ax] = panel
                self._changed.add(ax)
        if first:
            bar = self.figure.add_axes((0.938, 0.14, 0.011, 0.7))
            style.heat_bar(self.figure, self.axes[1].images[-1], cax=bar)
        return self.figure

    @style.in_style
    def png(self, dpi: int) -> bytes:
        """The figure as PNG bytes, fast: only changed panels become new pixels."""
        if not self._blank or self.figure.dpi != dpi:
            self._draw_frame(dpi)
        renderer = self._canvas.get_renderer()
        for ax in self._changed:
            self._canvas.restore_region(self._blank[ax])
            ax.draw(renderer)
        self._changed.clear()
        data = io.BytesIO()
        # Little compression: the file goes no further than to the browser, and a step of a slider waits for it.
        Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3]).save(data, "PNG", compress_level=1)
        return data.getvalue()

    def _draw_frame(self, dpi: int) -> None:
        """Draw all but the panels, and keep their empty places."""
        self.figure.set_dpi(dpi)
        for ax in self.axes:
            ax.set_visible(False)
        self._canvas.draw()
        for ax in self.axes:
            ax.set_visible(True)
            self._blank[ax] = self._canvas.copy_from_bbox(self._place(ax))
        self._changed = set(self.axes)

    def _place(self, ax: Axes) -> Bbox:
        """A panel with its title, in pixels: no panel draws outside its place."""
        spec, height = ax.get_subplotspec(), self.figure.bbox.height
        left, right = spec.get_position(self.figure).intervalx * self.figure.bbox.width
        middle = 0.455 * height  # between the rows, above the titles of the bars
        low, high = (middle, height) if spec.is_first_row() else (0.045 * height, middle)
        between = 0.5 * (right - left) * _GRID["wspace"]
        return Bbox.from_extents(left - between, low, right + between, high)

    def _panels(self, look: Look, mu: float, theta: float, title: str, label: int | None) -> list[tuple]:
        """For each panel, how it is drawn and from what."""
        image, crop, erased = (style.pixels(x, self.config) for x in (look.image, look.crop, look.erased))
        size = (
            "empty mask: whole picture" if look.fallback else f"{100 * look.box_share:.0f} % of the picture"
        )
        gone = f"{100 * float(look.erased_mask.float().mean()):.0f} % of the picture"
        heat = f"2  heatmap of\n{fitted(self.classes[look.target], 15)}"
        return [
            (_image_and_box, image, fitted(f"1  {title}", 15) + "\nand its box (eq. 5)", look.box),
            (style.heat_over, image, look.heat.cpu().numpy(), mu, heat, style.heat_top(self.config.dataset)),
            (style.picture, crop, f"3  crop, μ = {mu:.2f}\n{size}"),
            (style.picture, erased, f"4  erased, θ = {theta:.2f}\n{gone}"),
            *((class_bars, top(look.logits[b]), self.classes, b, label) for b in NAMES),
        ]


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
    """The explorer's figure for one setting; see :class:`ExplorerFigure`."""
    return ExplorerFigure(classes, config, source).show(look, mu, theta, title, label)


def _image_and_box(ax: Axes, image: np.ndarray, title: str, box: Sequence[int]) -> None:
    style.picture(ax, image, title)
    style.box(ax, box)


def _same(one: tuple, other: tuple) -> bool:
    """Whether two panels show the same."""
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs
    )


def _empty(ax: Axes) -> None:
    """Take away what was drawn. Faster than ``ax.clear()``, which makes axis and ticks anew."""
    for artist in [*ax.images, *ax.lines, *ax.patches, *ax.texts, *ax.collections]:
        artist.remove()
    ax.containers.clear()


@lru_cache(maxsize=2000)
def fitted(name: str, size: float, width: float = NAME_WIDTH) -> str:
    """A name cut to at most ``width`` inches at a font size in points; call it in the kit's style."""
    font, letters = FontProperties(size=size), len(name)
    while letters > 4:
        inches = text_to_path.get_text_width_height_descent(short(name, letters), font, False)[0] / 72
        if inches <= width:
            break
        letters = max(4, min(letters - 1, int(letters * width / inches)))
    return short(name, letters)


def short(name: str, letters: int) -> str:
    """A name cut to ``letters``; the middle goes, because car models differ by the year at the end."""
    tail = letters * 2 // 5
    return name if len(name) <= letters else f"{name[: letters - tail - 1]}…{name[-tail:]}"


def class_bars(
    ax: Axes, likeliest: Sequence[tuple[int, float]], classes: Sequence[str], branch: str, label: int | None
) -> None:
    """Class names over probability bars, most likely first; the true class, if known, gets a ✓."""
    for row, (k, p) in enumerate(likeliest):
        name = fitted("✓ " * (k == label) + classes[k], 13)
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
    ends = style.heat_top(config.dataset)
    fig.get_layout_engine().set(w_pad=NAME_PAD)
    for (top_ax, heat_ax, bars), (name, look) in zip(axes.T, looks.items(), strict=True):
        image = style.pixels(look.image, config)
        style.picture(top_ax, image, name)
        style.box(top_ax, look.box)
        artist = style.heat_over(heat_ax, image, look.heat.cpu().numpy(), config.mu, top=ends)
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
