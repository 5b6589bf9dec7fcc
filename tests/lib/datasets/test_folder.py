"""Pictures of one's own: what is read, how it is split, and what a person is told about the rest."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gholm_lib.datasets import DATASETS, DataError, check_dataset, dataset_info, load_dataset
from gholm_lib.datasets.folder import (
    TEST_SHARE,
    equal_files,
    left_out,
    read_folder,
    split_as_kept,
    split_as_text,
)
from gholm_lib.datasets.registry import locate

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200


def draw(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
    Image.fromarray(pixels).save(path, "PNG" if path.suffix == ".png" else "JPEG")
    return path


@pytest.fixture
def own(tmp_path) -> Path:
    """Three kinds of leaf, ten pictures each, with names as people have them."""
    for label, name in enumerate(("枫叶 maple", "birch", "oak leaf")):
        for k in range(9):
            draw(tmp_path / "my leaves" / name / f"IMG {k}.JPG", 100 * label + k)
        draw(tmp_path / "my leaves" / name / "照片.png", 100 * label + 50)
    return tmp_path / "my leaves"


# ---------------------------------------------------------------------- what is read


def test_one_folder_is_one_class(own):
    data = load_dataset("my leaves", own.parent)
    assert data.classes == ("birch", "oak leaf", "枫叶 maple")
    assert data.counts == (3, 21, 9)
    samples = (*data.train, *data.test)
    assert {s.path for s in samples} == {p for p in own.rglob("*") if p.is_file()}
    assert all(s.image_id.split("/")[0] == data.classes[s.label] for s in samples)
    assert all(own / s.image_id == s.path for s in samples)


def test_train_and_test_are_taken_as_they_are(tmp_path):
    for side, count in (("Train", 3), ("test", 2)):
        for name in ("oak", "birch"):
            for k in range(count):
                draw(tmp_path / "own" / side / name / f"{k}.jpg", k)
    draw(tmp_path / "own" / "val" / "oak" / "0.jpg", 9)
    data = read_folder(tmp_path / "own", "own")
    assert data.counts == (2, 6, 4)
    assert {s.image_id.split("/")[0] for s in data.train} == {"Train"}
    assert {s.image_id.split("/")[0] for s in data.test} == {"test"}
    assert left_out(tmp_path / "own") == [
        f"{tmp_path / 'own' / 'val'} is not used, as there are train and test"
    ]


def test_accents_are_one_spelling_on_every_system(tmp_path):
    for name in ("frêne", "chêne"):
        for k in range(2):
            draw(tmp_path / "own" / unicodedata.normalize("NFD", name) / f"é{k}.jpg", k)
    data = read_folder(tmp_path / "own", "own")
    assert data.classes == ("chêne", "frêne")
    assert all(s.path.is_file() for s in (*data.train, *data.test))


# ---------------------------------------------------------------------- the split


def test_the_split_is_stratified_and_depends_on_the_seed_alone(own):
    first, again, other = (read_folder(own, "own", seed) for seed in (0, 0, 1))
    assert first == again
    assert {s.image_id for s in first.test} != {s.image_id for s in other.test}
    for data in (first, other):
        assert Counter(s.label for s in data.test) == dict.fromkeys(range(3), round(10 * TEST_SHARE))
        assert not {s.image_id for s in data.train} & {s.image_id for s in data.test}


def test_copies_stay_on_one_side(own):
    shutil.copy(own / "birch/IMG 0.JPG", own / "birch/copy.jpg")
    shutil.copy(own / "birch/IMG 0.JPG", own / "birch/another copy.jpg")
    copies = {"birch/IMG 0.JPG", "birch/copy.jpg", "birch/another copy.jpg"}
    for seed in range(20):
        data = read_folder(own, "own", seed)
        assert len(copies & {s.image_id for s in data.test}) in (0, 3)
        assert [{s.image_id for s in group} for group in equal_files((*data.train, *data.test))] == [copies]


def test_two_pictures_are_one_to_learn_from_and_one_to_test_with(tmp_path):
    for name in ("oak", "birch"):
        for k in range(2):
            draw(tmp_path / "own" / name / f"{k}.jpg", 10 * k + len(name))
    assert read_folder(tmp_path / "own", "own").counts == (2, 2, 2)


def test_a_kept_split_holds_when_pictures_and_classes_are_added(own, tmp_path):
    before, kept = read_folder(own, "own"), tmp_path / "split.json"
    kept.write_text(split_as_text(before), encoding="utf-8")
    for k in range(4):
        draw(own / "alder" / f"{k}.jpg", 900 + k)
        draw(own / "birch" / f"new {k}.jpg", 950 + k)
    assert read_folder(own, "own").classes[0] == "alder"
    assert split_as_kept(read_folder(own, "own"), kept) == before


def test_a_kept_split_names_pictures_that_are_gone(own, tmp_path):
    kept = tmp_path / "split.json"
    kept.write_text(split_as_text(read_folder(own, "own")), encoding="utf-8")
    (own / "birch/IMG 0.JPG").unlink()
    with pytest.raises(DataError, match=r"lacks 1 of the pictures of the run, such as birch/IMG 0\.JPG"):
        split_as_kept(read_folder(own, "own"), kept)
    kept.write_text("{")
    with pytest.raises(DataError, match=r"split\.json cannot be read as a split"):
        split_as_kept(read_folder(own, "own"), kept)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has no folder with pictures: put the pictures of each class into a folder of its own: own/oak"),
        (["a.jpg"], "has no folder with pictures"),
        (["oak/a.jpg", "oak/b.jpg"], "has only the class 'oak'"),
        (["oak/a.jpg", "oak/b.jpg", "elm/a.jpg"], "the class 'elm' has 1 picture: it needs at least two"),
        (
            ["train/oak/a.jpg", "train/elm/a.jpg", "test/ash/a.jpg"],
            "test pictures of a class that .*train does not",
        ),
        (["train/oak/a.jpg", "train/elm/a.jpg", "test/a.jpg"], "the lists name no test images"),
    ],
)
def test_a_folder_that_will_not_do_is_one_sentence(tmp_path, files, message):
    (tmp_path / "own").mkdir()
    for k, file in enumerate(files):
        draw(tmp_path / "own" / file, k)
    with pytest.raises(DataError, match=message):
        read_folder(tmp_path / "own", "own")


def test_a_class_of_copies_cannot_be_tested(own):
    shutil.rmtree(own / "birch")
    draw(own / "birch/a.jpg", 1)
    shutil.copy(own / "birch/a.jpg", own / "birch/b.jpg")
    with pytest.raises(DataError, match="the class 'birch' has 2 pictures that are the same"):
        read_folder(own, "own")


# ---------------------------------------------------------------------- finding the folder


def test_a_folder_is_found_by_path_and_by_name(own, monkeypatch):
    assert locate(str(own)) == ("my leaves", own.parent)
    assert locate("my leaves", own.parent) == ("my leaves", own.parent)
    monkeypatch.chdir(own.parent)
    assert locate("my leaves") == locate("./my leaves") == ("my leaves", own.parent)
    assert locate("cub") == ("cub", None)
    assert locate("no set", own.parent) == ("no set", own.parent)  # dataset_info says what there is


def test_a_folder_that_is_not_there_or_has_a_known_name(tmp_path):
    with pytest.raises(DataError, match=f"There is no folder {re.escape(str(tmp_path / 'gone'))}"):
        locate(str(tmp_path / "gone"))
    (tmp_path / "cub").mkdir()
    with pytest.raises(DataError, match="has the name of a known data set: rename it, for example to my_cub"):
        locate(str(tmp_path / "cub"))
    with pytest.raises(DataError, match=r"Unknown data set 'leaves'.*or a folder of your own pictures"):
        dataset_info("leaves", tmp_path)


def test_only_unknown_names_are_ones_own(own):
    assert dataset_info("my leaves", own.parent).is_own
    assert not any(info.is_own for info in DATASETS.values())


# ---------------------------------------------------------------------- gholm data check


def test_a_good_folder(own):
    report = check_dataset("my leaves", own.parent, progress=False)
    assert report.ok
    assert "3 classes, 21 training images, 9 test images (30% of each class set apart" in str(report)
    assert "birch 7 + 3, oak leaf 7 + 3, 枫叶 maple 7 + 3" in str(report)
    assert "all 30 images open" in str(report)


def test_every_unreadable_file_and_every_copy_is_named(own):
    (own / "birch/phone.jpg").write_bytes(HEIC)
    (own / "birch/half.jpg").write_bytes((own / "birch/IMG 1.JPG").read_bytes()[:300])
    shutil.copy(own / "birch/IMG 2.JPG", own / "birch/copy.jpg")
    shutil.copy(own / "oak leaf/IMG 2.JPG", own / "birch/oak.jpg")
    (own / "birch/notes.txt").touch()
    draw(own / "loose.jpg", 1)
    draw(own / "birch/more/deep.jpg", 1)
    report = check_dataset("my leaves", own.parent, progress=False)
    problems, notes = "\n".join(report.problems), "\n".join(report.notes)
    assert len(report.problems) == 3
    assert re.search(r"phone\.jpg is not a picture .* HEIC photo", problems)
    assert re.search(r"half\.jpg is damaged or truncated", problems)
    assert re.search(r"the same picture in two classes: .*(oak\.jpg|oak leaf)", problems)
    assert re.search(r"the same picture 2 times: .*copy\.jpg", notes)
    assert re.search(r"notes\.txt is not called like a picture", notes)
    assert re.search(r"loose\.jpg is not in the folder of a class", notes)
    assert re.search(r"more is a folder in a class's folder", notes)


def test_a_picture_in_training_and_test_spoils_the_test(tmp_path):
    for side in ("train", "test"):
        for name in ("oak", "elm", "ash"):
            draw(tmp_path / "own" / side / name / f"{side}.jpg", sum(map(ord, side + name)))
    shutil.copy(tmp_path / "own/train/oak/train.jpg", tmp_path / "own/test/oak/other name.jpg")
    shutil.rmtree(tmp_path / "own/test/ash")
    report = check_dataset("own", tmp_path, progress=False)
    (problem,) = report.problems
    assert problem.startswith("the same picture in training and test: ")
    assert "other name.jpg" in problem
    assert "the class 'ash' has no test picture" in report.notes


def test_a_folder_without_classes_is_one_problem(tmp_path):
    (tmp_path / "own").mkdir()
    report = check_dataset("own", tmp_path, progress=False)
    assert not report.ok
    assert "has no folder with pictures" in str(report)
