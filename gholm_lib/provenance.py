"""The origin of a run (images, labels, class names, drawing version, starting weights) and its comparison.

A run's name (``Config.run_id``) depends only on its settings. Two data sets with the same name, or a data set before
and after a correction of its labels, give runs with the same name. So a saved run is compared with the current data
before it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm

from gholm_lib.backbone import lite0_weights, packaged_weights
from gholm_lib.config import Config, file_sha256
from gholm_lib.datasets import FineGrainedData, Sample, with_aims
from gholm_lib.records import Record, RecordError, describe_data, labels_digest

Origin = Mapping[str, Any]
# Field of Record.data → its name in messages. Labels can be compared only if the images are the same.
_TEST = {
    "test_ids_sha256": "test images",
    "test_labels_sha256": "labels of the test images",
    "class_names_sha256": "class names",
    "drawing_version": "version of the drawing",
}
_TRAIN = {
    "train_ids_sha256": "training images",
    "train_labels_sha256": "labels of the training images",
    "weights_sha256": "starting weights",
}


TRIAL_BATCHES = 2  # test batches in a trial (max_steps), which measures speed and memory, not accuracy


class OtherOriginError(RecordError):
    """A run was made from other data or weights than the current ones; the message says what differs."""


@dataclass
class Split:
    """The images of a run."""

    data: FineGrainedData
    classes: tuple[str, ...]
    train: list[Sample]
    held_out: list[Sample]
    test: list[Sample]


def split_data(config: Config, data: FineGrainedData) -> Split:
    """Select the classes, and hold out a share of each class's training images, chosen by a hash of their ids.

    A trial (max_steps) is tested on a few images only. For a control that takes true boxes, each sample has its own.

    raises DataError if the data set does not know these boxes
    """
    keep = len(data.classes) if config.classes is None else config.classes
    if keep > len(data.classes):
        raise ValueError(f"classes is {keep}, but {data.name} has only {len(data.classes)}")
    if config.crop_box in ("object", "parts"):
        data = with_aims(data, config.crop_box)
    train = [s for s in data.train if s.label < keep]
    held_out: list[Sample] = []
    if config.holdout:
        for label in range(keep):
            own = sorted((s for s in train if s.label == label), key=_hash_of_id)
            held_out += own[: max(1, round(config.holdout * len(own)))]
    apart = {s.image_id for s in held_out}
    return Split(
        data=data,
        classes=data.classes[:keep],
        train=[s for s in train if s.image_id not in apart],
        held_out=held_out,
        test=few(config, [s for s in data.test if s.label < keep]),
    )


def few(config: Config, samples: list[Sample]) -> list[Sample]:
    """For a trial, enough images for TRIAL_BATCHES batches, evenly spread; otherwise all images."""
    return samples if config.max_steps is None else spread(samples, TRIAL_BATCHES * 2 * config.batch_size)


def spread(samples: list[Sample], count: int) -> list[Sample]:
    """At most ``count`` samples, evenly spread over the list, so that they cover as many classes as possible."""
    if len(samples) <= count:
        return samples
    return [samples[k * len(samples) // count] for k in range(count)]


def _hash_of_id(sample: Sample) -> str:
    return hashlib.sha256(sample.image_id.encode()).hexdigest()


def origin(config: Config, split: Split) -> dict[str, Any]:
    """``Record.data`` of a run with these settings on these images."""
    described = describe_data(split.data, len(split.classes), split.train, split.test, split.held_out)
    return described | {"weights_sha256": starting_weights_sha256(config)}


def starting_weights_sha256(config: Config) -> str | None:
    """SHA-256 of the file with the starting weights; None for "none", and for a file that is not available."""
    if config.weights == "packaged":
        return file_sha256(packaged_weights(config.backbone))
    if config.weights == "lite0":
        return file_sha256(lite0_weights())
    if config.weights == "timm":
        path = _hub_file(config.backbone)
        return None if path is None else file_sha256(path)
    return config.weights_sha256


def _hub_file(name: str) -> Path | None:
    """The file of a timm model in the model hub's cache; None if it has not been downloaded."""
    from huggingface_hub import try_to_load_from_cache

    hub = getattr(timm.get_pretrained_cfg(name, allow_unregistered=True), "hf_hub_id", None)
    for file in ("model.safetensors", "pytorch_model.bin"):
        found = hub and try_to_load_from_cache(hub, file)
        if isinstance(found, str):
            return Path(found)
    return None


def of_record(record: Record) -> dict[str, Any]:
    """``Record.data``, completed for older records: the test labels are then taken from the predictions."""
    kept = dict(record.data)
    if "test_labels_sha256" not in kept and record.predictions is not None:
        kept["test_labels_sha256"] = labels_digest(record.predictions.label.tolist())
    return kept


def differences(kept: Origin, now: Origin, tested_only: bool = False) -> list[str]:
    """The differences, in words, in fields that both have; ``tested_only`` ignores what only training uses."""
    found = []
    if kept.get("classes", now["classes"]) != now["classes"]:
        found.append(f"{kept['classes']} classes, not {now['classes']}")
    for name, words in _fields(tested_only).items():
        if not _says(kept, name) or not _says(now, name) or kept[name] == now[name]:
            continue
        if name == "drawing_version":
            found.append(f"version {kept[name]} of the drawing, not {now[name]}")
        elif not (name.endswith("_labels_sha256") and f"other {_images(name)}" in found):
            found.append(f"other {words}")
    return found


def lacking(kept: Origin, tested_only: bool = False) -> list[str]:
    """The fields, in words, that an older record or checkpoint does not have and that cannot be compared."""
    return [words for name, words in _fields(tested_only).items() if name not in kept]


def require_same(
    kept: Origin, now: Origin, where: str | Path, root: Path, advice: str, tested_only: bool = False
) -> str | None:
    """Compare the recorded origin with the current one.

    where    the run's folder or file, for the message
    root     the folder of the current data, for the message
    advice   what to do if they differ, after the common part
    returns  a sentence about what an older file does not record, or None
    raises   OtherOriginError, which says what differs
    """
    differing = differences(kept, now, tested_only)
    if differing:
        raise OtherOriginError(
            f"{where} was made from other data or weights than the current ones (data: {root}): "
            f"{', '.join(differing)}. Use the original ones (--data-root, --weights), or {advice}"
        )
    silent = lacking(kept, tested_only)
    return f"{where} is older and does not record its {', '.join(silent)}: not compared" if silent else None


def _fields(tested_only: bool) -> dict[str, str]:
    return _TEST if tested_only else _TRAIN | _TEST


def _says(described: Origin, name: str) -> bool:
    """Whether a field can be compared. None is a value only for the drawing version (photographs have none)."""
    return name in described and (name == "drawing_version" or described[name] is not None)


def _images(name: str) -> str:
    return _TEST["test_ids_sha256"] if name.startswith("test") else _TRAIN["train_ids_sha256"]
