"""The number type in which sums are formed, and the mixed precision that a device can use."""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

# What Linux calls the instructions that multiply bf16 numbers: on Intel and AMD (two kinds), and on ARM.
_BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}


def at_least_float32(value: Tensor) -> Tensor:
    """Half types become float32; float64 stays, so that a network in float64 is computed in float64 throughout."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


@cache
def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies in bf16 itself; False where the system does not say (macOS, Windows)."""
    try:
        return not _BF16_INSTRUCTIONS.isdisjoint(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False


def usable_precision(wanted: str, on_gpu: bool) -> tuple[str, str | None]:
    """The mixed precision ("no", "bf16", "fp16") to use on a device for the setting ``wanted``.

    returns  it and, where it is not what is wanted, the reason in one sentence
    """
    if on_gpu or wanted != "bf16" or cpu_has_bf16():
        return wanted, None
    return "no", (
        "precision is float32 instead of bf16: this CPU has no bf16 instructions, and without them bf16 takes "
        "several times as long"
    )
