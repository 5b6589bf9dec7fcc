"""How far apart rounding may bring two ways of computing one number, on any processor.

Instruction sets and threads form sums in different orders, so the last digits of a result differ from machine to
machine. The bounds here follow from the number type, the size of the values and the depth of the network, never from
what a machine gave. Where two *methods* must agree they are compared in float64: rounding then stays far below the
bound, and a difference of method far above.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

from gholm_lib.loading import ImageView
from gholm_lib.model import GHOLMNet

HALF_THE_DIGITS = sqrt(torch.finfo(torch.float64).eps)  # 1.5e-8
DEVIATIONS = 4  # a sum of many errors lies further out than four standard deviations once in 16 000 times


def unit(dtype: torch.dtype) -> float:
    """Largest relative error of one rounding: half of eps."""
    return torch.finfo(dtype).eps / 2


def spread(dtype: torch.dtype) -> float:
    """Standard deviation of the error of one rounding, which lies anywhere between -unit and unit."""
    return unit(dtype) / sqrt(3)


def share_off(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference as a share of the largest value, which must not be zero."""
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def assert_same(ours, theirs) -> None:
    """Two methods in float64 agree in half of its digits, as shares of the largest value.

    Rounding takes two or three of the sixteen digits from a deep network, and some more where a small difference of
    large numbers is formed; eight are left for that. Tensors, arrays or numbers.
    """
    ours, theirs = _in_float64(ours), _in_float64(theirs)
    assert ours.shape == theirs.shape
    difference, largest = (ours - theirs).abs().max(), theirs.abs().max()
    assert difference <= HALF_THE_DIGITS * largest, (
        f"{difference:.3g} apart, the largest value is {largest:.3g}"
    )


def _in_float64(value) -> Tensor:
    value = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.array(value, ndmin=1))
    assert value.dtype == torch.float64, f"methods are compared in float64, not in {value.dtype}"
    return value


def of_network(net: nn.Module, dtype: torch.dtype = torch.float32, passes: int = 1) -> float:
    """How far two computations of a network's output may be apart, as a share of the largest value.

    Each layer forms sums of up to n products and hands its error on. The roundings of one sum are as often up as
    down, so they add like the steps of a random walk, to sqrt(n) and not n (Higham & Mary, SIAM J. Sci. Comput. 41,
    2019), and so do the errors of the layers. ``dtype`` is the type of operands and results, three roundings a
    layer; sums are formed in float32 if that is wider, as hardware for bf16 does. Both sides are rounded.

    passes  how often the layers are gone through: forward and backward are three
    """
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    products = max(m.weight[0].numel() for m in layers)
    summed = spread(torch.promote_types(dtype, torch.float32))
    return DEVIATIONS * sqrt(2 * passes * len(layers) * (3 * spread(dtype) ** 2 + products * summed**2))


def of_weighted_sum(terms: Tensor, dtype: torch.dtype, roundings: int) -> Tensor:
    """How far sum(terms, 1) may be off if each term went through ``roundings`` roundings of its own.

    Beside these there may be as many that all terms share, such as that of a common factor.
    """
    own, shared = terms.square().sum(1).sqrt(), terms.sum(1).abs()
    return DEVIATIONS * sqrt(roundings) * spread(dtype) * (own + shared)


def enlarged_by_opencv(small: Tensor) -> float:
    """How far off OpenCV's enlarged maps of values up to 1 may be: its positions and weights are float32.

    A position in the small map is off by three roundings of a number as large as the map, on each axis; one pixel
    further the value is another by 1 at most; three products follow.
    """
    return (3 * sum(small.shape[-2:]) + 6) * unit(torch.float32)


def by_pytorch_grad_cam(maps: Tensor) -> float:
    """How far off the maps of that library may be, which scales to 0..1 in float32 before and after it enlarges.

    The second time what is enlarged, its minimum and its maximum are all off. It divides by a maximum with 1e-7
    added: first by that of the map, then by 1.
    """
    least = maps.amax((1, 2)) - maps.amin((1, 2))
    return 4 * enlarged_by_opencv(maps) + 1e-7 * (1 + 1 / float(least.min()))


def use_float64(patch: Callable = setattr) -> None:
    """Networks of a config are built, and images of a view read, in float64; ``patch`` as monkeypatch.setattr."""
    build, read = GHOLMNet.from_config, ImageView.__getitem__

    def images(view: ImageView, item: tuple) -> tuple:
        pixels, label, index = read(view, item)
        return pixels.double(), label, index

    patch(GHOLMNet, "from_config", staticmethod(lambda *args: build(*args).double()))
    patch(ImageView, "__getitem__", images)
