"""What a run leaves behind: ``record.json`` and ``predictions.npz`` in the run's folder.

Tables are made from these, never typed. Files are written whole or not at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gholm_lib.config import Config, config_from_dict
from gholm_lib.datasets import FineGrainedData, Sample
from gholm_lib.predictions import Predictions

RECORD, PREDICTIONS = "record.json", "predictions.npz"


class RecordError(ValueError):
    """A record that is missing or cannot be read; the message names the file."""


@dataclass
class Record:
    """One finished run.

    config       Config.to_dict()
    data         name, counts, and a digest of the test images' ids (paired tests need the same images)
    results      accuracies in percent by epoch of choice: "last" (the number), "best_test" (optimistic), and
                 "held_out" (epoch chosen on held-out training images; None without any)
    curve        one entry an epoch
    cost         seconds, images a second, peak memory: what may differ between two equal runs
    environment  versions, device, machine
    tested_mu    None: as trained; a number: "last" and the predictions are those of the trained network, tested
                 with this mu of eq. (5) instead
    """

    config: dict[str, Any]
    data: dict[str, Any]
    results: dict[str, Any]
    curve: list[dict[str, Any]]
    cost: dict[str, Any]
    environment: dict[str, Any]
    predictions: Predictions | None = field(default=None, repr=False)
    tested_mu: float | None = None

    @property
    def settings(self) -> Config:
        return config_from_dict(self.config)

    @property
    def accuracy(self) -> float:
        """Last epoch, Raw + Crop (Raw where there is no Crop branch), in percent."""
        return self.results["last"][self.answer]

    @property
    def answer(self) -> str:
        """Which logits answer: "both", or "raw" without a Crop branch."""
        return "both" if self.config["crop"] else "raw"

    def save(self, folder: Path) -> None:
        """Write both files; ``record.json`` last, so that its presence means the run is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.predictions is not None:
            arrays = dataclasses.asdict(self.predictions)
            write_whole(folder / PREDICTIONS, lambda f: np.savez_compressed(f, **arrays))
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del plain["predictions"]
        text = json.dumps(plain, indent=1)
        write_whole(folder / RECORD, lambda f: f.write(text.encode()))


def load_record(folder: str | Path) -> Record:
    """Read the record in a run's folder; raises RecordError naming the file."""
    path = Path(folder) / RECORD
    try:
        record = Record(**json.loads(path.read_text()))
        _ = record.settings  # of another version of the kit, perhaps
        with np.load(path.with_name(PREDICTIONS)) as file:
            arrays = dict(file)
        arrays["image_size"] = int(arrays["image_size"])
        record.predictions = Predictions(**arrays)
    # A damaged .npz raises BadZipFile, zlib.error, EOFError ...; whichever it is, the record is of no use.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise RecordError(f"{path} (with {PREDICTIONS}) cannot be read as a record: {reason}") from error
    return record


def load_records(folder: str | Path) -> list[Record]:
    """Every record below a folder, in the order of the folders' names."""
    return [load_record(path.parent) for path in sorted(Path(folder).rglob(RECORD))]


def write_whole(path: Path, write) -> None:
    """Write through a temporary file, so that ``path`` is never half a file, even after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def describe_data(
    data: FineGrainedData, classes: int, train: Sequence[Sample], test: Sequence[Sample]
) -> dict:
    """The part of a record that says which images were used; classes: outputs of the network."""
    return {
        "name": data.name,
        "classes": classes,
        "train": len(train),
        "test": len(test),
        "test_ids_sha256": ids_digest(test),
    }


def ids_digest(samples: Sequence[Sample]) -> str:
    """SHA-256 of the images' ids in their order: whether two runs were tested on the same images."""
    return hashlib.sha256("\n".join(s.image_id for s in samples).encode()).hexdigest()
