"""GHOLM-Net (Zheng & Wang, 2023): fine-grained classification by heatmap crops, erasure and contrast.

The method in four files, in reading order: ``gradcam`` (eq. 1-3), ``masking`` (eq. 4-6), ``losses``
(eq. 7-12), ``model`` (the branches). ``python -m gholm_lib --help`` shows the command line.
"""

from gholm_lib.config import Config, ConfigError, load_config
from gholm_lib.gradcam import NonFiniteError, gradcam, upsample
from gholm_lib.losses import supcon_loss
from gholm_lib.masking import crop, erase, largest_component_boxes, threshold
from gholm_lib.model import GHOLMNet

__version__ = "0.1.0"

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
