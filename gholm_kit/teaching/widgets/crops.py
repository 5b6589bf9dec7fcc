"""The slider of chapter 02: mu of eq. (5), from the heatmap to the crop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from matplotlib.figure import Figure

from gholm_kit.teaching.deciding_parts import Study, box_masks, component_boxes, iou, logits_of, share
from gholm_kit.teaching.figures import crops
from gholm_kit.teaching.widgets.panel import Panel, dropdown, picture_dropdown, slider
from gholm_kit.teaching.widgets.sliders import Stops, slider_data
from gholm_lib import masking
from gholm_lib.model import GHOLMNet

STOPS = Stops.every(0.1, 0.5, 3.0, start=1.7)


def render(
    net: GHOLMNet,
    study: Study,
    heat: torch.Tensor,
    classes: Sequence[str],
    picture: int,
    mu: float,
    connectivity: int,
) -> tuple[Figure, str]:
    """Heatmap, mask, components, box and crop of one picture, and the same in words."""
    fig = crops.threshold_steps(net, study, heat, picture, [mu], classes, connectivity)
    return fig, in_words(net, study, heat, classes, picture, mu, connectivity)


def in_words(
    net: GHOLMNet,
    study: Study,
    heat: torch.Tensor,
    classes: Sequence[str],
    picture: int,
    mu: float,
    connectivity: int = 8,
) -> str:
    """Description of what :func:`render` shows, with its numbers."""
    one = slice(picture, picture + 1)
    mask = masking.threshold(heat[one], mu)
    count = len(component_boxes(mask[0].numpy(), connectivity)[1])
    boxes = masking.largest_component_boxes(mask, connectivity)
    size = mask.shape[-1]
    inside = box_masks(boxes, size)
    words = [
        f"μ = {mu:.2f}: the mask covers {_percent(mask)} of the picture in {count} component{'s' * (count != 1)}"
    ]
    words += (
        [f"the crop is {_percent(inside)} of it"]
        if count
        else ["it is empty, so the crop is the whole picture"]
    )
    if study.deciding is not None:
        words.append(
            f"the box contains {100 * float(share(study.deciding[one], inside)):.0f} % of the deciding parts"
        )
    if study.boxes is not None:
        words.append(
            f"the overlap of the box with the true box (IoU) is {float(iou(boxes, study.boxes[one])):.2f}"
        )
    label = int(study.labels[picture])
    logits = logits_of(net, masking.crop(study.images[one], boxes, size))[0]
    mark = "right" if int(logits.argmax()) == label else f"truth: {classes[label]}"
    words.append(f"Crop says {crops.answer(logits, classes)} ({mark})")
    return "; ".join(words) + "."


def _percent(mask: torch.Tensor) -> str:
    return f"{100 * float(mask.float().mean()):.0f} %"


def panel(
    net: GHOLMNet, study: Study, heat: torch.Tensor, classes: Sequence[str], pictures: Sequence[int]
) -> Panel:
    """A slider for mu, a menu of pictures (indices into ``study``), a menu for the connectivity of components.

    On pages and slides, the first pictures only.
    """
    return Panel(
        partial(render, net, study, heat, classes),
        {
            "picture": picture_dropdown(study, classes, pictures),
            "mu": slider("μ", *STOPS.ends, hint="threshold of eq. (5), in units of the mean heat"),
            "connectivity": dropdown(
                "neighbours", [8, 4], hint="which neighbours belong to one component; 8 includes diagonals"
            ),
        },
        slider_data(net, study, classes, pictures, mu=STOPS),
    )
