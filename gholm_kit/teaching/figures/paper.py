"""The paper's Figures 1 to 6, drawn from data and networks with the training code.

Figure 1 is ``figures.variance_grid``, Figure 5 ``figures.contrast.anchor_pairs``; the others are here.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from timm.models.convnext import ConvNeXt
from torch import Tensor

from gholm_kit import style
from gholm_lib import masking
from gholm_lib.config import Config
from gholm_lib.datasets import Sample, load_image
from gholm_lib.gradcam import channel_weights, class_map, upsample
from gholm_lib.loading import to_input
from gholm_lib.model import GHOLMNet

PLAIN, SHARED, LOSS = "#eeeeee", "#cfe3f2", "#fdf0c8"  # fills that stay light in grey print


@dataclass
class Path:
    """The steps of one image through a network, for Figures 2, 3 and 6. Pictures are (s, s, 3) in 0..1."""

    picture: np.ndarray
    features: Tensor  # (C, h, w)
    weights: Tensor  # (C,) a_k^c
    heat: np.ndarray  # (s, s)
    box: list[int]
    crop: np.ndarray
    erased: np.ndarray
    raw: Tensor  # (K,) logits
    cropped: Tensor  # (K,) logits
    mu: float  # of the box


@torch.no_grad()
def follow(net: GHOLMNet, sample: Sample, theta: float = 1.5) -> Path:
    """Send one image through a network in eval mode; the heatmap is that of the predicted class."""
    config, device = net.config, next(net.parameters()).device
    given = to_input(load_image(sample.path), config)[None].to(device)
    image = net.seen(given)
    features = net.backbone.forward_features(image)
    out = net.attend(given)
    mask = masking.threshold(out.heat, theta)
    erased = masking.erase(image, mask, config.fill, config.image_mean, config.image_std)
    return Path(
        picture=style.pixels(image[0], config),
        features=features[0].cpu(),
        weights=channel_weights(net.head, features, None)[0].flatten().cpu(),
        heat=out.heat[0].cpu().numpy(),
        box=out.crop_boxes[0].tolist(),
        crop=style.pixels(net.crops(given, out.crop_boxes)[0], config),
        erased=style.pixels(erased[0], config),
        raw=out.raw_logits[0].cpu(),
        cropped=out.crop_logits[0].cpu(),
        mu=config.mu,
    )


# ---------------------------------------------------------------------- drawing boxes and arrows


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """One axes without a frame, whose units are roughly inches."""
    fig, ax = style.styled(size=(width, height))
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return fig, ax


def _node(
    ax: Axes, centre: tuple[float, float], size: tuple[float, float], text: str, fill: str = PLAIN
) -> None:
    x, y = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    shape = FancyBboxPatch(
        (x, y), *size, boxstyle="round,pad=0,rounding_size=0.12", fc=fill, ec="black", lw=1.5
    )
    ax.add_patch(shape)
    ax.text(*centre, text, ha="center", va="center", fontsize=14)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], **style) -> None:
    look = {"arrowstyle": "-|>", "lw": 2, "color": "black", "shrinkA": 0, "shrinkB": 0} | style
    ax.annotate("", xy=end, xytext=start, arrowprops=look)


def _card(ax: Axes, image: np.ndarray, corner: tuple[float, float], side: float, caption: str) -> None:
    x, y = corner
    ax.imshow(image, extent=(x, x + side, y, y + side), aspect="equal", zorder=2)
    ax.text(x + side / 2, y - 0.12, caption, ha="center", va="top", fontsize=14)


def _heat_card(ax: Axes, path: Path, corner: tuple[float, float], side: float, caption: str) -> None:
    x, y = corner
    extent = (x, x + side, y, y + side)
    grey = np.repeat(path.picture.mean(-1, keepdims=True), 3, -1)
    ax.imshow(grey, extent=extent, zorder=2)
    relative = path.heat / max(float(path.heat.mean()), 1e-12)
    ax.imshow(relative, extent=extent, cmap=style.heat_map(), norm=style.heat_scale(), zorder=3)
    ax.text(x + side / 2, y - 0.12, caption, ha="center", va="top", fontsize=14)


# ---------------------------------------------------------------------- Figure 2


@style.in_style
def whole_network(path: Path, config: Config) -> Figure:
    """Figure 2: one backbone, three branches, four losses; all pictures come from one image."""
    fig, ax = _canvas(13.6, 7.4)
    x0, y0, x1, y1 = path.box
    _card(ax, path.picture, (0.1, 3.7), 2.2, f"image X\n{style.times(3, *path.heat.shape)}")
    _node(ax, (3.5, 4.8), (1.5, 1.5), "ConvNeXt", SHARED)
    _node(ax, (5.7, 4.8), (1.5, 0.9), f"logits y\n({len(path.raw)})")
    _arrow(ax, (2.3, 4.8), (2.75, 4.8))
    _arrow(ax, (4.25, 4.8), (4.95, 4.8))
    ax.text(4.35, 5.65, f"A: {style.times(*path.features.shape)}", fontsize=14, ha="left")
    _heat_card(ax, path, (3.6, 0.75), 2.2, f"heat, eq. (1)-(3)\n{style.times(*path.heat.shape)}")
    _arrow(ax, (5.5, 4.35), (5.1, 2.98), ls="--")
    ax.text(5.1, 3.62, "gradient of $y^c$", fontsize=14, ha="right", va="center")
    _card(ax, path.crop, (7.9, 3.15), 2.05, f"Crop, from {style.times(y1 - y0, x1 - x0)}")
    _card(ax, path.erased, (7.9, 0.45), 2.05, "Drop (training only)")
    _arrow(ax, (5.85, 2.3), (7.85, 3.9), color=style.COLOURS["crop"])
    ax.text(
        6.5, 3.95, "> μ · mean, largest\npart, enlarge\neq. (4)-(5)", fontsize=13, ha="center", va="center"
    )
    _arrow(ax, (5.85, 1.35), (7.85, 1.35), color=style.COLOURS["drop"])
    ax.text(6.85, 1.25, "> θ · mean,\nerase, eq. (6)", fontsize=13, ha="center", va="top")
    _node(ax, (11.0, 2.9), (1.5, 3.9), "the same\nConvNeXt", SHARED)
    _arrow(ax, (9.95, 4.2), (10.25, 4.2))
    _arrow(ax, (9.95, 1.6), (10.25, 1.6))
    _losses(ax)
    total = rf"$L = L_{{raw}} + L_{{crop}} + {config.gamma:g}\,L_{{drop}} + L_c$   eq. (10), (12)"
    ax.text(6.8, 7.15, f"{total}        test: Raw + Crop", fontsize=15, ha="center", va="center")
    style.say_if_drawn(fig, config.dataset)
    return fig


def _losses(ax: Axes) -> None:
    """The right-hand column: a loss for each branch, and eq. (11) between Raw and Crop."""
    for y, text in ((6.35, "$L_{raw}$"), (5.45, "$L_c$"), (4.2, "$L_{crop}$"), (1.6, "$L_{drop}$")):
        _node(ax, (12.85, y), (1.1, 0.65), text, LOSS)
    _arrow(ax, (11.75, 4.2), (12.3, 4.2), color=style.COLOURS["crop"])
    _arrow(ax, (11.75, 1.6), (12.3, 1.6), color=style.COLOURS["drop"])
    _arrow(
        ax, (6.3, 5.25), (12.3, 6.35), color=style.COLOURS["raw"], connectionstyle="angle,angleA=90,angleB=0"
    )
    ax.plot([6.3, 12.3], [5.45, 5.45], color=style.COLOURS["sup"], ls="-.")
    _arrow(ax, (12.1, 5.45), (12.3, 5.45), color=style.COLOURS["sup"])
    ax.plot([11.0, 11.0], [4.85, 5.45], color=style.COLOURS["sup"], ls="-.")
    ax.text(8.6, 5.6, "z of Raw and Crop, eq. (11)", fontsize=14, ha="center", va="bottom")


# ---------------------------------------------------------------------- Figure 3


@style.in_style
def gradcam_flow(path: Path, config: Config, channels: int = 4) -> Figure:
    """Figure 3: features, their weights, the weighted sum, ReLU, and the heatmap over the image."""
    strongest = path.weights.abs().argsort(descending=True)[:channels].tolist()
    summed = (path.weights[:, None, None] * path.features).sum(0)
    cam = class_map(path.features[None], path.weights[None])[0]
    fig, axes = style.styled(5, 1, size=(3.0, 3.8))
    fig.get_layout_engine().set(h_pad=0.12)
    style.picture(axes[0], path.picture, "image X")
    style.picture(axes[1], _tiles([path.features[k] for k in strongest]), "")
    axes[1].set_title(f"features $A^k$\n{channels} of {len(path.features)}, with $a_k^c$")
    side = path.features.shape[-1] + 1
    for place, k in enumerate(strongest):
        row, column = divmod(place, 2)
        axes[1].text(
            column * side + side / 2 - 1,
            row * side + side - 1.6,
            f"{path.weights[k]:+.3f}",
            color="black",
            ha="center",
            va="bottom",
            fontsize=13,
            bbox={"fc": "white", "ec": "none", "pad": 1},
        )
    limit = float(summed.abs().max())
    axes[2].imshow(summed.numpy(), cmap="PuOr_r", vmin=-limit, vmax=limit)
    axes[3].imshow(cam.numpy(), cmap="PuOr_r", vmin=-limit, vmax=limit)
    for ax, title in ((axes[2], r"$\sum_k a_k^c A^k$"), (axes[3], "ReLU\neq. (2)")):
        ax.set(title=title, xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    heat = upsample(cam[None], path.heat.shape[0])[0].numpy()
    artist = style.heat_over(
        axes[4], path.picture, heat, config.mu, "heat, upsampled\neq. (3)", style.heat_top(config.dataset)
    )
    style.heat_bar(fig, artist, axes[4], config.mu)
    style.say_if_drawn(fig, config.dataset)
    return fig


def _tiles(maps: Sequence[Tensor]) -> np.ndarray:
    """Maps (h, w) in two columns, separated by white lines, each on its own scale: (H, W, 3)."""
    h, w = maps[0].shape
    rows = -(-len(maps) // 2)
    sheet = np.ones((rows * (h + 1) - 1, 2 * (w + 1) - 1, 3))
    for place, values in enumerate(maps):
        row, column = divmod(place, 2)
        low, high = float(values.min()), float(values.max())
        grey = (values.numpy() - low) / max(high - low, 1e-12)
        sheet[row * (h + 1) : row * (h + 1) + h, column * (w + 1) : column * (w + 1) + w] = (
            1 - grey[..., None] * 0.9
        )
    return sheet


# ---------------------------------------------------------------------- ConvNeXt, and its block (Figure 4)


@torch.no_grad()
def stage_shapes(backbone: ConvNeXt, size: int) -> list[tuple[str, tuple[int, ...]]]:
    """The parts of a ConvNeXt in order, and the shape (C, h, w) after each, for images of ``size`` pixels."""
    x = backbone.stem(torch.zeros(1, 3, size, size))
    found = [("stem", tuple(x.shape[1:]))]
    for k, stage in enumerate(backbone.stages, 1):
        x = stage(x)
        count = len(stage.blocks)
        found.append((f"stage {k}\n{count} block{'s' if count > 1 else ''}", tuple(x.shape[1:])))
    return found


@style.in_style
def convnext_outline(backbone: ConvNeXt, size: int, classes: int) -> Figure:
    """A whole ConvNeXt in one row, with all shapes: what is its backbone, what its head, and where is A?"""
    parts = [*stage_shapes(backbone, size), ("pool\nnorm\nlinear", (classes,))]
    step, half = 1.75, 0.6  # from node to node, and half a node
    fig, ax = _canvas(step * len(parts) + 2.6, 3.0)
    _node(ax, (0.75, 1.5), (2 * half, 1.1), "image X")
    x, before = 0.75, (3, size, size)
    for name, after in parts:
        _arrow(ax, (x + half, 1.5), (x + step - half, 1.5))
        ax.text(x + step / 2, 0.65, style.times(*before), fontsize=13, ha="center", va="center")
        x, before = x + step, after
        _node(ax, (x, 1.5), (2 * half, 1.1), name, LOSS if len(after) == 1 else SHARED)
    ax.text(x - step / 2, 1.85, "A", fontsize=16, ha="center", va="center")
    _arrow(ax, (x + half, 1.5), (x + half + 0.5, 1.5))
    ax.text(x + half + 0.55, 1.5, f"logits y\n({classes})", fontsize=14, ha="left", va="center")
    _span(ax, 0.75 + step - half, x - step + half, "backbone: image → feature maps A")
    _span(ax, x - half, x + half, "head: A → y")
    return fig


def _span(ax: Axes, left: float, right: float, text: str) -> None:
    """A line above some nodes that says what they are together."""
    ax.plot([left, left, right, right], [2.3, 2.4, 2.4, 2.3], color="black", lw=1.5)
    ax.text((left + right) / 2, 2.5, text, fontsize=14, ha="center", va="bottom")


def block_steps(backbone: ConvNeXt) -> list[str]:
    """What the last block of a ConvNeXt does, read from its modules."""
    block = backbone.stages[-1].blocks[-1]
    k, channels, wide = block.conv_dw.kernel_size, block.conv_dw.out_channels, block.mlp.fc1.out_features
    depthwise = "depthwise " if block.conv_dw.groups == channels else ""
    steps = [
        f"{depthwise}convolution {k[0]} × {k[1]}\n{channels} channels",
        type(block.norm).__name__.replace("LayerNorm2d", "LayerNorm").replace("LayerNorm", "layer norm"),
        f"1 × 1 up\n{channels} → {wide}",
        type(block.mlp.act).__name__,
        f"1 × 1 down\n{wide} → {channels}",
    ]
    return steps + (["times γ (layer scale)"] if block.gamma is not None else [])


@style.in_style
def convnext_block(backbones: Mapping[str, ConvNeXt]) -> Figure:
    """Figure 4 for each backbone: the steps of its last block, from bottom to top, and the residual connection."""
    fig, ax = _canvas(5.2 * len(backbones), 8.4)
    for place, (name, backbone) in enumerate(backbones.items()):
        x, steps = 5.2 * place + 2.2, block_steps(backbone)
        ax.text(x, 8.1, name, ha="center", va="center", fontsize=16)
        ax.text(x, 0.25, "features in", ha="center", va="center", fontsize=14)
        below = 0.45
        for k, text in enumerate(steps):
            y = 1.15 + 1.07 * k
            _node(
                ax, (x, y), (3.2, 0.78), text, SHARED if "1 × 1" in text or "convolution" in text else PLAIN
            )
            _arrow(ax, (x, below), (x, y - 0.39))
            below = y + 0.39
        top = below + 0.5
        ax.text(
            x,
            top,
            "+",
            ha="center",
            va="center",
            fontsize=20,
            zorder=4,
            bbox={"boxstyle": "circle", "fc": "white", "ec": "black"},
        )
        _arrow(ax, (x, below), (x, top - 0.2))
        ax.plot([x, x + 2.1, x + 2.1], [0.52, 0.52, top], color="black", lw=2)
        _arrow(ax, (x + 2.1, top), (x + 0.25, top))
        ax.text(x + 2.2, 4.2, "residual", rotation=90, ha="left", va="center", fontsize=13)
        _arrow(ax, (x, top + 0.2), (x, min(top + 0.6, 7.9)))
    return fig


# ---------------------------------------------------------------------- Figure 6

LETTERS = 17  # points; 18 pixels on a slide
WIDTH, HEIGHT = 14.6, 7.5  # inches; the room for a picture on a slide of 1280 × 720
_STEPS = ("image", "heat", "crop", "erased")
_LINE, _GAP, _BETWEEN = 0.3, 0.08, 0.35  # inches: a line of text, between pictures, between two images
_NAME, _LONG_NAME = 1.35, 3.4  # inches: names of sets, or of runs, on the left
_BAR = 2.1  # inches: the colour bar on the right
_SMALLEST = 0.7  # inches, side of a picture

# Data set, caption, path; without a path, the caption says why there is none, such as "not run".
Shown = tuple[str, str, Path | None]


@dataclass
class _Sheet:
    """Where everything of Figure 6 goes, in inches from the upper left corner; ``side`` is that of a picture.

    Each line is a list of at most two images that come side by side, each a row of four pictures under its caption.
    """

    lines: list[list[Shown]]
    note: str
    names: float  # width of the names of the data sets on the left; 0: none

    def __post_init__(self) -> None:
        across = max(map(len, self.lines))
        self.left = self.names + 0.1
        self.room = (WIDTH - self.left - _BAR - (across - 1) * _BETWEEN) / across  # width that an image has
        self.starts = [self.left + k * (self.room + _BETWEEN) for k in range(across)]
        self.side = (self.room - 3 * _GAP) / 4
        too_high = max(0.0, self.height - HEIGHT) / len(self.lines)
        self.side = max(_SMALLEST, self.side - too_high)

    def name(self, k: int) -> str:
        """The data set's name beside line ``k``: only where it begins."""
        dataset = self.lines[k][0][0]
        if not self.names or (k and self.lines[k - 1][0][0] == dataset):
            return ""
        return style.wrapped(dataset.replace("mini_", "mini "), self.names, LETTERS)

    def caption(self, shown: Shown) -> str:
        return "" if shown[2] is None else style.wrapped(shown[1], self.room, LETTERS)

    def tops(self) -> list[float]:
        """Upper edge of each line's pictures, and the end of the last line."""
        y, found = _LINE + _GAP, []  # below the names of the steps
        for k, line in enumerate(self.lines):
            y += _LINE * max(len(self.caption(shown).splitlines()) for shown in line)
            found.append(y)
            y += max(self.side, _LINE * len(self.name(k).splitlines())) + 2 * _GAP
        return [*found, y]

    @property
    def height(self) -> float:
        return self.tops()[-1] + _LINE * (len(self.note.splitlines()) + 0.4)


@style.in_style
def branch_grid(columns: Sequence[Shown], note: str = "") -> Figure:
    """Figure 6: each image is a row of four pictures (image, heatmap over it, crop, erased image) under its caption.

    Two images stand side by side; a data set begins a line, which carries its name, unless all are of the same. The
    figure is as large as a slide lets it be, with letters of 18 pixels there; with many lines it is higher.

    columns  see ``Shown``; those of a data set follow each other
    note     small print below, in lines; where it is empty, drawn data are named
    """
    lines = [group[k : k + 2] for _, group in _groups(columns) for k in range(0, len(group), 2)]
    names = {dataset for dataset, *_ in columns}
    if not note and any(name.startswith("mini_") for name in names):
        note = style.drawn_note(min(names) if len(names) == 1 else "the mini sets")
    wide = _LONG_NAME if any("\n" in name for name in names) else _NAME
    sheet = _Sheet(lines, note, names=wide if len(names) > 1 else 0)
    ends = max(map(style.heat_top, names), default=style.HEAT_MAX)  # one scale of heat for the whole figure
    with matplotlib.rc_context({"font.size": LETTERS, "axes.labelsize": LETTERS}):
        fig = plt.figure(figsize=(WIDTH, sheet.height))
        for k, top in enumerate(sheet.tops()[:-1]):
            _write(fig, sheet, 0.05, top, sheet.name(k), va="top", ha="left")
            for block, shown in enumerate(lines[k]):
                _four_pictures(fig, sheet, shown, sheet.starts[block], top, ends)
        _frame(fig, sheet, columns)
    return fig


def _groups(columns: Sequence[Shown]) -> list[tuple[str, list[Shown]]]:
    return [(name, list(group)) for name, group in itertools.groupby(columns, key=lambda shown: shown[0])]


def _write(fig: Figure, sheet: _Sheet, x: float, y: float, text: str, **look) -> None:
    fig.text(x / WIDTH, 1 - y / sheet.height, text, linespacing=1.1, **look)


def _four_pictures(fig: Figure, sheet: _Sheet, shown: Shown, x: float, top: float, ends: float) -> None:
    """One image's row from ``x`` and ``top`` on; the colours of heat end at ``ends`` means."""
    path = shown[2]
    if path is None:
        _write(fig, sheet, x, top + sheet.side / 2, shown[1], va="center", ha="left")
        return
    _write(fig, sheet, x, top - 0.09, sheet.caption(shown), va="baseline", ha="left")
    axes = []
    for k in range(4):
        left, low = x + k * (sheet.side + _GAP), sheet.height - top - sheet.side
        place = (left / WIDTH, low / sheet.height, sheet.side / WIDTH, sheet.side / sheet.height)
        axes.append(fig.add_axes(place))
    style.picture(axes[0], path.picture)
    style.heat_over(axes[1], path.picture, path.heat, path.mu, top=ends)
    style.box(axes[1], path.box)
    style.picture(axes[2], path.crop)
    style.picture(axes[3], path.erased)


def _frame(fig: Figure, sheet: _Sheet, columns: Sequence[Shown]) -> None:
    """The names of the steps above, the colour bar on the right, the note below."""
    for start in sheet.starts:
        for k, name in enumerate(_STEPS):
            x = start + k * (sheet.side + _GAP) + sheet.side / 2
            _write(fig, sheet, x, 0.8 * _LINE, name, va="baseline", ha="center", color="0.35")
    _write(fig, sheet, WIDTH / 2, sheet.height - 0.08, sheet.note, va="bottom", ha="center", color="0.35")
    heat = [image for ax in fig.axes for image in ax.images[1:]]
    if heat:
        top, end = sheet.tops()[0], sheet.tops()[-1] - 2 * _GAP
        place = ((WIDTH - 1.0) / WIDTH, 1 - end / sheet.height, 0.2 / WIDTH)
        bar = fig.add_axes((*place, min(end - top, 4) / sheet.height))
        thresholds = {path.mu for *_, path in columns if path is not None}
        style.heat_bar(fig, heat[0], cax=bar, mu=thresholds.pop() if len(thresholds) == 1 else None)


def verdict(logits: Tensor, label: int, classes: Sequence[str]) -> str:
    """ "✓ class name" of a correct prediction, else :func:`mistake`."""
    said = int(logits.argmax())
    return f"✓ {classes[said]}" if said == label else mistake(classes[said], classes[label])


def mistake(said: str, truth: str) -> str:
    """The class predicted for an image, and, on the next line, its true class."""
    return f"✗ says {said}\nis {truth}"
