"""The sliders of eq. (5) and (6) on pages and slides, where no notebook runs: what the page has to know for them.

For each of a few pictures: its pixels, the coarse maps of a few classes (eq. 2), and what the network answers at
each stop of the slider. The page's own script (``sliders.js`` of ``gholm_kit.pages``) does the rest as the library
does it: it enlarges a map, thresholds it, finds the largest component and its box, and draws.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gholm_kit import style
from gholm_kit.teaching.deciding_parts import Study, erased, logits_of
from gholm_lib import masking
from gholm_lib.gradcam import upsample
from gholm_lib.model import GHOLMNet

SLIDERS_VIEW = "application/vnd.gholm.sliders+json"
"""In the output of a panel's cell, beside the widget: ``still`` (PNG, base64), ``alt``, ``data`` of this module."""
PICTURES = 6  # on a page; more would make it slow to load
CLASSES = 3  # whose maps can be chosen: the best classes of Raw, and the true one
CONNECTIVITIES = (8, 4)


@dataclass(frozen=True)
class Stops:
    """Where a slider can stand.

    values  in units of the mean heat, ascending
    start   where it stands at first
    """

    values: tuple[float, ...]
    start: float

    def __post_init__(self) -> None:
        """Raise ValueError unless the slider can stand at its start."""
        if self.start not in self.values:
            raise ValueError(f"the slider cannot start at {self.start}: its stops are {self.values}")

    @classmethod
    def every(cls, step: float, low: float, high: float, start: float) -> Stops:
        """From ``low`` to ``high`` in equal steps.

        raises  ValueError if ``start`` is not one of them
        """
        count = round((high - low) / step) + 1
        return cls(tuple(round(low + k * step, 6) for k in range(count)), start)

    @property
    def ends(self) -> tuple[float, float, float]:
        """Start, first and last stop, as ``panel.slider`` takes them."""
        return self.start, self.values[0], self.values[-1]

    def plain(self) -> dict[str, Any]:
        """For the page: all stops, and the number of the first."""
        return {"stops": list(self.values), "start": self.values.index(self.start)}


def slider_data(
    net: GHOLMNet,
    study: Study,
    classes: Sequence[str],
    pictures: Sequence[int],
    mu: Stops | None = None,
    theta: Stops | None = None,
) -> dict[str, Any]:
    """What the script needs to show ``pictures`` (indices into ``study``), as values that JSON can hold.

    classes  name of each class
    mu       stops of the slider of eq. (5); None: the page shows neither box nor crop
    theta    stops of the slider of eq. (6), with the config's fill; None: the page erases nothing
    returns  the first PICTURES pictures. All heat is float32, as on the page, and written so that no bit is lost
    raises   ValueError for the fill "noise": the page would draw other noise than the network saw
    """
    config = net.config
    if theta and config.fill == "noise":
        raise ValueError('a page cannot erase with noise: choose fill "mean", "black" or "channel_mean"')
    shown = list(pictures)[:PICTURES]
    data: dict[str, Any] = {
        "size": study.images.shape[-1],
        "classes": list(classes),
        "heat": _colours(net.config.dataset),
        "note": f"{config.dataset}: drawn teaching data, not photographs"
        * config.dataset.startswith("mini_"),
        "pictures": [_picture(net, study, classes, index, mu, theta) for index in shown],
    }
    if mu:
        readings = {
            name: getattr(config, f"crop_{name}") for name in ("padding", "min_size", "square", "margin")
        }
        data["mu"] = mu.plain() | {"connectivities": list(CONNECTIVITIES), "adjust": readings}
    if theta:
        data["theta"] = theta.plain() | {"fill": config.fill}
    return data


def coarse_maps(net: GHOLMNet, image: Tensor, targets: Sequence[int]) -> Tensor:
    """The maps of eq. (2) of one image (1, 3, H, W), one for each class of ``targets``: (T, h, w) float32."""
    return net.raw_and_map(image.expand(len(targets), -1, -1, -1), torch.tensor(targets))[1].float()


def boxes_at(net: GHOLMNet, heat: Tensor, mus: Sequence[float], connectivity: int) -> Tensor:
    """The boxes of one heatmap (H, W) at each mu, with the config's margins: (M, 4) int64."""
    masks = masking.threshold(heat.expand(len(mus), -1, -1), torch.tensor(mus))
    boxes = masking.largest_component_boxes(masks, connectivity)
    c = net.config
    size = heat.shape[-2], heat.shape[-1]
    return masking.adjust_boxes(boxes, size, c.crop_padding, c.crop_min_size, c.crop_square, c.crop_margin)


def _picture(
    net: GHOLMNet,
    study: Study,
    classes: Sequence[str],
    index: int,
    mu: Stops | None,
    theta: Stops | None,
) -> dict[str, Any]:
    image, label = study.images[index : index + 1], int(study.labels[index])
    raw = logits_of(net, image)[0].softmax(-1)
    targets = _targets(raw, label)
    maps = []
    for target, cam in zip(targets, coarse_maps(net, image, targets), strict=True):
        heat = upsample(cam[None], study.images.shape[-1])
        told: dict[str, Any] = {"target": target, **_exact(cam, heat)}
        if mu:
            told["crop"] = {str(k): _crops(net, image, heat[0], mu.values, k) for k in CONNECTIVITIES}
        if theta:
            told["erased"] = _erasures(net, image, heat[0], theta.values, int(raw.argmax()))
        maps.append(told)
    return {
        "name": f"{classes[label]} ({index})",
        "label": label,
        "raw": _answer(raw),
        "image": _png(style.pixels(image[0], net.config)),
        "paint": _paint(net, image) if theta else None,
        "maps": maps,
    }


def _targets(raw: Tensor, label: int) -> list[int]:
    """Classes whose map can be chosen: the predicted one first, and the true one whatever its rank."""
    best = raw.topk(min(CLASSES, len(raw))).indices.tolist()
    return best if label in best else [*best[:-1], label]


def _exact(cam: Tensor, heat: Tensor) -> dict[str, Any]:
    """A coarse map (h, w) and abar of eq. (4), in the fewest digits that give the same float32 again.

    The mean is the library's: the sum of many float32 depends on their order, and a page need not know that.
    """
    rows = [[_shortest(v) for v in row] for row in cam.numpy()]
    return {"cam": rows, "mean": _shortest(masking.heat_mean(heat)[0].numpy())}


def _shortest(value: np.float32) -> float:
    return float(str(value))


def _crops(
    net: GHOLMNet, image: Tensor, heat: Tensor, mus: Sequence[float], connectivity: int
) -> list[list[float]]:
    """The network's answer to the crop at each mu: class and probability. Equal boxes are asked about once."""
    boxes, which = boxes_at(net, heat, mus, connectivity).unique(dim=0, return_inverse=True)
    crops = masking.crop(image.expand(len(boxes), -1, -1, -1), boxes, image.shape[-1])
    answers = [_answer(p) for p in logits_of(net, crops).softmax(-1)]
    return [answers[k] for k in which.tolist()]


def _erasures(
    net: GHOLMNet, image: Tensor, heat: Tensor, thetas: Sequence[float], before: int
) -> list[dict[str, Any]]:
    """The answer to the erased picture at each theta, what is left of class ``before``, and where it looks then."""
    masks = masking.threshold(heat.expand(len(thetas), -1, -1), torch.tensor(thetas))
    gone = erased(net, image.expand(len(thetas), -1, -1, -1), masks, net.config.fill)
    logits, second = net.raw_and_map(gone)
    # In units of its mean: the second map is only looked at.
    means = upsample(second, image.shape[-1]).mean((1, 2)).clamp(min=1e-12)
    relative = (second / means[:, None, None]).double()
    return [
        {"said": _answer(p), "left": round(float(p[before]), 4), "cam": (m * 100).round().div(100).tolist()}
        for p, m in zip(logits.softmax(-1), relative, strict=True)
    ]


def _answer(probabilities: Tensor) -> list[float]:
    said = int(probabilities.argmax())
    return [said, round(float(probabilities[said]), 4)]


def _paint(net: GHOLMNet, image: Tensor) -> list[int]:
    """The colour of erased pixels, 0 to 255: those of an image that is erased as a whole."""
    everywhere = torch.ones(1, *image.shape[-2:], dtype=torch.bool)
    gone = erased(net, image, everywhere, net.config.fill)
    return (255 * style.pixels(gone[0], net.config)[0, 0]).round().astype(int).tolist()


def _png(image: np.ndarray) -> str:
    """An image (H, W, 3) in 0..1 as a data URI."""
    stream = io.BytesIO()
    Image.fromarray((255 * image).round().astype(np.uint8)).save(stream, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _colours(dataset: str) -> dict[str, Any]:
    """The kit's colours of heat, (256) of red, green, blue and opacity from 0 to 255, and where they end."""
    table = (255 * style.heat_map()(np.arange(256))).round().astype(int)
    return {"colours": table.tolist(), "max": style.heat_top(dataset)}
