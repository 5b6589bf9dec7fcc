"""The shared backbone: any timm model with ``forward_features`` and ``forward_head``, and its weights."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from timm.models import register_model
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

MINI = "gholm_convnext_mini"
MINI2 = "gholm_convnext_mini2"
PACKAGED = (MINI, MINI2)  # backbones whose weights come with the kit


class WeightsError(ValueError):
    """Weights that are missing, broken or of another network; the message says what to do."""


# Of both mini backbones. Differences from ConvNeXt-S, each for learning from little data on a CPU: overlapping stem
# (small parts are a few pixels wide), no layer scale (timm's 1e-6 hardly learns from scratch).
_MINI_SETTINGS: dict[str, Any] = {
    "depths": (1, 2, 3, 1),
    "dims": (24, 48, 96, 112),
    "stem_type": "overlap_tiered",
    "ls_init_value": None,
}


@register_model
def gholm_convnext_mini(pretrained: bool = False, **kwargs: Any) -> ConvNeXt:
    """A ConvNeXt of 0.4 million parameters for the mini sets, of version 0.1; 112 x 112 pixels give a 7 x 7 map.

    timm makes the stride 16 instead of 32 by dilating the last stage, which puts the evidence for a part beside it;
    :func:`gholm_convnext_mini2` does without.
    """
    model = ConvNeXt(**(_MINI_SETTINGS | {"output_stride": 16} | _for_timm(kwargs)))
    if pretrained:
        load_weights(model, packaged_weights(MINI))
    return model


@register_model
def gholm_convnext_mini2(pretrained: bool = False, **kwargs: Any) -> ConvNeXt:
    """The mini backbone whose heat lies on what it sees: (B, 3, 112, 112) → features (B, 112, 7, 7).

    Against :func:`gholm_convnext_mini`: no dilation; small kernels where the map is small, for a 7 x 7 kernel on a
    7 x 7 map sees everything from everywhere; and every cell stands in the middle of what it sees.
    """
    model = ConvNeXt(**(_MINI_SETTINGS | {"kernel_sizes": (7, 3, 3, 1)} | _for_timm(kwargs)))
    # 4 x 4, stride 2 stands squarely over 2 x 2 pixels; 3 x 3 lies half a pixel too high and too far left.
    for k, conv in enumerate(model.stem[:2]):
        model.stem[k] = nn.Conv2d(conv.in_channels, conv.out_channels, kernel_size=4, stride=2, padding=1)
    # Stride 16 without dilation: the last stage takes the third stage's cells as they are.
    halving = model.stages[-1].downsample[1]
    model.stages[-1].downsample[1] = nn.Conv2d(halving.in_channels, halving.out_channels, kernel_size=1)
    for conv in model.modules():  # a border of zeros would be a sight of its own, and draw heat
        if isinstance(conv, nn.Conv2d) and any(conv.padding):
            conv.padding_mode = "reflect"
    if pretrained:
        load_weights(model, packaged_weights(MINI2))
    return model


def _for_timm(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Without what ``timm.create_model`` adds about the model hub."""
    return {k: v for k, v in kwargs.items() if not k.startswith(("pretrained", "cache_dir"))}


def packaged_weights(name: str = MINI) -> Path:
    """The kit's own weights of a mini backbone, made by ``gholm pretrain --backbone NAME``."""
    return Path(str(resources.files("gholm_lib") / "weights" / f"{name}.safetensors"))


def create_backbone(name: str, num_classes: int, weights: str | Path, **kwargs: Any) -> nn.Module:
    """A timm model with a fresh classifier of ``num_classes``.

    weights  "none", "packaged", "timm" (from the model hub) or a .safetensors / .pth file
    raises   ValueError for a model that GradCAM cannot use; WeightsError
    """
    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:5]
        raise ValueError(f"timm has no model {name!r}; some that it has: {', '.join(close) or '-'}")
    if str(weights) == "timm":
        model = _from_hub(name, num_classes, **kwargs)
    else:
        try:
            model = timm.create_model(name, pretrained=False, num_classes=num_classes, **kwargs)
        except TypeError as error:
            raise ValueError(f"{name} does not take the options {kwargs}: {error}") from error
        _calm_classifier(model)
        if str(weights) == "packaged":
            _load_packaged(model, name)
        elif str(weights) != "none":
            load_weights(model, Path(weights))
    if not (hasattr(model, "forward_features") and hasattr(model, "forward_head")):
        raise ValueError(f"{name} has no forward_features / forward_head, which GradCAM needs")
    if getattr(model, "output_fmt", "NCHW") != "NCHW":  # a map over the wrong axes would look like any other
        raise ValueError(
            f"{name} gives features as {model.output_fmt}, not (B, C, h, w), which GradCAM needs"
        )
    return model


def _calm_classifier(model: nn.Module) -> None:
    """Start the fresh classifier small. MobileNetV2's own start, by the number of classes, gives a first loss of 14
    for ten classes, and fine-tuning never recovers."""
    classifier = model.get_classifier() if hasattr(model, "get_classifier") else None
    if isinstance(classifier, nn.Linear):
        nn.init.trunc_normal_(classifier.weight, std=0.01)
        if classifier.bias is not None:
            nn.init.zeros_(classifier.bias)


def _from_hub(name: str, num_classes: int, **kwargs: Any) -> nn.Module:
    try:
        model = timm.create_model(name, pretrained=True, num_classes=num_classes, **kwargs)
    except RuntimeError as error:
        if "No pretrained weights" in str(error) or "Invalid pretrained tag" in str(error):
            raise WeightsError(f"timm has no pretrained weights for {name!r}: {error}") from error
        raise WeightsError(_hub_help(name, error)) from error
    except (OSError, ValueError) as error:  # no network, no such file, hub errors (subclasses of OSError)
        raise WeightsError(_hub_help(name, error)) from error
    _calm_classifier(model)
    return model


def _hub_help(name: str, error: Exception) -> str:
    cfg = timm.get_pretrained_cfg(name)
    hub = getattr(cfg, "hf_hub_id", None) or f"timm/{name}"
    reason, *_ = [*str(error).splitlines(), ""]  # some errors have no text at all
    return (
        f"the weights of {name!r} could not be fetched from the model hub ({type(error).__name__}: "
        f"{reason[:200]}). On a machine with internet, download model.safetensors of "
        f"https://huggingface.co/{hub} , copy it here, for example to data/weights/{name}.safetensors, and run "
        f"again with --weights data/weights/{name}.safetensors"
    )


def _load_packaged(model: nn.Module, name: str) -> None:
    if name not in PACKAGED:
        known = " and ".join(PACKAGED)
        raise WeightsError(
            f'weights="packaged" exist only for {known}, not for {name!r}; choose "timm", "none" or a file'
        )
    load_weights(model, packaged_weights(name))


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a .safetensors or .pth / .pt file; a classifier of another size is left fresh.

    raises WeightsError naming the file and what does not fit
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"no weights file {path}; --weights takes a .safetensors or .pth file, timm or none"
        )
    state = _read(path)
    own = model.state_dict()
    classifier = tuple(_classifier_keys(model))
    odd_shapes = [k for k in state if k in own and state[k].shape != own[k].shape]
    wrong = [k for k in odd_shapes if k not in classifier]
    missing = [k for k in own if k not in state and k not in classifier]
    unknown = [k for k in state if k not in own and k not in classifier]
    if wrong or missing or unknown:
        raise WeightsError(
            f"{path} does not fit {type(model).__name__}: {len(missing)} missing {missing[:3]}, "
            f"{len(unknown)} unknown {unknown[:3]}, {len(wrong)} of another shape {wrong[:3]}. "
            "Is it the weights of this very backbone?"
        )
    model.load_state_dict({k: v for k, v in state.items() if k not in odd_shapes and k in own}, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path} cannot be read as weights ({type(error).__name__}: {error})") from error
    for key in ("model", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"{path} holds no table of named tensors")
    return state


def _classifier_keys(model: nn.Module) -> list[str]:
    if not hasattr(model, "get_classifier"):  # a whole GHOLMNet, of which every tensor must be there
        return []
    classifier = model.get_classifier()
    names = {id(module): name for name, module in model.named_modules()}
    prefix = names.get(id(classifier), "")
    return [f"{prefix}.{leaf}" for leaf in ("weight", "bias")] if prefix else []
