"""Where the network looks: GradCAM, equations (1) to (3).

Only the *head* (features → logits) is differentiated, on a detached copy of the features, so a heatmap
costs a fraction of a percent of a forward pass, works under ``no_grad``, ``inference_mode`` and autocast, and
leaves the model, its ``.grad`` fields and its train / eval mode as they were.

Source of the method: Selvaraju et al., "Grad-CAM", IJCV 128 (2020), reference [8] of the paper.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Head = Callable[[Tensor], Tensor]


class NonFiniteError(FloatingPointError):
    """NaN or infinite numbers where a heatmap or a loss needs finite ones; the message says where.

    images  ids of the batch's images, where they are known
    """

    images: tuple[str, ...] = ()


def channel_weights(head: Head, features: Tensor, target: Tensor | None = None) -> Tensor:
    """Eq. (1): a_k^c, the mean over positions of d y^c / d A^k.

    head      features (B, C, h, w) → logits (B, K); batch norm and dropout inside it should be in eval mode
    features  A, (B, C, h, w)
    target    class c of each image, (B,) int64; None takes the predicted class
    returns   (B, C) float32
    """
    # Tensors made under inference_mode can never take part in autograd; a clone outside it can.
    with torch.inference_mode(False), torch.enable_grad():
        a = _outside_inference(features).detach().requires_grad_()
        logits = head(a)  # (B, K)
        c = logits.argmax(1) if target is None else _outside_inference(target).to(logits.device)
        score = logits.gather(1, c[:, None]).sum()  # images do not mix, so one sum serves the batch
        (gradient,) = torch.autograd.grad(score, a)  # (B, C, h, w): d y^c / d A
    return gradient.float().mean((2, 3))


def _outside_inference(value: Tensor) -> Tensor:
    return value.clone() if value.is_inference() else value


def class_map(features: Tensor, weights: Tensor | None) -> Tensor:
    """Eq. (2): ReLU( sum_k a_k^c A^k ); ``weights`` None sums A as the paper prints it. → (B, h, w).

    A sum that is NaN or infinite, of either sign, never passes for a finite value.
    """
    a = features.float()
    # Without autocast: a sum over hundreds of channels in bfloat16 loses the map's small values.
    with torch.autocast(a.device.type, enabled=False):
        summed = a.sum(1) if weights is None else torch.einsum("bc,bchw->bhw", weights, a)
    # ReLU alone would turn -inf into an innocent 0.
    return torch.where(summed == -torch.inf, torch.nan, summed.relu())


def gradcam(head: Head, features: Tensor, target: Tensor | None = None, weighted: bool = True) -> Tensor:
    """Equations (1) and (2): the GradCAM map of each image.

    head      features → logits, for example ``backbone.forward_head``
    features  A, the last feature maps, (B, C, h, w), any float type
    target    (B,) int64 classes; None takes the predicted class, as the paper does
    weighted  False reproduces eq. (2) as printed, without the weights a_k^c
    returns   (B, h, w) float32, >= 0, no gradient attached
    raises    NonFiniteError naming the images and the stage (features, gradient or map)
    """
    cam, weights = unchecked_gradcam(head, features, target, weighted)
    if not torch.isfinite(cam).all():
        _explain(features, weights, cam)
    return cam


def unchecked_gradcam(
    head: Head, features: Tensor, target: Tensor | None = None, weighted: bool = True
) -> tuple[Tensor, Tensor | None]:
    """:func:`gradcam` without its check, which would make the host wait for a GPU; also gives a_k^c."""
    if features.ndim != 4:
        raise ValueError(
            f"features must be (B, C, h, w), got shape {tuple(features.shape)}; pass the output of "
            "forward_features of a convolutional backbone"
        )
    features = features.detach()
    weights = channel_weights(head, features, target) if weighted else None
    return class_map(features, weights).detach(), weights


def upsample(cam: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Eq. (3): the map enlarged to the image, bilinear.

    cam   (B, h, w)
    size  image size in pixels, one number for a square
    returns (B, H, W)
    """
    size = (size, size) if isinstance(size, int) else tuple(size)
    return F.interpolate(cam[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def require_finite(features: Tensor, weights: Tensor | None, cam: Tensor, finite: Tensor) -> None:
    """Raise if ``finite`` (B,) bool, already on the host, says that some map is not."""
    if not finite.all():
        _explain(features, weights, cam)


def _explain(features: Tensor, weights: Tensor | None, cam: Tensor) -> None:
    stages = {"the features A": features, "the gradient dy/dA": weights, "the map (overflow)": cam}
    for name, value in stages.items():
        if value is None:
            continue
        bad = ~torch.isfinite(value).flatten(1).all(1)
        if bad.any():
            images = bad.nonzero().flatten().tolist()
            raise NonFiniteError(
                f"GradCAM met NaN or infinite values in {name} of image(s) {images} of the batch. "
                "Look at the input images and at the weights; lower the learning rate, or use bf16 or "
                "full precision instead of fp16."
            )
