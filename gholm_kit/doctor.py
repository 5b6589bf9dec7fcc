"""``gholm doctor``: what is here, and what to do next."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import torch

from gholm_kit.drawn import FAMILY_NAMES, get_family
from gholm_kit.drawn.write import is_complete
from gholm_lib.backbone import MINI2, packaged_weights
from gholm_lib.datasets.check import list_datasets
from gholm_lib.datasets.registry import DATASETS
from gholm_lib.paths import data_root

_PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "accelerate", "jupyterlab")


def diagnose(root: str | Path | None = None) -> str:
    """Versions, device, data found, next step; text for a terminal."""
    folder = data_root(root)
    missing = [n for n in FAMILY_NAMES if not is_complete(get_family(n), folder / DATASETS[n].folder)]
    sections = {
        "versions": _versions(),
        "device": _device(),
        f"data in {folder}": list_datasets(folder),
        "next": _next_step(missing),
    }
    return "\n\n".join(f"{title}\n{_indented(text)}" for title, text in sections.items())


def _versions() -> str:
    lines = [f"python {platform.python_version()} on {platform.system()} {platform.machine()}"]
    for name in _PACKAGES:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name}: not installed; run `make reproduce`, or pip install -e .")
    return "\n".join(lines)


def _device() -> str:
    lines = [f"{os.cpu_count()} CPU cores, PyTorch uses {torch.get_num_threads()} threads"]
    if torch.cuda.is_available():
        for k in range(torch.cuda.device_count()):
            gpu = torch.cuda.get_device_properties(k)
            lines.append(f"GPU {k}: {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB")
    else:
        lines.append("no GPU that PyTorch can use: fine for the mini sets; the preset paper needs one")
    return "\n".join(lines)


def _next_step(missing: list[str]) -> str:
    if missing:
        return f"draw the mini sets ({', '.join(missing)} missing): gholm data get mini"
    if not packaged_weights(MINI2).is_file():
        return "the mini backbone's weights are missing from the package: gholm pretrain (about half an hour)"
    return (
        "all set. Open notebooks/00_start_here.ipynb (make lab), or train: gholm train --dataset mini_birds"
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
