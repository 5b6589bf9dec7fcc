"""The number type in which sums are formed."""

import torch
from torch import Tensor


def at_least_float32(value: Tensor) -> Tensor:
    """Half types become float32; float64 stays, so that a network in float64 is computed in float64 throughout."""
    return value.to(torch.promote_types(value.dtype, torch.float32))
