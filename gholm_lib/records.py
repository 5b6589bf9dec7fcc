"""The record of a run: ``record.json`` and ``predictions.npz`` in the run's folder.

All tables are made from records, never typed by hand. Files are written completely or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gholm_lib.config import Config, config_from_dict
from gholm_lib.datasets import FineGrainedData, Sample
from gholm_lib.predictions import Predictions

RECORD, PREDICTIONS = "record.json", "predictions.npz"
_DATA_ROOT = "data_root.json"  # only in a run's folder: a shared record must not name anybody's folders


class RecordError(ValueError):
    """A record that is missing or cannot be read; the message names the file."""


@dataclass
class Record:
    """One finished run.

    config       Config.to_dict()
    data         the origin: name, counts, digests of ids, labels and class names, version of a drawn set, digest of
                 the starting weights' file (some are missing in older records); paired tests need the same test ids
    results      accuracies in percent, by how the epoch was chosen: "last" (the main result), "best_test"
                 (optimistic), and "held_out" (chosen on held-out training images; None if there are none)
    curve        one entry per epoch
    cost         total seconds, images per second in training steps, peak memory: these may differ between two
                 equal runs
    environment  versions, device, machine, precision in use
    tested_mu    None: tested with the mu of training; a number: "last" and the predictions are from testing the
                 trained network with this mu of eq. (5) instead
    about        what another method than GHOLM-Net is, in words; None for GHOLM-Net
    """

    config: dict[str, Any]
    data: dict[str, Any]
    results: dict[str, Any]
    curve: list[dict[str, Any]]
    cost: dict[str, Any]
    environment: dict[str, Any]
    predictions: Predictions | None = field(default=None, repr=False)
    tested_mu: float | None = None
    about: str | None = None

    @property
    def settings(self) -> Config:
        return config_from_dict(self.config)

    @property
    def accuracy(self) -> float:
        """Accuracy after the last epoch in percent, Raw + Crop (Raw if there is no Crop branch)."""
        return self.results["last"][self.answer]

    @property
    def answer(self) -> str:
        """The logits that give the prediction: "both", or "raw" without a Crop branch."""
        return "both" if self.config["crop"] else "raw"

    def save(self, folder: Path) -> None:
        """Write both files, ``record.json`` last, so that its presence means that the run is complete."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.predictions is not None:
            arrays = dataclasses.asdict(self.predictions)
            write_whole(folder / PREDICTIONS, lambda f: np.savez_compressed(f, **arrays))
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del plain["predictions"]
        text = json.dumps(plain, indent=1)
        write_whole(folder / RECORD, lambda f: f.write(text.encode()))


def load_record(folder: str | Path) -> Record:
    """Read the record in a run's folder; raises RecordError, which names the file."""
    path = Path(folder) / RECORD
    try:
        record = Record(**json.loads(path.read_text()))
        _ = record.settings  # fails for a record of another version of the kit
        with np.load(path.with_name(PREDICTIONS)) as file:
            arrays = dict(file)
        arrays["image_size"] = int(arrays["image_size"])
        record.predictions = Predictions(**arrays)
    # A damaged .npz raises BadZipFile, zlib.error, EOFError ...; in every case the record is unusable.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise RecordError(f"{path} (with {PREDICTIONS}) cannot be read as a record: {reason}") from error
    return record


def load_records(folder: str | Path) -> list[Record]:
    """Every record below a folder, in the order of folder names."""
    return [load_record(path.parent) for path in sorted(Path(folder).rglob(RECORD))]


def write_whole(path: Path, write) -> None:
    """Write through a temporary file, so that ``path`` is never incomplete, even after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def note_data_root(run: Path, root: Path) -> None:
    """Note in a run's folder where its data sets are: the absolute path, and the path relative to the run."""
    found = {"absolute": str(root.resolve())}
    with contextlib.suppress(ValueError):  # on another Windows drive
        found["relative"] = os.path.relpath(root.resolve(), run.resolve())
    text = json.dumps(found, indent=1)
    write_whole(run / _DATA_ROOT, lambda f: f.write(text.encode()))


def noted_data_roots(run: Path) -> list[Path]:
    """The folders in which the data of a run may be, the likeliest first; [] for an older run, which notes none."""
    path = run / _DATA_ROOT
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text())
        near = [(run / found["relative"]).resolve()] if "relative" in found else []
        return list(dict.fromkeys([*near, Path(found["absolute"])]))
    except (ValueError, TypeError, KeyError) as error:
        raise RecordError(f"{path} cannot be read ({error}); remove it and give --data-root") from error


def describe_data(
    data: FineGrainedData,
    classes: int,
    train: Sequence[Sample],
    test: Sequence[Sample],
    held_out: Sequence[Sample] = (),
) -> dict[str, Any]:
    """The part of a record that describes the images used; ``classes`` is the number of network outputs."""
    learned = [*train, *held_out]
    return {
        "name": data.name,
        "classes": classes,
        "train": len(train),
        "test": len(test),
        "test_ids_sha256": ids_digest(test),
        "test_labels_sha256": labels_digest([s.label for s in test]),
        "train_ids_sha256": ids_digest(learned),
        "train_labels_sha256": labels_digest([s.label for s in learned]),
        "class_names_sha256": _digest(data.classes[:classes]),
        "drawing_version": drawing_version(data.root),
    }


def ids_digest(samples: Sequence[Sample]) -> str:
    """SHA-256 of the images' ids in order; equal if two runs were tested on the same images."""
    return _digest(s.image_id for s in samples)


def labels_digest(labels: Iterable[int]) -> str:
    """SHA-256 of the labels, in the order of the images."""
    return _digest(map(str, labels))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def drawing_version(root: Path) -> int | None:
    """The version in ``ground_truth/truth.json`` of a drawn data set; None for photographs."""
    path = root / "ground_truth" / "truth.json"
    try:
        return _version_in(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache
def _version_in(path: Path, time: int) -> int | None:
    try:
        about = json.loads(path.read_bytes())
    except ValueError as error:
        raise RecordError(f"{path} is not JSON ({error}); draw the data set again") from error
    return about.get("version") if isinstance(about, dict) else None
