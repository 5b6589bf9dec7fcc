"""The controls of chapter 03: theta of eq. (6), the fill, and what the network sees after the erasure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from matplotlib.figure import Figure

from gholm_kit.teaching.deciding_parts import Study, erased, logits_of, share
from gholm_kit.teaching.figures import erasure
from gholm_kit.teaching.widgets.panel import Panel, dropdown, picture_dropdown, slider
from gholm_kit.teaching.widgets.sliders import Stops, slider_data
from gholm_lib import masking
from gholm_lib.model import GHOLMNet

STOPS = Stops.every(0.1, 0.5, 4.0, start=1.5)


def render(
    net: GHOLMNet,
    study: Study,
    heat: torch.Tensor,
    classes: Sequence[str],
    picture: int,
    theta: float,
    fill: str,
    seed: int = 0,
) -> tuple[Figure, str]:
    """One picture before and after the erasure, with the moved mask as control, and the same in words."""
    fig = erasure.erasure_steps(net, study, heat, picture, [theta], fill, classes, seed)
    return fig, in_words(net, study, heat, classes, picture, theta, fill, seed)


def in_words(
    net: GHOLMNet,
    study: Study,
    heat: torch.Tensor,
    classes: Sequence[str],
    picture: int,
    theta: float,
    fill: str,
    seed: int = 0,
) -> str:
    """Description of what :func:`render` shows, with its numbers."""
    one = slice(picture, picture + 1)
    x, mask = study.images[one], masking.threshold(heat[one], theta)
    away, _ = erasure.moved_in_sight(mask[0], seed)
    pictures = [x, *(erased(net, x, m, fill, seed) for m in (mask, away[None]))]
    whole, gone, control = logits_of(net, torch.cat(pictures)).softmax(1)  # each (K,)
    said = int(whole.argmax())
    words = [f"θ = {theta:.2f} erases {100 * float(mask.float().mean()):.0f} % of the picture (fill: {fill})"]
    if study.deciding is not None:
        words.append(
            f"this removes {100 * float(share(study.deciding[one], mask)):.0f} % of the deciding parts"
        )
    sure = [f"{100 * float(p[said]):.0f} %" for p in (whole, gone, control)]
    mark = "right" if said == int(study.labels[picture]) else "wrong"
    words.append(f"confidence in {classes[said]} ({mark}) changes from {sure[0]} to {sure[1]}")
    words.append(f"it is {sure[2]} when the same shape is erased elsewhere")
    words.append(f"the network classifies the erased picture as {classes[int(gone.argmax())]}")
    return "; ".join(words) + "."


def panel(
    net: GHOLMNet, study: Study, heat: torch.Tensor, classes: Sequence[str], pictures: Sequence[int]
) -> Panel:
    """A slider for theta, a menu of fills and a menu of pictures (indices into ``study``).

    On pages and slides, the first pictures only, and the fill that the network was trained with; none for noise.
    """
    hint = "threshold of eq. (6), in units of the mean heat; the paper samples from 1 to 2"
    return Panel(
        partial(render, net, study, heat, classes),
        {
            "picture": picture_dropdown(study, classes, pictures),
            "theta": slider("θ", *STOPS.ends, hint=hint),
            "fill": dropdown("fill", masking.FILLS, hint="what replaces the erased pixels"),
        },
        None if net.config.fill == "noise" else slider_data(net, study, classes, pictures, theta=STOPS),
    )
