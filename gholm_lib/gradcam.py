"""Where the network looks: GradCAM, equations (1) to (3).

Only the *head* (features → logits) is differentiated, on a detached copy of the features. A heatmap therefore
costs a fraction of a percent of a forward pass, works under ``no_grad``, ``inference_mode`` and autocast, and
does not change the model, its ``.grad`` fields or its train / eval mode.

Source of the method: Selvaraju et al., "Grad-CAM", IJCV 128 (2020), reference [8] of the paper.

In the shapes: b images, c channels, k classes, feature maps of h x w positions, images of H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gholm_lib.precision import at_least_float32

Head = Callable[[Float[Tensor, "b c h w"]], Float[Tensor, "b k"]]


class NonFiniteError(FloatingPointError):
    """NaN or infinite values where a heatmap or a loss needs finite ones; the message says where.

    images  ids of the batch's images, where they are known
    """

    images: tuple[str, ...] = ()


def channel_weights(
    head: Head, features: Float[Tensor, "b c h w"], target: Int64[Tensor, " b"] | None = None
) -> Float[Tensor, "b c"]:
    """Eq. (1): a_k^c, the mean over positions of d y^c / d A^k.

    head      features → logits; its batch norm and dropout should be in eval mode
    features  A, the last feature maps
    target    class c of each image; None takes the predicted class
    returns   float32, or float64 for features in float64
    """
    # Autograd refuses tensors made under inference_mode; it takes a clone made outside.
    with torch.inference_mode(False), torch.enable_grad():
        a = _outside_inference(features).detach().requires_grad_()
        logits = head(a)  # (B, K)
        c = logits.argmax(1) if target is None else _outside_inference(target).to(logits.device)
        score = logits.gather(1, c[:, None]).sum()  # images do not mix, so one sum does for the batch
        (gradient,) = torch.autograd.grad(score, a)  # (B, C, h, w): d y^c / d A
    return at_least_float32(gradient).mean((2, 3))


def _outside_inference(value: Tensor) -> Tensor:
    return value.clone() if value.is_inference() else value


def class_map(
    features: Float[Tensor, "b c h w"], weights: Float[Tensor, "b c"] | None
) -> Float[Tensor, "b h w"]:
    """Eq. (2): ReLU( sum_k a_k^c A^k ); with ``weights`` None, the plain sum of A that the paper prints.

    A sum that is NaN or infinite, of either sign, stays NaN or infinite.
    """
    a = at_least_float32(features)
    # No autocast: a sum over hundreds of channels in bfloat16 would lose the map's small values.
    with torch.autocast(a.device.type, enabled=False):
        summed = a.sum(1) if weights is None else torch.einsum("bc,bchw->bhw", weights, a)
    # ReLU alone would turn -inf into 0, which looks like any other value.
    return torch.where(summed == -torch.inf, torch.nan, summed.relu())


def gradcam(
    head: Head,
    features: Float[Tensor, "b c h w"],
    target: Int64[Tensor, " b"] | None = None,
    weighted: bool = True,
) -> Float[Tensor, "b h w"]:
    """Equations (1) and (2): the GradCAM map of each image.

    head      features → logits, for example ``backbone.forward_head``
    features  A, the last feature maps
    target    class of each image; None takes the predicted class, as the paper does
    weighted  False gives eq. (2) as printed, without the weights a_k^c
    returns   maps >= 0 without a gradient, float32 (float64 for features in float64)
    raises    NonFiniteError naming the images and the stage (features, gradient or map); ValueError for features
              that are no maps
    """
    cam, weights = unchecked_gradcam(head, features, target, weighted)
    if not torch.isfinite(cam).all():
        _explain(features, weights, cam)
    return cam


def unchecked_gradcam(
    head: Head,
    features: Float[Tensor, "b c h w"],
    target: Int64[Tensor, " b"] | None = None,
    weighted: bool = True,
) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b c"] | None]:
    """:func:`gradcam` without its check, for which the host would have to wait for a GPU; also returns a_k^c."""
    if features.ndim != 4:
        raise ValueError(
            f"features must be (B, C, h, w), got shape {tuple(features.shape)}; pass the output of "
            "forward_features of a convolutional backbone"
        )
    features = features.detach()
    weights = channel_weights(head, features, target) if weighted else None
    return class_map(features, weights).detach(), weights


def upsample(cam: Float[Tensor, "b h w"], size: int | tuple[int, int]) -> Float[Tensor, "b H W"]:
    """Eq. (3): the map enlarged to the image, bilinear; ``size`` (H, W) in pixels, or one number for a square."""
    height, width = (size, size) if isinstance(size, int) else size
    return F.interpolate(cam[:, None], size=(height, width), mode="bilinear", align_corners=False)[:, 0]


def require_finite(
    features: Float[Tensor, "b c h w"],
    weights: Float[Tensor, "b c"] | None,
    cam: Float[Tensor, "b h w"],
    finite: Bool[Tensor, " b"],
) -> None:
    """Raise NonFiniteError unless every map is finite; ``finite`` is on the host already, so nothing waits."""
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
