"""WS-DAN: attention maps pool the features, and one of them guides a crop and a drop of the image.

T. Hu, H. Qi, Q. Huang, Y. Lu, "See Better Before Looking Closer: Weakly Supervised Data Augmentation Network for
Fine-Grained Visual Classification", arXiv:1901.09891 (2019). The numbers of the equations are from memory, not
checked against the paper:

    (1)       A = f(F): M attention maps from the features, by a 1 x 1 convolution
    (2)-(4)   f_k = g(a_k * F), P = (f_1; ...; f_M): bilinear attention pooling
    (5), (6)  L_A = sum_k ||f_k - c_k||^2, c_k <- c_k + beta (f_k - c_k): attention regularisation (centre loss)
    (7)       A*_k: one map, chosen at random, scaled to 0..1
    (8)       crop: the box round A*_k > theta_c, enlarged
    (9)       drop: A*_k > theta_d is erased
    (10)      test time: the crop by the mean of all maps; the answer is the mean of both predictions

What the equations leave open is as in the PyTorch code that most later work starts from
(github.com/GuYuc/WS-DAN.PyTorch): batch norm and ReLU after the convolution, the signed square root, L2 norm and
factor 100 before the classifier, the ranges of both thresholds, the margins, and the mean of the three
cross-entropies. That code scales the centres to unit length and picks maps by their weight; here, eq. (6) and "at
random" are taken as written. Crop and Drop go through the network as one batch, as in GHOLM-Net.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gholm_kit.rivals.rival import Rival
from gholm_lib import losses, masking
from gholm_lib.config import Config
from gholm_lib.gradcam import upsample
from gholm_lib.model import Attended, Attention, Output
from gholm_lib.precision import at_least_float32

MAPS = 32  # M
BETA = 0.05  # of eq. (6)
THETA_CROP, THETA_DROP = (
    (0.4, 0.6),
    (0.2, 0.5),
)  # drawn uniformly for each image; the paper names one value for each
MARGIN = 0.1  # round the box in training, as a share of the image's sides
TEST_THETA, TEST_MARGIN = 0.1, 0.05
SCALE = 100.0  # of the pooled vector, which has length 1


def bilinear_attention_pooling(features: Tensor, maps: Tensor) -> Tensor:
    """Eq. (2)-(4), g the mean: features (B, C, h, w) and maps (B, M, h, w) → part features (B, M, C)."""
    positions = features.shape[2] * features.shape[3]
    return torch.einsum("bmhw,bchw->bmc", maps, features) / positions


def unit_vector(parts: Tensor) -> Tensor:
    """Part features (B, M, C) → (B, M C): signed square root, then length 1."""
    flat = at_least_float32(parts).flatten(1)
    # The root has no slope at 0, so it starts beside it.
    return F.normalize(flat.sign() * (flat.abs() + 1e-6).sqrt())


def scaled_map(maps: Tensor) -> Tensor:
    """Eq. (7): (B, h, w) → 0..1. A constant map gives zeros, above which nothing lies."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp(min=torch.finfo(maps.dtype).tiny)


def covering_boxes(mask: Tensor) -> Tensor:
    """The smallest boxes that cover all of each mask (B, H, W); the whole image for an empty one."""
    ends = []
    for line in (mask.any(1), mask.any(2)):  # columns, rows
        ends.append((line.int().argmax(1), line.shape[1] - line.flip(1).int().argmax(1)))
    (x0, x1), (y0, y1) = ends
    return torch.stack([x0, y0, x1, y1], 1)


def updated_centres(centres: Tensor, vectors: Tensor, labels: Tensor) -> Tensor:
    """Eq. (6): each class's centre moves towards its vectors by BETA; several in a batch count by their mean.

    centres (K, D), vectors (B, D), labels (B,) → (K, D)
    """
    away = torch.zeros_like(centres).index_add_(0, labels, vectors.to(centres.dtype) - centres[labels])
    counts = torch.bincount(labels, minlength=len(centres)).clamp(min=1)
    return centres + BETA * away / counts[:, None]


def centre_loss(vectors: Tensor, centres: Tensor) -> Tensor:
    """Eq. (5), averaged over the batch: vectors and their classes' centres (B, D)."""
    return (vectors - centres).square().sum(1).mean()


@dataclass
class Look:
    """A batch of b images on its way through the network."""

    features: Tensor  # (b, C, h, w)
    maps: Tensor  # (b, M, h, w), >= 0
    vectors: Tensor  # (b, M C), of length 1
    logits: Tensor  # (b, K)


class WSDAN(Rival):
    """WS-DAN; training passes three images through the backbone (whole, crop, drop), a test two."""

    name = "WS-DAN"
    paper = "Hu et al., arXiv:1901.09891"

    def __init__(self, config: Config, num_classes: int) -> None:
        super().__init__(config, num_classes)
        channels = self.backbone.num_features
        self.backbone.reset_classifier(0)  # type: ignore[operator]  # the pooled maps have their own
        self.attention = nn.Sequential(
            nn.Conv2d(channels, MAPS, 1, bias=False), nn.BatchNorm2d(MAPS, eps=0.001), nn.ReLU()
        )
        self.classifier = nn.Linear(MAPS * channels, num_classes, bias=False)
        self.register_buffer("centres", torch.zeros(num_classes, MAPS * channels))

    def look(self, images: Tensor) -> Look:
        """One pass: features, attention maps, pooled vectors and logits."""
        features = self.features(images)
        maps = self.attention(features)  # eq. (1)
        vectors = unit_vector(bilinear_attention_pooling(features, maps))
        return Look(features, maps, vectors, self.classifier(SCALE * vectors))

    def forward(self, images: Tensor, labels: Tensor) -> Output:
        """See ``Rival``."""
        whole = self.look(images)
        chosen = torch.randint(MAPS, (len(images),), device=images.device)
        guide = whole.maps.detach()[torch.arange(len(images)), chosen]
        attention = _attention(images, guide, _drawn(THETA_CROP, images), MARGIN)
        attention.drop_mask = _above(attention.heat, _drawn(THETA_DROP, images))  # eq. (9)
        crops = masking.crop(images, attention.crop_boxes, images.shape[-1])
        both = self.look(torch.cat([crops, masking.erase(images, attention.drop_mask)]))
        out = Output(whole.logits, *both.logits.chunk(2), attention=attention)
        out.losses = self._losses(out, labels, whole, both)
        return out

    def _losses(self, out: Output, labels: Tensor, whole: Look, both: Look) -> dict[str, Tensor]:
        """The mean cross-entropy of the three images, and eq. (5) for the whole one. ``both``: crops, then drops."""
        named = {"raw": out.raw_logits, "crop": out.crop_logits, "drop": out.drop_logits}
        terms = {name: losses.branch_loss(logits, labels) for name, logits in named.items()}
        mean = sum(terms.values()) / len(terms)
        terms["centre"] = centre_loss(whole.vectors, self.centres[labels])
        self.centres.copy_(updated_centres(self.centres, whole.vectors.detach(), labels))
        return terms | {"total": mean + terms["centre"]}

    @torch.no_grad()
    def attend(self, images: Tensor) -> Attended:
        """See ``Rival``."""
        whole = self.look(images)
        attention = _attention(images, whole.maps.mean(1), TEST_THETA, TEST_MARGIN)  # eq. (10)
        crops = masking.crop(images, attention.crop_boxes, images.shape[-1])
        return Attended(raw_logits=whole.logits, crop_logits=self.look(crops).logits, attention=attention)


def _attention(images: Tensor, maps: Tensor, theta: Tensor | float, margin: float) -> Attention:
    """Eq. (7) and (8) for one map (b, h, w) of each image."""
    size = (images.shape[2], images.shape[3])
    heat = upsample(scaled_map(at_least_float32(maps)), size)
    mask = _above(heat, theta)
    boxes = masking.adjust_boxes(covering_boxes(mask), size, margin=margin)
    return Attention(heat, boxes, ~mask.flatten(1).any(1).cpu())


def _above(heat: Tensor, theta: Tensor | float) -> Tensor:
    return heat > (theta[:, None, None] if isinstance(theta, Tensor) else theta)


def _drawn(interval: tuple[float, float], images: Tensor) -> Tensor:
    """A threshold for each image, uniform in the interval."""
    low, high = interval
    return low + (high - low) * torch.rand(len(images), device=images.device)
