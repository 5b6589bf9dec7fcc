"""A class's runs: what is honest is pooled, and what no run can have written is refused with its reason."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gholm_kit.teaching.classroom import merge as merging
from gholm_lib.paths import records_folder
from gholm_lib.records import Record, labels_digest, load_record

pytestmark = pytest.mark.usefixtures("one_thread")
ROWS = ("mini_birds-raw-3a296180", "mini_birds-raw_crop-e5e02dcb")  # one recipe
KEPT = records_folder() / "mini"


@pytest.fixture
def kept(tmp_path) -> Path:
    """Seeds 0 and 1 of two rows, as a folder of kept records."""
    for row in ROWS:
        for seed in (0, 1):
            shutil.copytree(KEPT / f"{row}-s{seed}", tmp_path / "kept" / f"{row}-s{seed}")
    return tmp_path / "kept"


@pytest.fixture
def handed(tmp_path):
    """``handed(student, seed, change, row)``: a student's record, like the kept one of seed 2 unless changed."""

    def write(student: str, seed: int = 2, change=None, row: int = 1) -> Path:
        record = load_record(KEPT / f"{ROWS[row]}-s2")
        record.config["seed"] = seed
        record.cost["seconds"] += seed
        if seed != 2:
            _other_answers(record, seed)
        if change:
            change(record)
        path = tmp_path / "class" / student
        record.save(path)
        return path

    (tmp_path / "class").mkdir()
    return write


def _other_answers(record: Record, seed: int) -> None:
    """Another network's answers, and the accuracies that follow from them."""
    p = record.predictions
    rng = np.random.default_rng(seed)
    change = rng.random(len(p.label)) < 0.05
    p.both = np.where(change & (p.both >= 0), rng.integers(0, record.data["classes"], len(p.both)), p.both)
    p.raw = np.where(change, rng.integers(0, record.data["classes"], len(p.raw)), p.raw)
    last = p.summary()
    record.results["last"], record.results["best_test"] = last, last | {"epoch": record.config["epochs"]}
    record.curve[-1]["test"] = dict(last)


def test_a_class_is_pooled_beside_the_kept_rows(tmp_path, kept, handed):
    for seed in (2, 5, 4):
        handed(f"anna{seed}", seed)
        handed(f"ben{seed}", seed, row=0)
    merged = merging.merge(tmp_path / "class", kept)
    assert merged.refused == []
    assert [[r.config["seed"] for r in row.own] for row in merged.rows] == [[2, 4, 5]] * 2
    table = merging.table(merged)
    first = table.rows[0]
    assert (first["branches"], first["class: seeds"], first["kept: seeds"]) == ("raw", 3, 2)
    means = [r.results["last"]["raw"] for r in merged.rows[0].own]
    assert first["class"].mean == pytest.approx(np.mean(means))
    assert first["together"].seeds == 5
    assert first["class: 95 %"].low < first["class"].mean < first["class: 95 %"].high
    assert table.rows[1]["difference to the row above"] is not None
    bar = merging.picture(merged).axes[0].containers[0]
    assert list(bar.lines[0].get_xdata()) == [1, 2, 3]
    assert bar.lines[0].get_ydata()[-1] == pytest.approx(first["class"].mean)
    written = merging.write(merged, tmp_path / "out")
    assert {p.name for p in written} == {"class.md", "class.csv", "class.tex", "class.png", "refused.csv"}


def _set(**changes):
    def change(record: Record) -> None:
        for name, value in changes.items():
            *parents, last = name.split("__")
            place = vars(record)
            for parent in parents:
                place = place[parent]
                place = vars(place) if dataclasses.is_dataclass(place) else place
            place[last] = value(place[last]) if callable(value) else value

    return change


def _other_labels(record: Record) -> None:
    record.data["test_labels_sha256"] = labels_digest(record.predictions.label.tolist())
    record.predictions.label = record.predictions.both.copy()


IMPOSSIBLE = {
    "epochs is 9, not 20": _set(config__epochs=9),
    "but the predictions give": _set(results__last__both=99.0),
    "the predictions give": _set(predictions__both=lambda v: np.roll(v, 1)),
    "boxes": _set(predictions__image_size=224),
    "not inside the image": _set(predictions__box=lambda v: v + 50),
    "values outside 0 to": _set(predictions__raw=lambda v: v + 50),
    "integers": _set(predictions__raw=lambda v: v[:-1]),
    "test images, not": _set(data__test=7),
    "other data than the kept runs: other test images": _set(data__test_ids_sha256="0" * 64),
    "train images, not": _set(data__train=12),
    "is not finite": lambda r: r.curve[0]["losses"].update(raw=float("nan")),
    "epochs": lambda r: r.curve.pop(0),
    "the last epoch's test": lambda r: r.curve[-1]["test"].update(both=1.0),
    "train_accuracy": lambda r: r.curve[3].update(train_accuracy=101),
    "the best epoch": _set(results__best_test={"epoch": 3, "both": 10.0}),
    "seconds": _set(cost__seconds=-1),
    "a value is missing or of the wrong type": _set(results={}),
    "test at mu": _set(tested_mu=2.0),
    "other labels of the test images": _set(data__test_labels_sha256="0" * 64),
    "the labels are not those": _other_labels,
}


@pytest.mark.parametrize("reason", IMPOSSIBLE)
def test_an_impossible_record_is_refused_with_its_reason(reason, tmp_path, kept, handed):
    handed("honest", 7)
    bad = handed("other", 3, IMPOSSIBLE[reason])
    merged = merging.merge(tmp_path / "class", kept)
    ((path, told),) = merged.refused
    assert path == bad
    assert reason in told
    assert merged.count == 1


def test_copies_and_second_hand_ins_are_refused(tmp_path, kept, handed):
    handed("anna", 3)
    handed("ben", 3)  # anna's files
    handed("cleo", 3, lambda r: r.cost.update(seconds=1.0))  # the same seed, trained again
    handed("dora", 3, _set(config__seed=4))  # anna's answers under another seed
    shutil.copytree(kept / f"{ROWS[1]}-s1", tmp_path / "class" / "emil")
    merged = merging.merge(tmp_path / "class", kept)
    told = {path.name: reason for path, reason in merged.refused}
    assert merged.count == 1
    assert "copy" in told["ben"]
    assert "counts already" in told["cleo"]
    assert "seed 4 has the answers of seed 3" in told["dora"]
    assert "copy" in told["emil"]


def test_files_that_are_no_record_are_refused(tmp_path, kept, handed):
    handed("honest", 7)
    linked = handed("linked", 3)
    (linked / "record.json").unlink()
    (linked / "record.json").symlink_to(kept / f"{ROWS[1]}-s0" / "record.json")
    handed("text", 3).joinpath("record.json").write_text("{")
    bomb = handed("bomb", 3) / "predictions.npz"
    np.savez_compressed(bomb, label=np.zeros(10**8, np.int8))
    np.savez(handed("pickle", 3) / "predictions.npz", label=np.array([print], dtype=object))
    merged = merging.merge(tmp_path / "class", kept)
    told = {path.name: reason for path, reason in merged.refused}
    assert set(told) == {"linked", "text", "bomb", "pickle"}
    assert "no file" in told["linked"]
    assert "at most" in told["bomb"]
    assert "cannot be read as a record" in told["pickle"]


def test_a_folder_without_records_is_one_sentence(tmp_path, kept):
    with pytest.raises(ValueError, match=r"no record\.json below .*one from each student"):
        merging.merge(tmp_path / "nothing", kept)


def test_each_kept_record_could_have_been_written_by_a_run():
    found = {p.parent.name: merging.impossible(load_record(p.parent)) for p in KEPT.rglob("record.json")}
    refused = {
        k: v for k, v in found.items() if v and "tested-at" not in k
    }  # a test has its training's curve
    assert refused == {}, json.dumps(refused, indent=1)
