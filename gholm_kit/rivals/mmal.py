"""MMAL: the object is located by the summed features, then the parts of it, and all are classified alike.

F. Zhang, M. Li, G. Zhai, Y. Liu, "Multi-branch and Multi-scale Attention Learning for Fine-Grained Visual
Categorization", MMM 2021, arXiv:2003.09150. The numbers of the equations are from memory and were not checked
against the paper:

    (1)-(3)  AOLM: A = sum_i f_i over the channels, a its mean, M(x, y) = 1 where A(x, y) > a (as SCDA does)
    (4)      the object: M of the last block's features and of the block's before, of the first its largest component
    (5)      APPM: a window's score is the mean of A in it; non-maximum suppression leaves the best of each scale
    (6)-(9)  L = L_raw + L_object + L_parts: cross-entropies of whole image, object and parts, by one network

The answer is the object's alone; parts are for training. What the equations leave open is as in the authors' code
(github.com/ZF4444/MMAL-Net): the windows (those for birds), IoU 0.25, parts enlarged to half the image's side,
L_parts averaged over the parts. Three things differ from it. Four parts instead of seven, so that training costs as
many passes as GHOLM-Net's (four images of half the side are one whole one). The positive part of the features is
summed: in the paper's ResNet-50, whose blocks end in a ReLU, there is no other, in a ConvNeXt there is. All losses
count from the first epoch, where the code begins with L_raw alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms

from gholm_kit.rivals.rival import Rival
from gholm_kit.rivals.wsdan import covering_boxes
from gholm_lib import losses, masking
from gholm_lib.config import Config, ConfigError
from gholm_lib.gradcam import upsample
from gholm_lib.model import Attended, Attention, Output
from gholm_lib.precision import at_least_float32

# Windows (height, width) of each scale, on the 14 x 14 map that 448 pixels give.
GRID = 14
WINDOWS = (
    ((4, 4), (3, 5), (5, 3)),
    ((6, 6), (5, 7), (7, 5)),
    ((8, 8), (6, 10), (10, 6), (7, 9), (9, 7), (7, 10), (10, 7)),
)
PARTS = (2, 1, 1)  # of each scale
MAX_IOU = 0.25


def activation_map(features: Tensor) -> Tensor:
    """Eq. (1): features (B, C, h, w) → A (B, h, w), the sum of what is positive."""
    return at_least_float32(features).clamp(min=0).sum(1)


def object_mask(last: Tensor, before: Tensor) -> Tensor:
    """Eq. (2)-(4): two activation maps (B, h, w) → where the object is, bool.

    The largest component (with corners) of the last map's mask, as far as the mask of the map before agrees; nothing
    where they agree nowhere.
    """
    masks = masking.threshold(last, 1.0).cpu().numpy().astype(np.uint8)
    largest = torch.from_numpy(np.stack([_largest_component(m) for m in masks]))
    return largest.to(last.device) & masking.threshold(before, 1.0)


def _largest_component(mask: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count == 1:  # a constant map: nothing is above its mean
        return np.zeros_like(mask, bool)
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()


@lru_cache
def windows(height: int, width: int) -> list[tuple[tuple[int, int], ...]]:
    """WINDOWS on a map of h x w cells: sides to the nearest cell, halves up, each once."""

    def cells(side: int, of: int) -> int:
        return max(1, (2 * side * of + GRID) // (2 * GRID))

    scaled = [[(cells(h, height), cells(w, width)) for h, w in scale] for scale in WINDOWS]
    return [tuple(dict.fromkeys(scale)) for scale in scaled]


def part_boxes(activation: Tensor) -> Tensor:
    """Eq. (5): an activation map (B, h, w) → (B, sum of PARTS, 4), x0, y0, x1, y1 in cells.

    Where suppression leaves fewer windows than a scale is to give, its last one is repeated.
    """
    found = []
    for shapes, number in zip(windows(*activation.shape[1:]), PARTS, strict=True):
        boxes, scores = _scored(activation, shapes)
        found.append(torch.stack([boxes[_best(boxes, own, number)] for own in scores]))
    return torch.cat(found, 1).long()


def _scored(activation: Tensor, shapes: tuple[tuple[int, int], ...]) -> tuple[Tensor, Tensor]:
    """Every window of these shapes: boxes (N, 4), and the scores of each image (B, N)."""
    boxes, scores = [], []
    for h, w in shapes:
        means = F.avg_pool2d(activation[:, None], (h, w), stride=1)[:, 0]
        y, x = torch.meshgrid(*(torch.arange(n, device=means.device) for n in means.shape[1:]), indexing="ij")
        boxes.append(torch.stack([x, y, x + w, y + h], -1).view(-1, 4))
        scores.append(means.flatten(1))
    return torch.cat(boxes).to(activation.dtype), torch.cat(scores, 1)


def _best(boxes: Tensor, scores: Tensor, number: int) -> Tensor:
    kept = nms(boxes, scores, MAX_IOU)[:number]
    return torch.cat([kept, kept[-1:].expand(number - len(kept))])


def in_pixels(boxes: Tensor, cells: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) in cells of an h x w map → in pixels of an H x W image, every cell whole."""
    (h, w), (height, width) = cells, size
    scale = boxes.new_tensor([width / w, height / h] * 2, dtype=torch.float64)
    scaled = boxes * scale
    return torch.cat([scaled[..., :2].floor(), scaled[..., 2:].ceil()], -1).long()


@dataclass
class ObjectAnswer(Output):
    """An output whose answer is the object's (``crop_logits``) alone."""

    @property
    def logits(self) -> Tensor:
        return self.crop_logits


@dataclass(kw_only=True)
class AttendedObject(ObjectAnswer, Attended):
    """The same at test time."""


class MMAL(Rival):
    """MMAL; training passes the whole image, the object and four parts of half its side, a test the first two."""

    name = "MMAL"
    paper = "Zhang et al., MMM 2021"

    def __init__(self, config: Config, num_classes: int) -> None:
        super().__init__(config, num_classes)
        _last_block(self.backbone)  # an error now rather than in the first step

    def forward(self, images: Tensor, labels: Tensor) -> Output:
        """See ``Rival``."""
        raw, attention, objects = self._locate(images)
        features = self.features(objects)
        out = ObjectAnswer(raw, self.plain.head(features), attention=attention)
        parts = self.plain.classify(self._parts(objects, features.detach()))
        terms = {
            "raw": losses.branch_loss(raw, labels),
            "object": losses.branch_loss(out.crop_logits, labels),
            "parts": losses.branch_loss(parts, labels.repeat_interleave(sum(PARTS))),
        }
        out.losses = terms | {"total": sum(terms.values())}
        return out

    @torch.no_grad()
    def attend(self, images: Tensor) -> Attended:
        """See ``Rival``."""
        raw, attention, objects = self._locate(images)
        return AttendedObject(raw_logits=raw, crop_logits=self.plain.classify(objects), attention=attention)

    def _locate(self, images: Tensor) -> tuple[Tensor, Attention, Tensor]:
        """The logits of the whole image, where the object is, and the object enlarged to the image's size."""
        caught: list[Tensor] = []
        block = _last_block(self.backbone)
        hook = block.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].detach()))
        try:
            features = self.features(images)
        finally:
            hook.remove()
        last, before = activation_map(features.detach()), activation_map(caught[0])
        mask, size = object_mask(last, before), (images.shape[2], images.shape[3])
        boxes = in_pixels(covering_boxes(mask), (last.shape[1], last.shape[2]), size)
        attention = Attention(upsample(last, size), boxes, ~mask.flatten(1).any(1).cpu())
        return self.plain.head(features), attention, masking.crop(images, boxes, images.shape[-1])

    def _parts(self, objects: Tensor, features: Tensor) -> Tensor:
        """The parts (b sum(PARTS), 3, H/2, H/2) of objects (b, 3, H, H), those of one object after each other."""
        activation, number = activation_map(features), sum(PARTS)
        boxes = in_pixels(
            part_boxes(activation),
            (activation.shape[1], activation.shape[2]),
            (objects.shape[2], objects.shape[3]),
        )
        return masking.crop(
            objects.repeat_interleave(number, 0), boxes.flatten(0, 1), max(1, objects.shape[-1] // 2)
        )


def _last_block(backbone: nn.Module) -> nn.Module:
    """The last block, whose input is the output of the block before: eq. (4) needs both."""
    for stage in ("stages", "layer4"):  # timm's ConvNeXt; its ResNet
        found = getattr(backbone, stage, None)
        if found is not None:
            return getattr(found[-1], "blocks", [found[-1]])[-1]
    raise ConfigError(
        "mmal needs a timm ConvNeXt or ResNet, whose last block it knows; this backbone is "
        f"{type(backbone).__name__}"
    )
