"""Figures of chapter 03: erase the region that the network attends to (eq. 6), then look again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gholm_kit import style
from gholm_kit.teaching.deciding_parts import Study, erased, heat_of, level_masks, logits_of, moved
from gholm_kit.teaching.figures.crops import answer, verdict, view_array
from gholm_lib import masking
from gholm_lib.model import GHOLMNet
from gholm_lib.uncertainty import accuracy_interval

PAPER, WS_DAN = (1.0, 2.0), (0.2, 0.5)
"""theta ~ U(1, 2) times the mean (section 3.3); U(0.2, 0.5) times the maximum (public code of WS-DAN)."""


@style.in_style
def erasure_steps(
    net: GHOLMNet,
    study: Study,
    heat: torch.Tensor,
    index: int,
    thetas: Sequence[float],
    fill: str,
    classes: Sequence[str],
    seed: int = 0,
) -> Figure:
    """Eq. (6) for one picture, one row per theta: heatmap, erased picture, second heatmap, moved mask as control."""
    image, h, x = view_array(study, index, net), heat[index : index + 1], study.images[index : index + 1]
    label, ends = int(study.labels[index]), style.heat_top(net.config.dataset)
    fig, axes = style.styled(5, len(thetas), size=(3.3, 3.75 + 0.6 / len(thetas)), squeeze=False)
    for ax, theta in zip(axes, thetas, strict=True):
        mask = masking.threshold(h, theta)
        away, how = moved_in_sight(mask[0], seed)
        gone, elsewhere = (erased(net, x, m, fill, seed) for m in (mask, away[None]))
        first, after, control = (logits_of(net, y)[0] for y in (x, gone, elsewhere))
        style.picture(ax[0], image, f"whole image\n{verdict(first, label, classes)}")
        artist = style.heat_over(
            ax[1], image, h[0].numpy(), theta, f"first heatmap and\ncontour θ = {theta:g}", ends
        )
        said = verdict(after, label, classes)
        style.picture(ax[2], style.pixels(gone[0], net.config), f"erased ({_percent(mask)})\n{said}")
        again = heat_of(net, gone)[0].numpy()
        style.heat_over(
            ax[3],
            style.pixels(gone[0], net.config),
            again,
            None,
            "second heatmap, on\nthe erased image",
            ends,
        )
        said = verdict(control, label, classes)
        style.picture(ax[4], style.pixels(elsewhere[0], net.config), f"{how}\n{said}")
    style.heat_bar(fig, artist, axes.ravel().tolist())
    style.say_if_drawn(fig, net.config.dataset)
    return fig


def moved_in_sight(mask: torch.Tensor, seed: int = 0) -> tuple[torch.Tensor, str]:
    """A mask (H, W) bool moved so that the eye knows its shape again: (H, W), and what to call it.

    Of the places where the whole shape stays inside the picture, it takes the one that covers least of the first.
    A mask that reaches from edge to edge has hardly any such place: if a quarter of it would lie on the first, it is
    moved as in the measurement, see ``moved``.
    """
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    if not len(rows):
        return mask, "nothing to move"
    (height, width), area = mask.shape, int(mask.sum())
    up, down = -int(rows[0]), height - int(rows[-1])
    left, right = -int(columns[0]), width - int(columns[-1])
    shared = torch.fft.irfft2(
        torch.fft.rfft2(mask.double()).abs() ** 2, mask.shape
    ).round()  # by offset, wrapping
    allowed = shared[torch.arange(up, down)[:, None], torch.arange(left, right)]
    y, x = divmod(int(allowed.argmin()), right - left)  # the first of equal ones
    y, x = y + up, x + left
    if shared[y, x] < area / 4:
        return mask.roll((y, x), (0, 1)), "same shape moved"
    return moved(mask[None], seed)[0], "same shape moved,\nround the edges"


def _percent(mask: torch.Tensor) -> str:
    return f"{100 * float(mask.float().mean()):.0f} %"


@style.in_style
def four_fills(
    net: GHOLMNet,
    study: Study,
    heat: torch.Tensor,
    index: int,
    theta: float,
    classes: Sequence[str],
    seed: int = 0,
) -> Figure:
    """One picture erased with each fill, and the heatmap of each result."""
    fig, axes = style.styled(len(masking.FILLS), 2, size=(3.6, 4.1), squeeze=False)
    ends = style.heat_top(net.config.dataset)
    for (top, bottom), (fill, gone) in zip(
        axes.T, _with_each_fill(net, study, heat, index, theta, seed), strict=True
    ):
        said = verdict(logits_of(net, gone)[0], int(study.labels[index]), classes)
        style.picture(top, style.pixels(gone[0], net.config), f'fill="{fill}"\n{said}')
        shown, again = style.pixels(gone[0], net.config), heat_of(net, gone)[0].numpy()
        artist = style.heat_over(bottom, shown, again, None, "second heatmap", ends)
    style.heat_bar(fig, artist, axes.ravel().tolist())
    style.say_if_drawn(fig, net.config.dataset)
    return fig


def fills_in_words(
    net: GHOLMNet,
    study: Study,
    heat: torch.Tensor,
    index: int,
    theta: float,
    classes: Sequence[str],
    seed: int = 0,
) -> str:
    """What the network says of each picture of :func:`four_fills`."""
    return "; ".join(
        f"{fill}: {answer(logits_of(net, gone)[0], classes)}"
        for fill, gone in _with_each_fill(net, study, heat, index, theta, seed)
    )


def _with_each_fill(
    net: GHOLMNet, study: Study, heat: torch.Tensor, index: int, theta: float, seed: int
) -> Iterator[tuple[str, torch.Tensor]]:
    """Each fill, and one picture of the study erased with it, (1, 3, H, W)."""
    x, mask = study.images[index : index + 1], masking.threshold(heat[index : index + 1], theta)
    for fill in masking.FILLS:
        yield fill, erased(net, x, mask, fill, seed)


@style.in_style
def theta_curves(sweep: pd.DataFrame, confidence: float, accuracy: float, dataset: str) -> Figure:
    """What erasing costs, against theta: the rows of ``deciding_parts.erasure_sweep`` with ``by="mean"``.

    confidence, accuracy  on the whole images, in 0..1; drawn as reference lines
    """
    fig, axes = style.styled(3, 1, size=(5.4, 4.8))
    means = sweep.groupby(["place", "level"]).mean(numeric_only=True)
    for place, label in (("attended", "attended region"), ("moved", "same shape moved")):
        look = {"color": style.COLOURS["drop"] if place == "attended" else "0.45", "marker": "o"}
        look |= {"linestyle": "-" if place == "attended" else "--", "label": label}
        row = means.loc[place]
        axes[0].plot(row.index, 100 * row.confidence, **look)
        axes[1].plot(row.index, 100 * row.right, **look)
        right = sweep[sweep.place == place].groupby("level").right
        limits = right.apply(lambda r: accuracy_interval(r.to_numpy()))
        low, high = 100 * np.array(limits.tolist()).T
        axes[1].fill_between(limits.index, low, high, color=look["color"], alpha=0.2, linewidth=0)
        if row.removed.notna().all():
            axes[2].plot(row.index, 100 * row.removed, **look)
    axes[2].plot(row.index, 100 * row.erased, color="black", linestyle=":", label="erased pixels")
    _reference(axes[0], 100 * confidence)
    _reference(axes[1], 100 * accuracy)
    axes[0].set(title="Confidence in the class\npredicted for the whole image", ylabel="%")
    axes[1].set(title="Accuracy\n(bands: 95 % intervals)", ylabel="%")
    axes[2].set(title="Deciding parts removed,\nand pixels erased", ylabel="%")
    for ax in axes:
        ax.axvspan(*PAPER, color="0.93", zorder=0)
        ax.set(xlabel="θ (grey: the paper's U(1, 2))", ylim=(0, 100))
    axes[2].legend(fontsize=12)
    style.say_if_drawn(fig, dataset)
    return fig


def curves_in_words(sweep: pd.DataFrame) -> str:
    """The ends of the curves of :func:`theta_curves`."""
    means = 100 * sweep.groupby(["place", "level"])[["confidence", "right"]].mean()
    told = []
    for place, name in (("attended", "Attended region erased"), ("moved", "Same shape erased elsewhere")):
        ends = means.loc[place].iloc[[0, -1]]
        at = [
            f"θ = {theta:g}: confidence {row.confidence:.0f} %, accuracy {row.right:.0f} %"
            for theta, row in ends.iterrows()
        ]
        told.append(f"{name}: {'; '.join(at)}")
    return ". ".join(told)


def _reference(ax: Axes, value: float) -> None:
    ax.axhline(value, color=style.COLOURS["raw"], linewidth=2)
    ax.text(
        0.98,
        value + 1.5,
        "whole image",
        color=style.COLOURS["raw"],
        ha="right",
        transform=ax.get_yaxis_transform(),
    )


@style.in_style
def two_rules(heat: torch.Tensor, dataset: str, draws: int = 20, seed: int = 0) -> Figure:
    """The paper's threshold (relative to the mean) and WS-DAN's (to the maximum) on the same heatmaps (N, H, W)."""
    peak = np.sort((heat.amax((1, 2)) / heat.mean((1, 2)).clamp(min=1e-12)).numpy())
    fig, (left, right) = style.styled(2, 1, size=(6.6, 4.8))
    order = np.arange(1, len(peak) + 1)
    left.axhspan(*PAPER, color=style.COLOURS["drop"], alpha=0.35, label="the paper: 1 to 2 × mean")
    left.fill_between(
        order, WS_DAN[0] * peak, WS_DAN[1] * peak, alpha=0.35, hatch="//", color=style.COLOURS["raw"],
        label="WS-DAN's code: 0.2 to 0.5 × max",
    )  # fmt: skip
    left.plot(order, peak, color="black", label="maximum of the heatmap")
    left.set(
        title="Where the threshold lies",
        xlabel="images, sorted by peak height",
        ylabel="heat / its mean",
        ylim=0,
    )
    left.legend(fontsize=12)
    bins = np.linspace(0, 100, 41)
    for (low, high), by, branch, label in (
        (PAPER, "mean", "drop", "the paper: relative to the mean"),
        (WS_DAN, "max", "raw", "WS-DAN's code: relative to the max"),
    ):
        shares = 100 * erased_shares(heat, low, high, by, draws, seed)
        hatch = "//" if by == "max" else None
        label = f"{label} ({shares.mean():.0f} % on average)"
        right.hist(shares, bins, alpha=0.45, color=style.COLOURS[branch], hatch=hatch, label=label)
    right.set(
        title="How much is erased", xlabel="% of the image erased", ylabel=f"images ({draws} draws each)"
    )
    right.set_ylim(0, 1.35 * right.get_ylim()[1])  # room for the legend
    right.legend(fontsize=12)
    style.say_if_drawn(fig, dataset)
    return fig


def erased_shares(
    heat: torch.Tensor, low: float, high: float, by: str, draws: int = 20, seed: int = 0
) -> np.ndarray:
    """Share of the image erased for levels drawn from U(low, high): (draws * N,)."""
    generator = torch.Generator().manual_seed(seed)
    levels = low + (high - low) * torch.rand(draws, len(heat), generator=generator)
    shares = [level_masks(heat, level, by).float().mean((1, 2)) for level in levels]
    return torch.cat(shares).numpy()
