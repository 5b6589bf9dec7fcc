"""What a run used: versions, device, memory."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import timm
import torch
import torchvision

from gholm_lib import __version__


def describe_environment(device: torch.device, processes: int) -> dict[str, Any]:
    """Versions of the packages and of this code, the device, and the machine."""
    on_gpu = device.type == "cuda"
    return {
        "gholm_lib": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": timm.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "processes": processes,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes: of the GPU since its last reset, or of this process since it started."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource  # Windows does not have it

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
