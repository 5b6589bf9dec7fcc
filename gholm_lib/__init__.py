"""GHOLM-Net (Zheng & Wang, 2023): fine-grained classification by heatmap crops, erasure and contrast.

The method in four files, in reading order: ``gradcam`` (eq. 1-3), ``masking`` (eq. 4-6), ``losses``
(eq. 7-12), ``model`` (the branches). ``python -m gholm_lib --help`` shows the command line.

The names below are imported when they are first used: a command that needs no network does not load PyTorch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gholm_lib.config import Config, ConfigError, load_config
    from gholm_lib.gradcam import NonFiniteError, gradcam, upsample
    from gholm_lib.losses import supcon_loss
    from gholm_lib.masking import crop, erase, largest_component_boxes, threshold
    from gholm_lib.model import GHOLMNet

__version__ = "0.2.0"

__all__ = [
    "Config",
    "ConfigError",
    "GHOLMNet",
    "NonFiniteError",
    "crop",
    "erase",
    "gradcam",
    "largest_component_boxes",
    "load_config",
    "supcon_loss",
    "threshold",
    "upsample",
]

_HOMES = {
    "config": ("Config", "ConfigError", "load_config"),
    "gradcam": ("NonFiniteError", "gradcam", "upsample"),
    "losses": ("supcon_loss",),
    "masking": ("crop", "erase", "largest_component_boxes", "threshold"),
    "model": ("GHOLMNet",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"gholm_lib.{_HOME[name]}"), name)


class _Package(ModuleType):
    """``gholm_lib.gradcam`` is the function, also after Python has imported the file of that name and set it."""

    def __setattr__(self, name: str, value: Any) -> None:
        is_file = isinstance(value, ModuleType) and name in _HOME
        super().__setattr__(name, getattr(value, name) if is_file else value)


sys.modules[__name__].__class__ = _Package
