"""Figures of chapter 02: from a threshold to a crop (eq. 4-5), and the trade-off that mu sets."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gholm_kit import published, style
from gholm_kit.teaching.deciding_parts import Study, component_boxes, logits_of
from gholm_lib import masking
from gholm_lib.loading import to_picture
from gholm_lib.model import GHOLMNet
from gholm_lib.uncertainty import accuracy_interval

# The largest component is orange, like the Crop branch; the others go from blue to pale, also in grey print.
_OTHERS = ("#0072B2", "#56B4E9", "#CC79A7", "#F0E442")


def view_array(study: Study, index: int, net: GHOLMNet) -> np.ndarray:
    """Picture ``index`` as the network sees it, (s, s, 3) in 0..1."""
    return to_picture(study.images[index], net.config).permute(1, 2, 0).numpy()


def verdict(logits: torch.Tensor, label: int, classes: Sequence[str]) -> str:
    """Text for a title: right or wrong, the predicted class and its probability."""
    p = logits.float().softmax(-1)
    said = int(p.argmax())
    name = "\n".join(textwrap.wrap(classes[said], 20))
    return f"{'✓' if said == label else '✗'} {name} {100 * float(p[said]):.0f} %"


def answer(logits: torch.Tensor, classes: Sequence[str]) -> str:
    """The predicted class and its probability, in a sentence: "House Finch, 79 %"; logits (K,)."""
    p = logits.float().softmax(-1)
    return f"{classes[int(p.argmax())]}, {100 * float(p.max()):.0f} %"


@style.in_style
def threshold_steps(
    net: GHOLMNet,
    study: Study,
    heat: torch.Tensor,
    index: int,
    mus: Sequence[float],
    classes: Sequence[str],
    connectivity: int = 8,
) -> Figure:
    """Eq. (5) step by step for one picture, one row per mu: heatmap, mask, components, box, crop."""
    image, h = view_array(study, index, net), heat[index : index + 1]
    fig, axes = style.styled(5, len(mus), size=(3.3, 3.75 + 0.6 / len(mus)), squeeze=False)
    ends = style.heat_top(net.config.dataset)
    for ax, mu in zip(axes, mus, strict=True):
        mask = masking.threshold(h, mu)
        boxes = masking.largest_component_boxes(mask, connectivity)
        crop = masking.crop(study.images[index : index + 1], boxes, image.shape[0])
        said = verdict(logits_of(net, crop)[0], int(study.labels[index]), classes)
        artist = style.heat_over(ax[0], image, h[0].numpy(), mu, f"heatmap and\ncontour μ = {mu:g}", ends)
        shown = np.where(mask[0].numpy()[..., None], image, 0.25 * image)
        style.picture(ax[1], shown, f"mask (eq. 5)\n{100 * float(mask.float().mean()):.0f} % of the pixels")
        count = components(ax[2], image, mask[0].numpy(), connectivity)
        ax[2].set_title(f"components: {count}\nthe largest is 1")
        style.picture(ax[3], image, "box of component 1" if count else "empty mask:\nthe whole image")
        style.box(ax[3], boxes[0].tolist())
        if study.boxes is not None:
            true_box(ax[3], study.boxes[index])
            ax[3].set_title(ax[3].get_title() + "\n(dotted: true box)" * bool(count))
        style.picture(ax[4], to_picture(crop[0], net.config).permute(1, 2, 0).numpy(), f"crop\n{said}")
    style.heat_bar(fig, artist, axes.ravel().tolist())
    style.say_if_drawn(fig, net.config.dataset)
    return fig


def components(ax: Axes, image: np.ndarray, mask: np.ndarray, connectivity: int) -> int:
    """Colour and number the connected components over a grey picture; returns how many there are."""
    labels, boxes, _ = component_boxes(mask, connectivity)
    shown = np.repeat(image.mean(-1, keepdims=True), 3, -1)
    colours = (style.COLOURS["crop"], *_OTHERS)
    for k in range(1, len(boxes) + 1):
        colour = np.array(matplotlib.colors.to_rgb(colours[min(k, len(colours)) - 1]))
        shown[labels == k] = 0.35 * shown[labels == k] + 0.65 * colour
    style.picture(ax, shown)
    for k in range(1, min(len(boxes), 9) + 1):
        rows, columns = np.nonzero(labels == k)
        # The component's pixel nearest to its centroid; the centroid itself can lie outside, as in a ring.
        middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        letters = {"ha": "center", "va": "center", "weight": "bold", "fontsize": 15}
        rim = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
        ax.text(columns[middle], rows[middle], str(k), bbox=rim, **letters)
    return len(boxes)


def true_box(ax: Axes, corners: Sequence[float]) -> None:
    """The data set's box of the object: dotted, black on white."""
    x0, y0, x1, y1 = (float(c) for c in corners)
    for colour, width, dash in (("white", 4.5, "-"), ("black", 2.2, ":")):
        frame = Rectangle(
            (x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=colour, lw=width, ls=dash
        )
        ax.add_patch(frame)


@style.in_style
def mask_components(mask: np.ndarray, title: str = "") -> Figure:
    """Components of a small mask (H, W) bool with 4 and with 8 neighbours, and the box of the largest one."""
    fig, axes = style.styled(2, 1, size=(5, 4.2))
    for ax, connectivity in zip(axes, (4, 8), strict=True):
        count = components(ax, np.full((*mask.shape, 3), 0.35), mask, connectivity)
        box = masking.largest_component_boxes(torch.from_numpy(mask)[None], connectivity)[0]
        style.box(ax, box.tolist())
        ax.set_title(f"{connectivity} neighbours: {count} component{'s' * (count != 1)}\nbox {box.tolist()}")
    fig.suptitle(title)
    return fig


@style.in_style
def mu_curves(sweep: pd.DataFrame, raw_right: np.ndarray, dataset: str, mu: float = 1.7) -> Figure:
    """The trade-off that mu sets, from the rows of ``deciding_parts.crop_sweep``; beside it the paper's Table 4.

    raw_right  (N,) bool, Raw alone on the same images
    """
    fig, axes = style.styled(2, 2, size=(6.4, 4.8))
    means = sweep.groupby("mu").mean(numeric_only=True)
    (size_ax, kept_ax), (right_ax, paper_ax) = axes
    _mean_curve(size_ax, means.box_area, "area of the box", "black", "-")
    _mean_curve(size_ax, means.iou, "overlap with the true box (IoU)", style.COLOURS["raw"], "--")
    size_ax.set(title="How much is kept?", ylabel="% of the image, or IoU")
    _mean_curve(kept_ax, means.kept, "deciding parts inside the box", style.COLOURS["drop"], "-")
    _mean_curve(kept_ax, means.box_area, "area of the box (expected by chance)", "0.5", ":")
    kept_ax.set(title="Are the deciding parts kept?", ylabel="%")
    _accuracy_curves(right_ax, sweep, raw_right)
    for ax in (size_ax, kept_ax, right_ax):
        ax.set(xlabel="μ at test time", ylim=(0, 100))
        _mark_mu(ax, mu)
        if ax.get_legend_handles_labels()[0]:
            _legend_below(ax)
    _paper_table_4(paper_ax)
    style.say_if_drawn(fig, dataset)
    return fig


def curves_in_words(sweep: pd.DataFrame) -> str:
    """The first and the last point of the curves of :func:`mu_curves`, and where Crop is best."""
    means = 100 * sweep.groupby("mu")[["box_area", "crop_right"]].mean()
    ends = [
        f"at mu = {mu:g} the box is {row.box_area:.0f} % of the image and Crop right in {row.crop_right:.0f} %"
        for mu, row in means.iloc[[0, -1]].iterrows()
    ]
    return f"{', '.join(ends)}; Crop is best at mu = {means.crop_right.idxmax():g}, {means.crop_right.max():.0f} %"


def _mark_mu(ax: Axes, mu: float) -> None:
    """A vertical line at the method's mu, with its value at the top of the panel."""
    ax.axvline(mu, color="0.6", linewidth=1.5)
    place = {"xytext": (4, -4), "textcoords": "offset points", "ha": "left", "va": "top"}
    ax.annotate(
        f"μ = {mu:g}", (mu, 1), xycoords=("data", "axes fraction"), fontsize=12, color="0.25", **place
    )


def _legend_below(ax: Axes) -> None:
    """The legend under the panel: inside, the line at mu would cross it."""
    ax.legend(fontsize=12, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)


def _mean_curve(ax: Axes, values: pd.Series, label: str, colour: str, dash: str) -> None:
    if values.notna().all():
        ax.plot(values.index, 100 * values, color=colour, linestyle=dash, marker="o", label=label)


def _accuracy_curves(ax: Axes, sweep: pd.DataFrame, raw_right: np.ndarray) -> None:
    for column, branch in (("crop_right", "crop"), ("both_right", "both")):
        right = sweep.groupby("mu")[column]
        style.curve(ax, list(right.groups), 100 * right.mean(), branch)
    limits = sweep.groupby("mu").crop_right.apply(lambda r: accuracy_interval(r.to_numpy()))
    low, high = 100 * np.array(limits.tolist()).T
    ax.fill_between(limits.index, low, high, color=style.COLOURS["crop"], alpha=0.2, linewidth=0)
    ax.axhline(100 * raw_right.mean(), color=style.COLOURS["raw"], label="Raw (no crop)")
    ax.set(
        title=f"Does the crop help? {len(raw_right)} images,\nband: Crop's 95 % interval",
        ylabel="accuracy in %",
    )


def _paper_table_4(ax: Axes) -> None:
    """The paper's numbers, on their own scale: photographs and another network."""
    ax.plot(list(published.MU), list(published.MU.values()), color="0.35", marker="s", mfc="white", ms=9)
    ax.set(xlabel="μ", ylabel="accuracy in %", ylim=(90.8, 92.7))
    ax.set_title("The paper, Table 4 (cited): CUB photographs,\none number for each μ")
    best = max(published.MU.values())
    low, high = (100 * limit for limit in accuracy_interval(_rights(best, 5794)))
    ax.axhspan(low, high, color="0.9")
    ax.text(1.6, low + 0.04, f"95 % interval of {best} % on 5794 images", fontsize=11, color="0.25")


def _rights(percent: float, count: int) -> np.ndarray:
    return np.arange(count) < round(percent / 100 * count)


@style.in_style
def wrong_gallery(
    net: GHOLMNet, study: Study, heat: torch.Tensor, wrong: pd.DataFrame, mu: float, connectivity: int = 8
) -> Figure:
    """Pictures whose largest component is the wrong one: components above; deciding parts and the box below.

    wrong  the first rows of ``deciding_parts.wrong_components``, at most five
    """
    fig, axes = style.styled(len(wrong), 2, size=(3.6, 4.0), squeeze=False)
    for (top, bottom), row in zip(axes.T, wrong.itertuples(), strict=True):
        image = view_array(study, row.image, net)
        mask = masking.threshold(heat[row.image : row.image + 1], mu)[0].numpy()
        components(top, image, mask, connectivity)
        top.set_title(
            f"deciding parts in box 1:\n{100 * row.largest:.0f} %, in another: {100 * row.other:.0f} %"
        )
        style.picture(bottom, image)
        places = study.deciding[row.image].numpy() > 0
        bottom.contour(places, levels=[0.5], colors="white", linewidths=4)
        bottom.contour(places, levels=[0.5], colors=style.COLOURS["drop"], linewidths=2.2, linestyles="--")
        style.box(bottom, component_boxes(mask, connectivity)[1][0])
    axes[1, 0].set_title("frame: the box that eq. (5) takes\ndashed: deciding parts", loc="left", fontsize=13)
    style.say_if_drawn(fig, net.config.dataset)
    return fig
