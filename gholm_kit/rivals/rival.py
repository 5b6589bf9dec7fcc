"""What a rival shares with GHOLM-Net: backbone, starting weights, recipe, and what the training loop calls."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gholm_lib.backbone import Backbone
from gholm_lib.config import Config, ConfigError
from gholm_lib.model import Attended, GHOLMNet, Output

# Readings and controls of GHOLM-Net that a rival's own equations have no place for.
_NOT_TAKEN = (
    "answer",
    "branch_losses",
    "crop_box",
    "crop_from",
    "crop_mask",
    "fresh_rate",
    "mu_times",
    "raw_weight",
    "test_flip",
    "theta_times",
)


class Rival(nn.Module):
    """Another method on the backbone of a config.

    A subclass defines ``forward`` (a training step's pass, with losses; "total" is minimised) and ``attend`` (test
    time). Its first answer is the logits of the whole image, its second those of the part that it looks at again;
    ``Output.logits`` is what it answers with.

    raises  ConfigError for settings that it would ignore, or in one of several processes
    """

    name: ClassVar[str]
    paper: ClassVar[str]

    def __init__(self, config: Config, num_classes: int) -> None:
        super().__init__()
        if config.sup or not (config.crop and config.drop):
            raise ConfigError(
                f"{config.method} has its own branches: leave crop and drop on and switch sup off (sup=False), "
                f"got crop={config.crop}, sup={config.sup}, drop={config.drop}"
            )
        changed = [name for name in _NOT_TAKEN if getattr(config, name) != getattr(Config, name)]
        if changed:
            raise ConfigError(
                f"{config.method} takes no {', '.join(changed)}: these are GHOLM-Net's readings and controls; leave "
                "them at their defaults"
            )
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            raise ConfigError(f"{config.method} trains in one process; start it without torchrun")
        self.config = config
        self.plain = GHOLMNet.from_config(config.replace(method="gholm"), num_classes)

    @property
    def about(self) -> str:
        """For the record."""
        return f"{self.name}, our re-implementation of {self.paper}"

    @property
    def backbone(self) -> Backbone:
        return self.plain.backbone

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) → features (B, C, h, w)."""
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return self.backbone.forward_features(images)

    def forward(self, images: Tensor, labels: Tensor) -> Output:
        """A training step's pass over normalised images (B, 3, H, H), with its losses."""
        raise NotImplementedError

    def attend(self, images: Tensor) -> Attended:
        """Test time: both answers, and where the second one looks. The network must be in eval mode."""
        raise NotImplementedError
