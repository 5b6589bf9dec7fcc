"""Records: what is written comes back, damage is named, and no file is ever half a file."""

from __future__ import annotations

import dataclasses
import json
import os

import numpy as np
import pytest
import torch

from gholm_lib.config import Config
from gholm_lib.datasets import FineGrainedData, Sample
from gholm_lib.environment import describe_environment, peak_memory
from gholm_lib.predictions import Predictions
from gholm_lib.records import (
    PREDICTIONS,
    RECORD,
    Record,
    RecordError,
    describe_data,
    load_record,
    write_whole,
)


def predictions(count: int = 7) -> Predictions:
    rng = np.random.default_rng(0)
    found = Predictions.empty(count, 64)
    for name in ("label", "raw", "crop", "both"):
        getattr(found, name)[:] = rng.integers(0, 3, count)
    found.box[:] = rng.integers(0, 64, (count, 4))
    found.fallback[:] = rng.random(count) < 0.5
    return found


def a_record(**changes) -> Record:
    last = {"raw": 50.0, "crop": 1 / 3, "both": 66.6}
    values = {
        "config": Config(seed=3, classes=3).to_dict(),
        "data": {"name": "mini_birds", "classes": 3},
        "results": {"last": last, "best_test": {"epoch": 2, **last}, "held_out": None},
        "curve": [{"epoch": 1, "lr": 0.1, "losses": {"total": 0.1 + 0.2}}],
        "cost": {"seconds": 1.5},
        "environment": {"torch": torch.__version__},
        "predictions": predictions(),
    }
    return Record(**(values | changes))


def plain(record: Record) -> dict:
    values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    return values | {"predictions": None}


# ---------------------------------------------------------------------- save and load


def test_a_record_comes_back_as_it_was_saved(tmp_path):
    record = a_record()
    record.save(tmp_path / "run")
    again = load_record(tmp_path / "run")
    assert plain(again) == plain(record)  # floats included: JSON keeps every digit
    for name, value in dataclasses.asdict(record.predictions).items():
        other = getattr(again.predictions, name)
        assert np.array_equal(other, value), name
        assert not isinstance(value, np.ndarray) or other.dtype == value.dtype
    assert type(again.predictions.image_size) is int
    assert again.settings == Config(seed=3, classes=3)
    assert again.accuracy == 66.6


def test_the_answer_of_a_network_without_crop_is_raw():
    record = a_record(config=Config(crop=False, sup=False).to_dict())
    assert (record.answer, record.accuracy) == ("raw", 50.0)


def test_equal_predictions_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        a_record().save(tmp_path / name)
        os.utime(tmp_path / name / PREDICTIONS, (1, 1))
    first, second = ((tmp_path / n / PREDICTIONS).read_bytes() for n in ("a", "b"))
    assert first == second
    # No time of day in the archive either: DOS time 0 of 1980, whenever it was written.
    assert first[10:14] == b"\x00\x00\x21\x00"


# ---------------------------------------------------------------------- damage


def cut_json(folder):
    path = folder / RECORD
    path.write_bytes(path.read_bytes()[:-40])


def unknown_field(folder):
    values = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(values | {"surprise": 1}))


def cut_predictions(folder):
    path = folder / PREDICTIONS
    path.write_bytes(path.read_bytes()[:200])


def bit_flip_in_predictions(folder):
    content = bytearray((folder / PREDICTIONS).read_bytes())
    content[60:70] = bytes(10)
    (folder / PREDICTIONS).write_bytes(content)


def arrays_that_lack(folder):
    np.savez(folder / PREDICTIONS, label=np.zeros(3))


DAMAGE = {
    "json cut short": cut_json,
    "json of another kind": lambda f: (f / RECORD).write_text("[1, 2]"),
    "json not text": lambda f: (f / RECORD).write_bytes(b"\xff\xfe\x00"),
    "unknown field": unknown_field,
    "json missing": lambda f: (f / RECORD).unlink(),
    "predictions missing": lambda f: (f / PREDICTIONS).unlink(),
    "predictions empty": lambda f: (f / PREDICTIONS).write_bytes(b""),
    "predictions cut short": cut_predictions,
    "predictions with other bytes": bit_flip_in_predictions,
    "predictions without an array": arrays_that_lack,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_a_record_error_that_names_the_file(tmp_path, damage):
    a_record().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(RecordError) as error:
        load_record(tmp_path)
    assert str(tmp_path / RECORD) in str(error.value)
    assert PREDICTIONS in str(error.value)


# ---------------------------------------------------------------------- whole files


def test_write_whole_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file"
    for content in (b"old", b"new"):
        write_whole(path, lambda f, content=content: f.write(content))
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("existing", [None, b"old"])
def test_a_writer_that_raises_changes_nothing(tmp_path, existing):
    path = tmp_path / "file"
    if existing is not None:
        path.write_bytes(existing)

    def writer(file):
        file.write(b"half of the n")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_whole(path, writer)
    left = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert left == ({} if existing is None else {"file": existing})


def test_a_record_that_could_not_be_saved_is_not_taken_for_one(tmp_path):
    record = a_record(curve=[{"epoch": object()}])  # JSON cannot hold it
    with pytest.raises(TypeError):
        record.save(tmp_path)
    assert not (tmp_path / RECORD).exists()


# ---------------------------------------------------------------------- descriptions


def test_the_digest_of_test_images_depends_on_ids_and_order(tmp_path):
    def digest(*ids):
        test = [Sample(tmp_path / i, k % 2, i) for k, i in enumerate(ids)]
        data = FineGrainedData("set", tmp_path, ("a", "b"), (), tuple(test))
        return describe_data(data, 2, test[:1], test)["test_ids_sha256"]

    assert digest("a", "b") == digest("a", "b")
    assert len({digest("a", "b"), digest("b", "a"), digest("a", "c"), digest("a")}) == 4


def test_environment_and_memory_are_plain_values():
    described = describe_environment(torch.device("cpu"), 2)
    assert json.loads(json.dumps(described)) == described
    assert described["processes"] == 2
    assert described["torch"] == torch.__version__
    held = np.ones(30_000_000, np.uint8)
    assert peak_memory(torch.device("cpu")) > held.nbytes  # bytes, not kilobytes
