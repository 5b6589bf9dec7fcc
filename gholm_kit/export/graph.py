"""The test-time method as one graph of plain tensor operations, which other programs can run.

Upsampling (eq. 3), threshold and largest component (eq. 4-6) stay outside, as in the library: they have no weights,
and whoever uses the graph may want to move mu and theta without running the network again.

In the shapes: b images of S x S pixels, k classes, c channels of h x w positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gholm_lib import masking
from gholm_lib.gradcam import channel_weights, class_map
from gholm_lib.model import GHOLMNet

INPUTS = ("image", "class", "box")
OUTPUTS = ("raw_logits", "predicted_map", "class_map", "crop_logits", "crop")
AGREE = 1e-4  # largest difference between closed form and autograd, as a share of the largest weight


class ExportError(ValueError):
    """A network that cannot be exported; the message says what stands in the way and what to do."""


class Graph(nn.Module):
    """Raw, the maps of two classes, and Crop for a given box.

    net     in eval mode; its head must be pool - linear or pool - norm - linear, in which case the gradient of
            eq. (1) has a closed form. It is compared with autograd here.
    raises  ExportError for another head, or for settings that are not part of the graph
    """

    def __init__(self, net: GHOLMNet) -> None:
        super().__init__()
        _require_plain(net)
        self.backbone, self.config = net.backbone, net.config
        self.norm, self.classifier = _head_parts(net)
        _require_closed_form(self, net)

    def forward(self, image: Tensor, target: Tensor, box: Tensor) -> tuple[Tensor, ...]:
        """The outputs in the order of ``OUTPUTS``.

        image    (b, 3, S, S) normalised; S is image_size, or crop_scale times that with ``crop_from="original"``
        target   (b,) int64: the class of ``class_map``
        box      (b, 4) int64: x0, y0, x1, y1, half open, in pixels of image_size
        returns  raw_logits (b, k) · predicted_map (b, h, w) · class_map (b, h, w) · crop_logits (b, k) ·
                 crop (b, 3, image_size, image_size), what the Crop branch sees
        """
        scale = self.config.input_scale
        seen = image if scale == 1 else F.avg_pool2d(image, scale)
        features = self.backbone.forward_features(seen)
        raw = self.backbone.forward_head(features)
        crop = masking.crop(image, box * scale, self.config.image_size)
        crop_logits = self.backbone.forward_head(self.backbone.forward_features(crop))
        return raw, self.map(features, raw.argmax(1)), self.map(features, target), crop_logits, crop

    def map(self, features: Tensor, target: Tensor) -> Tensor:
        """Eq. (1) and (2) for the classes ``target`` (b,): (b, h, w)."""
        return class_map(features, self.weights(features, target) if self.config.cam_weighted else None)

    def weights(self, features: Tensor, target: Tensor) -> Tensor:
        """Eq. (1) without autograd: (b, c).

        The head sees A only through its mean v, so d y^c / d A is (d y^c / d v) / (h w) at each of the h w
        positions, and so is its mean. For a linear classifier d y^c / d v is row c of its matrix; a layer norm in
        between adds the derivative of the norm.
        """
        positions = features.shape[-2] * features.shape[-1]
        row = self.classifier.weight[target]
        if self.norm is None:
            return row / positions
        v = features.mean((2, 3))
        centred = v - v.mean(1, keepdim=True)
        deviation = (centred.square().mean(1, keepdim=True) + self.norm.eps).sqrt()
        normal, row = centred / deviation, row * self.norm.weight
        along = (row * normal).mean(1, keepdim=True) * normal
        return (row - row.mean(1, keepdim=True) - along) / deviation / positions


def _require_plain(net: GHOLMNet) -> None:
    config = net.config
    if config.cam_layer != "features":
        raise ExportError(
            f'cam_layer is "{config.cam_layer}", but a graph has the map of the last features; export a network '
            'that was trained with cam_layer "features"'
        )
    if config.test_flip:
        raise ExportError(
            "test_flip is on, which takes the mean over two passes; export a network with test_flip off, "
            "and run its graph on a picture and on its mirror image"
        )


def _head_parts(net: GHOLMNet) -> tuple[nn.LayerNorm | None, nn.Linear]:
    """The norm between pooling and classifier, if there is one, and the classifier."""
    classifier = net.backbone.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise ExportError(_refusal(net, f"its classifier is {type(classifier).__name__}"))
    norm = getattr(getattr(net.backbone, "head", None), "norm", None)
    return norm if isinstance(norm, nn.LayerNorm) and norm.weight is not None else None, classifier


def _require_closed_form(graph: Graph, net: GHOLMNet) -> None:
    """Compare eq. (1) in closed form with autograd through the network's own head, on random features."""
    source = torch.Generator().manual_seed(0)
    weight = graph.classifier.weight
    with torch.no_grad():
        side = net.config.image_size
        shape = net.backbone.forward_features(weight.new_zeros(1, 3, side, side)).shape[1:]
        features = torch.randn(2, *shape, generator=source).to(weight)
        target = torch.tensor([0, len(weight) - 1], device=weight.device)
        wanted = channel_weights(net.head, features, target)
        # A hidden layer makes the classifier's rows longer or shorter than the features.
        fits = weight.shape[1] == features.shape[1]
        agree = fits and (graph.weights(features, target) - wanted).abs().max() <= AGREE * wanted.abs().max()
    if not agree:
        raise ExportError(_refusal(net, "there is more between its features and its logits"))


def _refusal(net: GHOLMNet, reason: str) -> str:
    return (
        f"{net.config.backbone} cannot be exported: the gradient of eq. (1) has a closed form for a head "
        f"of pooling, at most a layer norm, and a linear classifier, but {reason}. Take a ConvNeXt, a "
        "ResNet or an EfficientNet"
    )
