"""Versions, device and memory of a run, and protection against surroundings that would change its numbers."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import timm
import torch
import torchvision

from gholm_lib import __version__

# With these, accelerate's launcher and its config file change precision, gradient accumulation, compilation and
# sharding. accelerate reads some of them even if the program passes its own values.
_ACCELERATE = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_")
# Values that the launcher sets by default.
_HARMLESS = ("", "0", "NO", "NONE", "FALSE", "DEFAULT", "AUTO")
_ONE_STEP = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS=1"
# CUDA and oneDNN read these at start-up, so a run can only refuse them. Each value is the harmless one.
_TOO_LATE = {
    "NVIDIA_TF32_OVERRIDE": "",
    "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
    "DNNL_DEFAULT_FPMATH_MODE": "STRICT",
}
# These change at most the rounding, so a run's record only notes them.
_NOTED = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "CUBLAS_WORKSPACE_CONFIG",
    "TORCH_BLAS_PREFER_CUBLASLT",
)


class SurroundingsError(ValueError):
    """An environment variable or a setting of the process would change a run's numbers; the message names it."""


def ignored_variables() -> list[str]:
    """The variables for accelerate, as NAME=value, that request something; runs ignore them."""
    given = {k: v for k, v in os.environ.items() if k.startswith(_ACCELERATE) and v.upper() not in _HARMLESS}
    return sorted({f"{k}={v}" for k, v in given.items()} - {_ONE_STEP})


@contextmanager
def undisturbed(on_gpu: bool, say: Callable[[str], None] = print) -> Iterator[None]:
    """A context in which a run depends only on its settings, whatever variables and switches the process has.

    Accelerate's variables are hidden; ``say`` gets a line about those that request anything. Products in float32 may
    use TF32 on a GPU, and keep full precision on a CPU. An autocast around the run has no effect. On exit, variables
    and switches are restored.

    raises SurroundingsError for a variable that can only be removed by starting a new process, and for a WORLD_SIZE
           that no launcher of several processes has set
    """
    for name, plain in _TOO_LATE.items():
        value = os.environ.get(name, plain)
        if value.upper() != plain:
            raise SurroundingsError(
                f"the environment variable {name} is {value!r}, which changes the precision of all products "
                f"whatever --precision says; remove it (unset {name}) and start again"
            )
    _require_whole_launch()
    asked = ignored_variables()
    if asked:
        say(f"ignored, as a run depends only on its settings and options: {', '.join(asked)}")
    hidden = {k: os.environ.pop(k) for k in list(os.environ) if k.startswith(_ACCELERATE)}
    try:
        with _float32_products(tf32=on_gpu), torch.autocast("cuda" if on_gpu else "cpu", enabled=False):
            yield
    finally:
        for name in [k for k in os.environ if k.startswith(_ACCELERATE)]:
            del os.environ[name]
        os.environ.update(hidden)


def _require_whole_launch() -> None:
    size = os.environ.get("WORLD_SIZE", "1")
    if size != "1" and not {"MASTER_ADDR", "LOCAL_WORLD_SIZE"} & os.environ.keys():
        raise SurroundingsError(
            f"the environment variable WORLD_SIZE is {size!r}, but MASTER_ADDR, which torchrun and accelerate "
            "launch set with it, is missing; remove it (unset WORLD_SIZE) for one process, or start with torchrun"
        )


@contextmanager
def _float32_products(tf32: bool) -> Iterator[None]:
    cudnn = torch.backends.cudnn
    conv: Any = getattr(torch.backends.mkldnn, "conv", None)  # since PyTorch 2.9
    try:
        matmul, allowed = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    except RuntimeError as error:  # PyTorch has two ways to set this; reading it fails if both were used
        raise SurroundingsError(
            "this process has set an fp32_precision in torch.backends, which cannot be undone for a run; train "
            f"in a new process ({str(error).splitlines()[0]})"
        ) from error
    on_cpu = getattr(conv, "fp32_precision", None)
    try:
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        cudnn.allow_tf32 = tf32
        if on_cpu not in (None, "none", "ieee"):
            conv.fp32_precision = "ieee"
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        cudnn.allow_tf32 = allowed
        if on_cpu not in (None, "none", "ieee"):
            conv.fp32_precision = on_cpu


def precision_in_use(device: torch.device, mixed: str) -> str:
    """The number format of products at present: "bf16" or "fp16" (mixed with float32), "tf32" or "float32"."""
    if mixed != "no":
        return mixed
    allowed = torch.get_float32_matmul_precision() != "highest" or torch.backends.cudnn.allow_tf32
    able = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "tf32" if allowed and able else "float32"


def processor() -> str:
    """The CPU's name, as far as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def describe_environment(device: torch.device, processes: int, mixed: str = "no") -> dict[str, Any]:
    """Versions and machine; ``mixed`` is the setting ``precision``, which determines the precision in use."""
    on_gpu = device.type == "cuda"
    return {
        "gholm_lib": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "precision": precision_in_use(device, mixed),
        "variables": {k: os.environ[k] for k in _NOTED if k in os.environ},
        "platform": f"{platform.system()} {platform.machine()}",
    }


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes: of the GPU since its last reset, or of this process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource  # not available on Windows

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _commit() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
