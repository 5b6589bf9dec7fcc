"""One style for every picture of the kit: legible from the back row and in grey print.

Raw, Crop and Drop keep their colours (chosen to differ for colour-blind readers) and line styles everywhere; heat
is drawn with one perceptual colour map on one scale, in units of its own mean, so that mu is a place on the bar.
"""

from __future__ import annotations

import io
import json
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font_names
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox
from PIL import Image
from torch import Tensor

from gholm_lib.config import Config
from gholm_lib.loading import to_picture
from gholm_lib.paths import figures_folder

COLOURS = {"raw": "#0072B2", "crop": "#D55E00", "drop": "#009E73", "both": "#000000", "sup": "#CC79A7"}
LINES = {"raw": "-", "crop": "--", "drop": ":", "both": "-", "sup": "-."}
LABELS = {"raw": "Raw", "crop": "Crop", "drop": "Drop", "both": "Raw + Crop", "sup": "contrastive"}
HEAT = "inferno"
HEAT_MAX = 20.0  # heat is drawn up to twenty times its mean
PHOTO_HEAT_MAX = 5.0  # the same for photographs: the maps of large networks are much flatter
HEAT_TICKS = (0, 2, 5, 10, 20)
# For names in other scripts: matplotlib takes a letter from the first installed font that has it.
_OTHER_SCRIPTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans",
    "Arial Unicode MS",
)
_INSTALLED = set(get_font_names())
_STYLE = {
    "font.family": ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in _INSTALLED)],
    "font.size": 14,
    "axes.titlesize": 15,
    "axes.labelsize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2.5,
    "legend.frameon": False,
    "svg.hashsalt": "gholm",  # the same SVG each time
}
LAYOUT = "compressed"  # "constrained" cuts labels off beside panels of a fixed shape, as pictures are
# Decorator of a function that draws: titles, legends and lines take their size when they are made, not when the
# figure is.
in_style = matplotlib.rc_context(_STYLE)


def styled(columns: int = 1, rows: int = 1, size: tuple[float, float] = (6, 4), **kwargs: Any):
    """``plt.subplots`` in the kit's style; ``size`` is of one panel, in inches. Returns figure, axes."""
    with matplotlib.rc_context(_STYLE):
        figsize = size[0] * columns, size[1] * rows
        return plt.subplots(rows, columns, figsize=figsize, layout=LAYOUT, **kwargs)


def blank(width: float, height: float) -> Figure:
    """A figure without panels in the kit's style, inches."""
    with matplotlib.rc_context(_STYLE):
        return plt.figure(figsize=(width, height), layout=LAYOUT)


def picture(ax: Axes, image: np.ndarray, title: str = "") -> Axes:
    """An image, (H, W, 3) in 0..1 or uint8, without ticks."""
    ax.imshow(image)
    ax.set_title(title)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def heat_over(
    ax: Axes,
    image: np.ndarray,
    heat: np.ndarray,
    mu: float | None = None,
    title: str = "",
    top: float = HEAT_MAX,
):
    """Heat over a grey copy of the image, in units of its mean, with the contour ``mu``; returns the artist.

    image (H, W, 3) in 0..1, heat (H, W) >= 0; ``top``: where the colours end, in means, see :func:`heat_top`
    """
    picture(ax, np.repeat(image.mean(-1, keepdims=True), 3, -1), title)
    mean = float(heat.mean())
    relative = heat / mean if mean > 0 else heat
    artist = ax.imshow(relative, cmap=heat_map(), norm=heat_scale(top))
    if mu is not None and relative.min() < mu < relative.max():
        ax.contour(relative, levels=[mu], colors="white", linewidths=4)
        ax.contour(relative, levels=[mu], colors="black", linewidths=1.8)
    return artist


def heat_bar(fig: Figure, artist, axes=None, mu: float | None = None, cax: Axes | None = None) -> None:
    """The colour bar of :func:`heat_over`, with mu marked; beside ``axes``, or in a place of its own, ``cax``."""
    place = {"ax": axes, "shrink": 0.8} if cax is None else {"cax": cax}
    ticks = [tick for tick in HEAT_TICKS if tick <= artist.norm.vmax]
    bar = fig.colorbar(artist, extend="max", label="heat / its mean", ticks=ticks, **place)
    bar.ax.minorticks_off()
    if mu is not None:
        bar.ax.axhline(mu, color="white", linewidth=4)
        bar.ax.axhline(mu, color="black", linewidth=1.8)
        bar.ax.text(-0.3, mu, f"μ = {mu:g}", ha="right", va="center", transform=bar.ax.get_yaxis_transform())


def heat_top(dataset: str) -> float:
    """Where the colours of heat end, in means: for a drawn set, and for photographs."""
    return HEAT_MAX if dataset.startswith("mini_") else PHOTO_HEAT_MAX


def heat_scale(top: float = HEAT_MAX) -> PowerNorm:
    """Where a heat in means lies on the colours, which end at ``top``: by its square root.

    The peak of a map that is warm everywhere is 2 means, that of a map of a single hot cell some 40: on a straight
    scale, one of them would be pale or the other one colour all over.
    """
    return PowerNorm(0.5, vmin=0, vmax=top)


def heat_map() -> LinearSegmentedColormap:
    """Inferno that is see-through where there is no heat."""
    colours = matplotlib.colormaps[HEAT](np.linspace(0, 1, 256))
    colours[:, 3] = np.linspace(0.15, 0.85, 256)
    return LinearSegmentedColormap.from_list("heat", colours)


def box(ax: Axes, corners: Sequence[int], branch: str = "crop") -> None:
    """A box x0, y0, x1, y1 (half open pixels) in a branch's colour, with a white rim."""
    x0, y0, x1, y1 = (float(c) for c in corners)
    for colour, width in (("white", 5), (COLOURS[branch], 2.5)):
        ax.add_patch(
            Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=colour, lw=width)
        )


def curve(ax: Axes, x: Sequence[float], y: Sequence[float], branch: str, **kwargs: Any) -> None:
    """A line in a branch's colour and dash, with markers."""
    style = {"color": COLOURS[branch], "linestyle": LINES[branch], "label": LABELS[branch], "marker": "o"}
    ax.plot(x, y, **(style | kwargs))


def save(
    fig: Figure,
    name: str,
    config: Config | None = None,
    svg: bool = True,
    about: Mapping[str, Any] | None = None,
    kept: bool = False,
    folder: Path | None = None,
) -> Path:
    """Write ``<name>.png`` (300 dpi) and .svg, the same bytes each time; returns the PNG's path.

    config, about  what the figure was made from; kept in the files' metadata, as JSON under "Description"
    kept           the figure is in git: leave it alone if it was made from the same, because another processor's
                   digits and other fonts would change it
    folder         where to write; None: ``figures/`` of the project
    """
    folder = folder or figures_folder()
    folder.mkdir(parents=True, exist_ok=True)
    told = dict(about or {}) | ({"config": config.to_dict()} if config else {})
    if kept and made_from(folder / f"{name}.png") == told:
        return folder / f"{name}.png"
    metadata = {"Title": name} | ({"Description": json.dumps(told, sort_keys=True)} if told else {})
    with matplotlib.rc_context(_STYLE), _flat_pixels(fig):
        files = {"png": {"dpi": 300, "metadata": metadata | {"Software": None}}}
        if svg:
            files["svg"] = {"metadata": metadata | {"Date": None, "Creator": None}}
        for kind, options in files.items():
            (folder / f"{name}.{kind}").write_bytes(_file(fig, format=kind, **options))
    return folder / f"{name}.png"


def made_from(path: Path) -> dict[str, Any] | None:
    """What a PNG that :func:`save` wrote says of its origin: {} if nothing, None where there is no such file.

    A setting that the kit gained after the figure was drawn has its default.
    """
    if not path.exists():
        return None
    with Image.open(path) as image:
        told = json.loads(image.info.get("Description") or "{}")
    for run in (told, *told.get("runs", [])):
        if "config" in run:
            run["config"] = Config().to_dict() | run["config"]
    return told


def _file(fig: Figure, **options: Any) -> bytes:
    """What ``savefig`` writes; the figure grows where something reaches beyond it, so that no label is cut off."""
    data = io.BytesIO()
    with warnings.catch_warnings():  # a letter that no font has is drawn as an empty box
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        fig.savefig(data, **options)
        area = Bbox.union([fig.bbox_inches, fig.get_tightbbox()])
        if not np.allclose(area.extents, fig.bbox_inches.extents, atol=0.01):
            data = io.BytesIO()
            fig.savefig(data, bbox_inches=area.padded(0.05), **options)
    return data.getvalue()


@contextmanager
def _flat_pixels(fig: Figure) -> Iterator[None]:
    """Pictures enlarged without smoothing while a file is written: at 300 dpi that makes it half as large."""
    pictures = [image for ax in fig.axes for image in ax.images]
    smooth = [image.get_interpolation() for image in pictures]
    for image in pictures:
        image.set_interpolation("nearest")
    try:
        yield
    finally:
        for image, interpolation in zip(pictures, smooth, strict=True):
            image.set_interpolation(interpolation)


def show(fig: Figure, alt: str) -> None:
    """Display a figure in a notebook with alt text, and close it."""
    from IPython.display import Image, display

    display(Image(data=png(fig), alt=alt))


def png(fig: Figure, dpi: int = 110) -> bytes:
    """The figure as PNG bytes; closes it."""
    with matplotlib.rc_context(_STYLE):
        data = _file(fig, format="png", dpi=dpi)
    plt.close(fig)
    return data


def times(*sizes: int) -> str:
    """ "3×112×112"."""
    return "×".join(map(str, sizes))


def say_if_drawn(fig: Figure, dataset: str, name: str = "") -> None:
    """No picture made from drawings may pass for one made from photographs; ``name``: said instead of the set's."""
    if dataset.startswith("mini_"):
        fig.supxlabel(drawn_note(name or dataset), fontsize=_STYLE["font.size"], color="0.35")


def drawn_note(name: str) -> str:
    """What :func:`say_if_drawn` says."""
    return f"{name}: drawn teaching data, not photographs"


@lru_cache(maxsize=2000)
def wrapped(text: str, inches: float, size: float) -> str:
    """Text in lines of at most ``inches`` at a font size in points; lines that it has already stay apart."""

    def width(line: str) -> float:
        font = FontProperties(family=_STYLE["font.family"], size=size)
        return text_to_path.get_text_width_height_descent(line, font, False)[0] / 72

    found: list[str] = []
    for line in text.split("\n"):
        letters, parts = len(line), [line]
        while letters > 1 and max(map(width, parts)) > inches:
            letters -= 1
            parts = textwrap.wrap(line, letters)
        found += parts
    return "\n".join(found)


def pixels(image: Tensor, config: Config) -> np.ndarray:
    """A normalised image (3, H, W) as it is shown: (H, W, 3) in 0..1."""
    return to_picture(image, config).permute(1, 2, 0).cpu().numpy()
