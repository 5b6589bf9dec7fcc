"""A folder in the layout of the model hub, from which timm loads the backbone without any network."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
from torch import nn

from gholm_kit.export.source import Source
from gholm_lib.records import write_whole

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"  # the hub's names


def write_hub_folder(source: Source, folder: Path) -> Path:
    """Write ``config.json`` and ``model.safetensors`` in the hub's layout; returns the folder.

    The weights are the backbone's with its classifier. The projection head of the contrastive loss is left
    out: it is no part of an answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in source.net.backbone.state_dict().items()}
    weights = safetensors.torch.save(state, {"format": "pt"})
    settings = json.dumps(_settings(source), indent=1, ensure_ascii=False)
    write_whole(folder / WEIGHTS, lambda file: file.write(weights))
    write_whole(folder / CONFIG, lambda file: file.write(settings.encode()))
    return folder


def _settings(source: Source) -> dict[str, object]:
    """What timm reads: how the backbone is built, and how a picture becomes its input."""
    config, backbone = source.net.config, source.net.backbone
    side = config.resize if config.random_crop else config.image_size
    settings = {
        "architecture": config.backbone.split(".")[0],
        "num_classes": len(source.classes),
        "num_features": backbone.num_features,
        "label_names": list(source.classes),
        "pretrained_cfg": {
            "num_classes": len(source.classes),
            "input_size": [3, config.image_size, config.image_size],
            "fixed_input_size": False,
            "mean": list(config.image_mean),
            "std": list(config.image_std),
            "interpolation": config.interpolation,
            "crop_pct": config.image_size / side,
            "crop_mode": "squash",  # timm's name for stretching to a square and cutting out its middle
            "first_conv": next(n for n, m in backbone.named_modules() if isinstance(m, nn.Conv2d)),
            "classifier": next(n for n, m in backbone.named_modules() if m is backbone.get_classifier()),
        },
    }
    return settings | ({"model_args": source.net.backbone_options} if source.net.backbone_options else {})
