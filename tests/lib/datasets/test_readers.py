"""Readers: the four layouts, their counts, boxes and names, and what each says of a broken one."""

import pickle
import shutil
import struct
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gholm_lib.datasets import (
    DATASETS,
    CorruptImageError,
    DataError,
    cub_parts,
    dataset_info,
    load_dataset,
    load_image,
)
from gholm_lib.datasets.aircraft import read_aircraft
from gholm_lib.datasets.cars import read_cars
from gholm_lib.datasets.cub import read_cub
from gholm_lib.datasets.dogs import read_dogs
from gholm_lib.paths import data_root, project_root

READERS = {"cub": read_cub, "aircraft": read_aircraft, "cars": read_cars, "dogs": read_dogs}
NAMES = list(READERS)


@pytest.fixture
def small(layouts, tmp_path):
    """`small("cub")`: a small data set in that layout, in the folder where it belongs."""

    def build(name: str) -> Path:
        return getattr(layouts, name)(tmp_path / "data" / DATASETS[name].folder)

    return build


def message(name: str, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        READERS[name](folder)
    return str(caught.value)


# --- what is read ---------------------------------------------------------------------------


def test_cub_entries(small):
    data = read_cub(small("cub"))
    assert data.classes == ("Red Bird", "Blue winged Bird")
    assert [(s.image_id, s.label) for s in data.train] == [
        ("images/001.Red_Bird/a.jpg", 0),
        ("images/002.Blue_winged_Bird/c.jpg", 1),
    ]
    # x 2, y 1, width 5.5, height 4: columns 2 to 7 (half covered), rows 1 to 4
    assert data.train[0].box == (2, 1, 8, 5)


def test_cub_parts(small):
    folder = small("cub")
    parts = cub_parts(folder)
    assert parts.names == ("beak", "left wing")
    assert set(parts.points) == {s.image_id for split in ("train", "test") for s in _of(folder)}
    expected = [[3.5, 1.0, 1.0], [3.5, 2.0, 0.0]]
    np.testing.assert_array_equal(parts.points["images/002.Blue_winged_Bird/c.jpg"], expected)


def _of(folder):
    data = read_cub(folder)
    return (*data.train, *data.test)


def test_aircraft_entries(small):
    data = read_aircraft(small("aircraft"))
    assert data.classes == ("707-320", "F/A-18", "Eurofighter Typhoon")
    assert [(s.image_id, s.label) for s in data.test] == [
        ("data/images/0034312.jpg", 2),
        ("data/images/0034313.jpg", 1),
    ]
    # 3..10 and 1..8, counted from 1 and inclusive, are 8 columns and 8 rows
    assert data.train[0].box == (2, 0, 10, 8)


def test_cars_entries(small):
    data = read_cars(small("cars"))
    assert data.classes == ("Acura RL Sedan 2012", "Audi R8/V10 2012")
    assert [(s.image_id, s.label, s.box) for s in data.train] == [
        ("cars_train/00001.jpg", 0, (2, 0, 10, 8)),
        ("cars_train/00002.jpg", 1, (0, 0, 12, 10)),
    ]
    assert data.test[0].image_id == "cars_test/00001.jpg"


def test_dogs_entries(small):
    data = read_dogs(small("dogs"))
    assert data.classes == ("Boxer", "Great Dane")
    assert [(s.image_id, s.label) for s in data.test] == [
        ("Images/n01-Boxer/n01_2.jpg", 0),
        ("Images/n02-Great_Dane/n02_2.jpg", 1),
    ]
    assert data.train[0].box == (3, 1, 11, 7), "two dogs: the box that covers both"
    assert data.train[1].box is None, "no annotation file"


@pytest.mark.parametrize("name", NAMES)
def test_invariants(small, name):
    folder = small(name)
    data = load_dataset(name, folder.parent)
    assert data.root == folder
    for sample in (*data.train, *data.test):
        assert data.root / sample.image_id == sample.path
        assert sample.path.is_absolute()
        assert sample.path.is_file()
    assert pickle.loads(pickle.dumps(data)) == data
    assert load_dataset(name, folder.parent) == data


@pytest.mark.parametrize(
    ("name", "optional"),
    [("cub", "bounding_boxes.txt"), ("aircraft", "data/images_box.txt"), ("dogs", "Annotation")],
)
def test_boxes_are_optional(small, name, optional):
    folder = small(name)
    path = folder / optional
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    data = READERS[name](folder)
    assert all(sample.box is None for sample in (*data.train, *data.test))


@pytest.mark.parametrize("name", NAMES)
def test_the_drawn_sets_use_the_same_readers(layouts, tmp_path, name):
    mini = {"cub": "mini_birds"}.get(name, f"mini_{name}")
    getattr(layouts, name)(tmp_path / mini)
    data = load_dataset(mini, tmp_path)
    assert data.name == mini
    assert data.counts[0] >= 2


# --- the owners' lists ----------------------------------------------------------------------


TABLE_1 = {
    "cub": (200, 5994, 5794),
    "aircraft": (100, 6667, 3333),
    "cars": (196, 8144, 8041),
    "dogs": (120, 12000, 8580),
}


@pytest.mark.parametrize("name", NAMES)
def test_counts_of_table_1(official, name):
    assert official[name].counts == TABLE_1[name]
    assert DATASETS[name].expected == TABLE_1[name]


def test_known_entries_of_the_owners(official):
    cub = official["cub"]
    assert cub.classes[0] == "Black footed Albatross"
    assert cub.classes[199] == "Common Yellowthroat"
    first = cub.test[0]  # "1 60.0 27.0 325.0 304.0"
    assert first.image_id == "images/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg"
    assert (first.label, first.box) == (0, (60, 27, 385, 331))
    cars = official["cars"]
    assert cars.classes[13] == "Audi TTS Coupe 2012"
    assert (cars.train[0].label, cars.train[0].box) == (13, (38, 115, 569, 375))
    assert (cars.test[0].label, cars.test[0].box) == (180, (29, 51, 246, 147))
    dogs = official["dogs"]
    assert (dogs.classes[0], dogs.classes[119]) == ("Chihuahua", "African hunting dog")
    assert dogs.train[0].image_id == "Images/n02085620-Chihuahua/n02085620_5927.jpg"
    aircraft = official["aircraft"]
    assert aircraft.train[0].image_id == "data/images/1025794.jpg"


def in_torchvision(name, root, split):
    """(path, label) of every image as torchvision reads the same folder."""
    from torchvision import datasets

    if name == "cars":
        return datasets.StanfordCars(root, split)._samples
    data = datasets.FGVCAircraft(root, {"train": "trainval"}.get(split, split))
    return list(zip(data._image_files, data._labels, strict=True))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", ["aircraft", "cars"])
def test_torchvision_reads_the_same(official, official_root, name, split):
    ours = [(s.path, s.label) for s in getattr(official[name], split)]
    theirs = [(Path(path), label) for path, label in in_torchvision(name, official_root, split)]
    assert ours == theirs


def test_part_points_of_the_owner(official_root):
    parts = cub_parts(official_root / "CUB_200_2011")
    assert len(parts.names) == 15
    assert parts.names[:2] == ("back", "beak")
    assert len(parts.points) == 11788
    first = parts.points["images/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg"]
    np.testing.assert_array_equal(first[1], [312.0, 182.0, 1.0])


@pytest.mark.parametrize(("name", "counts"), [("cub", (60, 1799, 1748)), ("cars", (20, 420, 428))])
def test_photographs(photograph_root, name, counts):
    data = load_dataset(name, photograph_root)
    assert data.counts == counts
    assert {s.label for s in data.train} == {s.label for s in data.test} == set(range(counts[0]))
    assert load_image(data.test[0].path).mode == "RGB"


# --- wrong and half layouts -----------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_nothing_there(tmp_path, name):
    info = DATASETS[name]
    with pytest.raises(DataError) as caught:
        load_dataset(name, tmp_path)
    text = str(caught.value)
    assert str(tmp_path / info.folder / info.required[0]) in text
    assert f"Found: {tmp_path / info.folder} does not exist" in text
    assert f"gholm data get {name}" in text


@pytest.mark.parametrize("name", ["mini_birds", "mini_aircraft", "mini_cars", "mini_dogs"])
def test_not_drawn_yet(tmp_path, name):
    with pytest.raises(DataError, match="gholm data get mini"):
        load_dataset(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "required"), [(name, file) for name in NAMES for file in DATASETS[name].required]
)
def test_each_missing_file_is_named(small, name, required):
    folder = small(name)
    (folder / required).rename((folder / required).with_name("elsewhere"))
    text = message(name, folder)
    assert f"Expected {folder / required}, which does not exist" in text
    assert f"{(folder / required).parent} contains " in text
    assert "elsewhere" in text


@pytest.mark.parametrize("name", NAMES)
def test_unpacked_one_level_too_deep(small, name):
    folder = small(name)
    inner = folder / folder.name
    moved = folder.rename(folder.with_name("x"))
    folder.mkdir()
    moved.rename(inner)
    key = DATASETS[name].required[0]
    text = message(name, folder)
    assert f"Expected {folder / key}" in text
    assert f"{inner / key} is too deep: move the contents of {inner} into {folder}" in text


@pytest.mark.parametrize("name", NAMES)
def test_unpacked_one_level_too_high(small, tmp_path, name):
    folder = small(name)
    for entry in list(folder.iterdir()):
        entry.rename(folder.parent / entry.name)
    folder.rmdir()
    key = DATASETS[name].required[0]
    text = message(name, folder)
    assert f"Expected {folder / key}" in text
    assert f"{folder.parent / key} is one level too high" in text


def test_the_set_itself_given_as_data_root(small):
    folder = small("cub")
    with pytest.raises(DataError, match="is one level too high") as caught:
        load_dataset("cub", folder)
    assert f"use {folder.parent} as the data root" in str(caught.value)


def test_aircraft_without_its_data_folder(small):
    folder = small("aircraft")
    for entry in list((folder / "data").iterdir()):
        entry.rename(folder / entry.name)
    text = message("aircraft", folder)
    assert f"Expected {folder / 'data/variants.txt'}" in text
    assert f"{folder / 'variants.txt'} is in the wrong folder" in text


def test_test_labels_of_cars_in_the_devkit(small):
    folder = small("cars")
    found = folder / "devkit/cars_test_annos_withlabels.mat"
    (folder / found.name).rename(found)
    text = message("cars", folder)
    assert f"Expected {folder / found.name}" in text
    assert f"{found} " in text


def test_repeated_folder_as_kaggle_unpacks_it(small):
    folder = small("cars")
    (folder / "cars_train").rename(folder / "x")
    (folder / "cars_train").mkdir()
    (folder / "x").rename(folder / "cars_train/cars_train")
    text = message("cars", folder)
    assert f"2 of 4 listed images are missing. Expected:\n    {folder}/cars_train/00001.jpg" in text
    assert f"move the contents of {folder}/cars_train/cars_train into {folder}/cars_train" in text


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("cub", "images/001.Red_Bird/b.jpg"),
        ("aircraft", "data/images/0034312.jpg"),
        ("cars", "cars_test/00002.jpg"),
        ("dogs", "Images/n02-Great_Dane/n02_1.jpg"),
    ],
)
def test_missing_image(small, name, image):
    folder = small(name)
    (folder / image).unlink()
    text = message(name, folder)
    assert "1 of " in text
    assert str(folder / image) in text


def test_many_missing_images_are_counted(small, layouts):
    folder = small("aircraft")
    shutil.rmtree(folder / "data/images")
    (folder / "data/images").mkdir()
    text = message("aircraft", folder)
    assert "5 of 5 listed images are missing" in text
    assert text.count(".jpg") == 5


# --- names spelled in two ways --------------------------------------------------------------

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Möwe_é") for form in ("NFC", "NFD"))


def accented(layouts, folder: Path, name: str, listed: str, stored: str) -> Path:
    """A set whose lists say `listed` where its files say `stored`."""
    getattr(layouts, name)(folder)
    for old in {"cub": ("001.Red_Bird", "a.jpg"), "dogs": ("n01-Boxer", "n01_1.jpg")}[name]:
        stem = old.split(".jpg")[0]
        for path in folder.rglob("*.txt"):
            path.write_text(path.read_text().replace(stem, stem + listed), encoding="utf-8")
        for path in sorted(folder.rglob(f"{stem}*"), reverse=True):
            path.rename(path.with_name(path.name.replace(stem, stem + stored)))
    if name == "dogs":
        files = [f"n01-Boxer{listed}/n01_1{listed}.jpg", "n02-Great_Dane/n02_1.jpg"]
        layouts.dog_list(folder / "train_list.mat", files, [1, 2])
        layouts.dog_list(
            folder / "test_list.mat", [f"n01-Boxer{listed}/n01_2.jpg", files[1].replace("_1", "_2")], [1, 2]
        )
    return folder


SPELLINGS = [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), (COMPOSED, COMPOSED)]


@pytest.mark.parametrize(("listed", "stored"), SPELLINGS)
@pytest.mark.parametrize("name", ["cub", "dogs"])
def test_accents_may_be_written_in_two_ways(layouts, tmp_path, name, listed, stored):
    """A Mac's archives write é as e and an accent; lists are mostly written elsewhere."""
    data = READERS[name](accented(layouts, tmp_path / "set", name, listed, stored))
    sample = data.train[0]
    assert listed in sample.image_id, "the name that the lists give: the same on every computer"
    assert stored in sample.path.parent.name
    assert stored in sample.path.name
    assert sample.box is not None
    for sample in (*data.train, *data.test):
        assert load_image(sample.path).size == (12, 10)
    assert pickle.loads(pickle.dumps(data)) == data


@pytest.mark.parametrize(("listed", "stored"), SPELLINGS)
def test_points_are_found_under_the_listed_name(layouts, tmp_path, listed, stored):
    folder = accented(layouts, tmp_path / "set", "cub", listed, stored)
    parts, sample = cub_parts(folder), read_cub(folder).train[0]
    np.testing.assert_array_equal(parts.points[sample.image_id][0], [1.5, 1, 1])


@pytest.mark.parametrize("suffix", [".JPG", ".Jpg"])
@pytest.mark.parametrize("name", NAMES)
def test_the_suffix_may_be_in_capitals(small, name, suffix):
    """As cameras write it, where lists say .jpg."""
    folder = small(name)
    for path in sorted(folder.rglob("*.jpg")):
        path.rename(path.with_suffix(suffix))
    data = READERS[name](folder)
    for sample in (*data.train, *data.test):
        assert sample.image_id.endswith(".jpg")
        assert sample.path.name == Path(sample.image_id).stem + suffix
        assert load_image(sample.path).mode == "RGB"


def test_the_suffix_may_be_in_capitals_in_the_list(small):
    folder = small("cub")
    (folder / "images.txt").write_text((folder / "images.txt").read_text().replace(".jpg", ".JPG"))
    assert all(s.path.suffix == ".jpg" and s.path.is_file() for s in read_cub(folder).train)


def test_two_files_that_differ_in_their_suffix_are_two(small, layouts):
    folder = small("cub")
    red = folder / "images/001.Red_Bird"
    (red / "b.jpg").rename(red / "a.JPG")
    (folder / "images.txt").write_text((folder / "images.txt").read_text().replace("/b.jpg", "/a.JPG"))
    data = read_cub(folder)
    assert (data.train[0].path.name, data.test[0].path.name) == ("a.jpg", "a.JPG")


def test_a_file_is_not_taken_for_two_listed_names(small):
    folder = small("cub")
    red = folder / "images/001.Red_Bird"
    (red / "b.jpg").unlink()
    (folder / "images.txt").write_text((folder / "images.txt").read_text().replace("/b.jpg", "/a.JPG"))
    text = message("cub", folder)
    assert "1 of 4 listed images are missing" in text
    assert str(red / "a.JPG") in text
    (red / "a.jpg").rename(red / "a.Jpg")
    assert f"{red / 'a.Jpg'}: its name is listed in two spellings" in message("cub", folder)


def test_a_name_that_may_mean_two_files_means_none(small):
    folder = small("cub")
    red = folder / "images/001.Red_Bird"
    (red / "b.jpg").rename(red / "b.JPG")
    shutil.copy(red / "b.JPG", red / "b.Jpg")
    assert "1 of 4 listed images are missing" in message("cub", folder)


# --- damaged lists --------------------------------------------------------------------------

LIST_FAULTS = [
    ("cub", "images.txt", "1 001.Red_Bird/a.jpg\n2\n", "images.txt, line 2: expected 'id path'"),
    ("cub", "images.txt", "", "images.txt is empty"),
    ("cub", "images.txt", "1 ../secret.jpg\n", "line 1: the image name '../secret.jpg' is outside"),
    ("cub", "images.txt", "1 ..\\..\\secret.jpg\n", "secret.jpg' is outside"),
    ("cub", "classes.txt", "1 001.A\n3 003.C\n", "classes.txt, line 2: expected class id 2"),
    ("cub", "image_class_labels.txt", "1 1\n2 1\n3 3\n4 2\n", "line 3: class 3 is out of range"),
    ("cub", "image_class_labels.txt", "1 1\n2 1\n3 0\n4 2\n", "line 3: class 0 is out of range"),
    ("cub", "image_class_labels.txt", "1 1\n2 one\n3 2\n4 2\n", "line 2: expected a class number"),
    (
        "cub",
        "image_class_labels.txt",
        "1 1\n2 1\n3 2\n",
        "1 ids of the first are not in the second",
    ),
    ("cub", "image_class_labels.txt", "1 1\n2 1\n3 2\n4 2\n5 1\n", "such as '5'"),
    (
        "cub",
        "train_test_split.txt",
        "1 1\n2 0\n2 1\n3 0\n4 0\n",
        "line 3: id '2' was already given",
    ),
    ("cub", "train_test_split.txt", "1 1\n2 2\n3 1\n4 0\n", "line 2: expected 0 (test) or 1"),
    ("cub", "train_test_split.txt", "1 1\n2 1\n3 1\n4 1\n", "the lists name no test images"),
    ("cub", "bounding_boxes.txt", "1 2 1 5 4\n2 2 1 5 4\n3 2 1 5 4\n", "do not match"),
    (
        "cub",
        "bounding_boxes.txt",
        "1 2 1 5 4\n2 2 1 0 4\n3 2 1 5 4\n4 2 1 5 4\n",
        "line 2: the box x 2.0..2.0, y 1.0..5.0 is empty",
    ),
    (
        "cub",
        "bounding_boxes.txt",
        "1 2 1 nan 4\n2 2 1 5 4\n3 2 1 5 4\n4 2 1 5 4\n",
        "line 1: expected 'id x y width height'",
    ),
    (
        "aircraft",
        "data/images_variant_test.txt",
        "0034312 F-22\n",
        "line 1: the variant 'F-22' is not in data/variants.txt",
    ),
    (
        "aircraft",
        "data/images_variant_test.txt",
        "0034309 F/A-18\n",
        "1 images are listed for both training and test, such as data/images/0034309.jpg",
    ),
    ("aircraft", "data/variants.txt", "707-320\n707-320\n", "line 2: the variant '707-320' is"),
    ("aircraft", "data/images_box.txt", "0034309 3 1 10 8\n", "no line in data/images_box.txt"),
    ("aircraft", "data/images_box.txt", "0034309 3 1 10\n", "line 1: expected 'id xmin ymin"),
    ("aircraft", "data/images_box.txt", "0034309 3 1 2 8\n", "is empty"),
]


@pytest.mark.parametrize(("name", "file", "content", "expected"), LIST_FAULTS)
def test_damaged_text_list(small, name, file, content, expected):
    folder = small(name)
    (folder / file).write_text(content)
    text = message(name, folder)
    assert expected in text
    assert str(folder) in text


def test_one_image_under_two_ids(small):
    folder = small("cub")
    lines = (folder / "images.txt").read_text().replace("c.jpg", "d.jpg")
    (folder / "images.txt").write_text(lines)
    text = message("cub", folder)
    assert "images/002.Blue_winged_Bird/d.jpg" in text
    assert "listed for both training and test" in text


def test_list_that_is_no_text(small):
    folder = small("cub")
    (folder / "images.txt").write_bytes(b"1 \xff\xfe\x00.jpg\n")
    assert f"{folder / 'images.txt'} is not a text file" in message("cub", folder)


def test_windows_line_ends_and_byte_order_mark_are_read(small):
    folder = small("cub")
    for path in folder.glob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_cub(folder).counts == (2, 2, 2)


CAR_ROWS = [(3, 1, 10, 8, 1, "00001.jpg"), (1, 1, 12, 10, 2, "00002.jpg")]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([CAR_ROWS[0], (1, 1, 12, 10, 3, "00002.jpg")], "annotation 2: class 3 is out of range"),
        ([CAR_ROWS[0], CAR_ROWS[0]], "cars_train/00001.jpg is listed twice for training"),
        ([(10, 1, 3, 8, 1, "00001.jpg")], "annotation 1: the box"),
        ([(1, 1, 3, 8, 1, "/etc/passwd")], "annotation 1: the image name '/etc/passwd' is outside"),
        ([], "name no training images"),
    ],
)
def test_damaged_cars_list(small, layouts, rows, expected):
    folder = small("cars")
    layouts.annotations(folder / "devkit/cars_train_annos.mat", rows)
    assert expected in message("cars", folder)


def test_cars_list_without_labels(small, layouts):
    folder = small("cars")
    path = folder / "cars_test_annos_withlabels.mat"
    fields = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "fname")
    layouts.annotations(path, [(1, 1, 3, 3, "00001.jpg")], fields)
    text = message("cars", folder)
    assert str(path) in text
    assert "cars_test_annos.mat, the list without labels" in text


@pytest.mark.parametrize(("name", "file"), [("cars", "devkit/cars_meta.mat"), ("dogs", "test_list.mat")])
def test_mat_file_that_is_none(small, name, file):
    folder = small(name)
    (folder / file).write_bytes(b"<html>404 Not Found</html>")
    assert f"{folder / file} cannot be read as a MATLAB file" in message(name, folder)


def test_mat_file_with_other_content(small):
    folder = small("cars")
    shutil.copy(folder / "devkit/cars_train_annos.mat", folder / "devkit/cars_meta.mat")
    text = message("cars", folder)
    assert "cars_meta.mat has no variable 'class_names'; it contains: annotations" in text


BOXER, DANE = "n01-Boxer/n01_2.jpg", "n02-Great_Dane/n02_2.jpg"


@pytest.mark.parametrize(
    ("files", "labels", "expected"),
    [
        ([BOXER, DANE], [1], "2 files but 1 labels"),
        ([BOXER, DANE], [1, 0], "class 0 is out of range"),
        ([BOXER, DANE], [1, 4], "entry 2: class 4 is"),
        ([BOXER, DANE], [1, 1], "class 1 is folder 'n01-Boxer' elsewhere, but 'n02-Great_Dane' here"),
        ([BOXER, "n01-Boxer/n01_1.jpg"], [1, 1], "listed for both training and test"),
        ([BOXER, BOXER], [1, 1], "listed twice for test"),
    ],
)
def test_damaged_dogs_list(small, layouts, files, labels, expected):
    folder = small("dogs")
    layouts.dog_list(folder / "test_list.mat", files, labels)
    assert expected in message("dogs", folder)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<annotation><object>", "not valid XML"),
        ("<annotation/>", "expected an object with a bndbox"),
        (
            "<a><bndbox><xmin>x</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax></bndbox></a>",
            "expected xmin ymin xmax ymax, found 'x 1 2 3'",
        ),
        ("<a><bndbox><xmin>1</xmin></bndbox></a>", "expected xmin ymin xmax ymax"),
    ],
)
def test_damaged_annotation(small, content, expected):
    folder = small("dogs")
    path = folder / "Annotation/n01-Boxer/n01_1"
    path.write_text(content)
    text = message("dogs", folder)
    assert expected in text
    assert str(path) in text


def test_damaged_part_list(small, layouts):
    folder = small("cub")
    layouts.lines(folder / "parts/part_locs.txt", ["1 9 1 1 1"])
    with pytest.raises(DataError, match=r"part_locs\.txt, line 1: image '1' or part '9'"):
        cub_parts(folder)
    (folder / "parts/part_locs.txt").unlink()
    with pytest.raises(DataError, match=r"Expected .*part_locs\.txt"):
        cub_parts(folder)


# --- registry -------------------------------------------------------------------------------


def test_unknown_name_lists_the_known():
    with pytest.raises(DataError, match=r"'birds'.*mini_birds"):
        dataset_info("birds")


def test_data_root_order(tmp_path, monkeypatch):
    monkeypatch.setenv("GHOLM_DATA", str(tmp_path / "from_environment"))
    assert data_root(tmp_path / "given") == tmp_path / "given"
    assert data_root() == tmp_path / "from_environment"
    monkeypatch.setenv("GHOLM_DATA", "")
    project = project_root()
    assert data_root() == project / "data"


# --- images ---------------------------------------------------------------------------------


def save(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "YCbCr"])
def test_modes_become_rgb(tmp_path, mode):
    path = save(Image.new("RGB", (9, 7), (10, 200, 90)).convert(mode), tmp_path / "a.jpg")
    image = load_image(path)
    assert (image.mode, image.size) == ("RGB", (9, 7))
    if mode != "L":
        np.testing.assert_allclose(np.asarray(image)[3, 4], (10, 200, 90), atol=6)


def test_palette_and_alpha(tmp_path):
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    assert load_image(save(red.convert("P"), tmp_path / "p.png")).getpixel((0, 0)) == (255, 0, 0)
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert load_image(save(clear, tmp_path / "a.png")).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bit_grey_is_scaled(tmp_path):
    grey = Image.fromarray(np.full((4, 4), 0x8000, dtype=np.uint16))
    assert load_image(save(grey, tmp_path / "g.png")).getpixel((0, 0)) == (128, 128, 128)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (20, 10), "white")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to see it upright
    assert load_image(save(image, tmp_path / "e.jpg", exif=exif)).size == (10, 20)


def huge_png() -> bytes:
    """A header that promises 2 gigapixels and holds none."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 40000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "huge", "noise"])
def test_corrupt_image_names_itself(tmp_path, layouts, damage):
    whole = layouts.jpeg((64, 48))
    content = {
        "empty": b"",
        "cut": whole[: len(whole) - 40],
        "text": b"<html>404</html>",
        "huge": huge_png(),
        "noise": bytes(range(256)) * 4,
    }[damage]
    path = tmp_path / "broken image.jpg"
    path.write_bytes(content)
    with pytest.raises(CorruptImageError) as caught:
        load_image(path)
    assert str(path) in str(caught.value)


def test_missing_image_file_is_not_called_corrupt(tmp_path):
    with pytest.raises(DataError, match=r"gone\.jpg") as caught:
        load_image(tmp_path / "gone.jpg")
    assert not isinstance(caught.value, CorruptImageError)


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(DataError, match="Cannot read the image"):
        load_image(tmp_path)
