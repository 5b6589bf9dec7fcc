"""Small data sets in the owners' layouts, built here; and the owners' own lists where present."""

import gzip
import io
import os
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io
from PIL import Image

from gholm_lib.datasets import load_dataset
from gholm_lib.paths import project_root

REAL = project_root() / "../shared/real"
CARS_FIELDS = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]


def jpeg_bytes(size=(12, 10), colour=(200, 60, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def place_images(paths) -> None:
    """One JPEG under many names: hard links take neither time nor space."""
    paths = list(paths)
    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    paths[0].write_bytes(jpeg_bytes())
    for path in paths[1:]:
        os.link(paths[0], path)


def write_lines(path: Path, lines) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_cub(folder: Path) -> Path:
    """Two classes, image 1 and 3 for training, 2 and 4 for test."""
    names = [
        "001.Red_Bird/a.jpg",
        "001.Red_Bird/b.jpg",
        "002.Blue_winged_Bird/c.jpg",
        "002.Blue_winged_Bird/d.jpg",
    ]
    write_lines(folder / "classes.txt", ["1 001.Red_Bird", "2 002.Blue_winged_Bird"])
    write_lines(folder / "images.txt", [f"{i} {name}" for i, name in enumerate(names, 1)])
    write_lines(folder / "image_class_labels.txt", ["1 1", "2 1", "3 2", "4 2"])
    write_lines(folder / "train_test_split.txt", ["1 1", "2 0", "3 1", "4 0"])
    write_lines(folder / "bounding_boxes.txt", [f"{i} 2.0 1.0 5.5 4.0" for i in range(1, 5)])
    write_lines(folder / "parts/parts.txt", ["1 beak", "2 left wing"])
    points = [f"{i} {part} {i}.5 {part}.0 {part % 2}" for i in range(1, 5) for part in (1, 2)]
    write_lines(folder / "parts/part_locs.txt", points)
    place_images(folder / "images" / name for name in names)
    return folder


def write_aircraft(folder: Path) -> Path:
    data = folder / "data"
    write_lines(data / "variants.txt", ["707-320", "F/A-18", "Eurofighter Typhoon"])
    train = ["0034309 F/A-18", "0034310 707-320", "0034311 Eurofighter Typhoon"]
    test = ["0034312 Eurofighter Typhoon", "0034313 F/A-18"]
    write_lines(data / "images_variant_trainval.txt", train)
    write_lines(data / "images_variant_test.txt", test)
    ids = [line.split()[0] for line in train + test]
    write_lines(data / "images_box.txt", [f"{key} 3 1 10 8" for key in ids])
    place_images(data / "images" / f"{key}.jpg" for key in ids)
    return folder


def write_annotations(path: Path, rows, fields=tuple(CARS_FIELDS)) -> None:
    """A MATLAB struct array with the given fields, as the owner's devkit holds."""
    table = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for index, row in enumerate(rows):
        table[0, index] = tuple(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"annotations": table})


def write_cars(folder: Path) -> Path:
    names = np.array(["Acura RL Sedan 2012", "Audi R8/V10 2012"], dtype=object)
    (folder / "devkit").mkdir(parents=True)
    scipy.io.savemat(folder / "devkit/cars_meta.mat", {"class_names": names})
    rows = [(3, 1, 10, 8, 1, "00001.jpg"), (1, 1, 12, 10, 2, "00002.jpg")]
    write_annotations(folder / "devkit/cars_train_annos.mat", rows)
    write_annotations(folder / "cars_test_annos_withlabels.mat", rows)
    place_images(folder / s / f"0000{i}.jpg" for s in ("cars_train", "cars_test") for i in (1, 2))
    return folder


def write_dog_list(path: Path, files, labels) -> None:
    """`file_list` is a column of cells and `labels` a column of bytes, as in the owner's lists."""
    cells = np.empty((len(files), 1), dtype=object)
    cells[:, 0] = files
    column = np.array(labels, dtype=np.uint8).reshape(-1, 1)
    scipy.io.savemat(path, {"file_list": cells, "labels": column})


def write_dogs(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    train = ["n01-Boxer/n01_1.jpg", "n02-Great_Dane/n02_1.jpg"]
    test = ["n01-Boxer/n01_2.jpg", "n02-Great_Dane/n02_2.jpg"]
    write_dog_list(folder / "train_list.mat", train, [1, 2])
    write_dog_list(folder / "test_list.mat", test, [1, 2])
    place_images(folder / "Images" / name for name in train + test)
    box = "<object><bndbox>{}</bndbox></object>"
    one = "<xmin>3</xmin><ymin>2</ymin><xmax>8</xmax><ymax>7</ymax>"
    two = "<xmin>5</xmin><ymin>1</ymin><xmax>11</xmax><ymax>6</ymax>"
    write_lines(
        folder / "Annotation/n01-Boxer/n01_1",
        [f"<annotation>{box.format(one)}{box.format(two)}</annotation>"],
    )
    return folder


@pytest.fixture(scope="session")
def layouts():
    """The builders of this file, for tests that break a layout on purpose."""
    return SimpleNamespace(
        cub=write_cub,
        aircraft=write_aircraft,
        cars=write_cars,
        dogs=write_dogs,
        lines=write_lines,
        annotations=write_annotations,
        dog_list=write_dog_list,
        images=place_images,
        jpeg=jpeg_bytes,
    )


# --- the owners' lists, with placeholder images ---------------------------------------------


@pytest.fixture(scope="session")
def real_folder() -> Path:
    if not REAL.is_dir():
        pytest.skip("needs the optional photographs folder (not part of the repository)")
    return REAL.resolve()


@pytest.fixture(scope="session")
def official_root(real_folder, tmp_path_factory) -> Path:
    """A data root with all four sets whole: the owners' lists, one tiny JPEG for every image."""
    root = tmp_path_factory.mktemp("official")
    lists = real_folder / "official_lists"
    _official_cub(lists / "CUB_200_2011", root / "CUB_200_2011")
    _official_aircraft(lists / "fgvc_aircraft", root / "fgvc-aircraft-2013b/data")
    _official_cars(lists / "stanford_cars", root / "stanford_cars")
    _official_dogs(lists / "stanford_dogs", root / "stanford_dogs")
    return root


@pytest.fixture(scope="session")
def official(official_root):
    """The four sets of `official_root`, each read once."""
    return {name: load_dataset(name, official_root) for name in ("cub", "aircraft", "cars", "dogs")}


def _official_cub(lists: Path, folder: Path) -> None:
    # copyfile leaves the read-only mode of the source behind
    shutil.copytree(lists, folder, copy_function=shutil.copyfile)
    with gzip.open(lists / "parts/part_locs.txt.gz", "rb") as packed:
        (folder / "parts").chmod(0o755)
        (folder / "parts/part_locs.txt").write_bytes(packed.read())
    folder.chmod(0o755)
    names = [line.split()[1] for line in (folder / "images.txt").read_text().splitlines()]
    place_images(folder / "images" / name for name in names)


def _numbered(path: Path) -> list[tuple[int, str]]:
    rows = (line.split() for line in path.read_text().splitlines())
    return [(int(number), name) for number, name in rows]


def _official_aircraft(lists: Path, data: Path) -> None:
    """Those lists give numbers for variants, so most names are made up, with slash and space."""
    variants = [f"Variant {number}/B" for number in range(100)]
    write_lines(data / "variants.txt", variants)
    splits = {
        "trainval": _numbered(lists / "train_variant.txt") + _numbered(lists / "val_variant.txt"),
        "test": _numbered(lists / "test_variant.txt"),
    }
    for split, rows in splits.items():
        lines = [f"{Path(name).stem} {variants[number]}" for number, name in rows]
        write_lines(data / f"images_variant_{split}.txt", lines)
    place_images(data / "images" / name for rows in splits.values() for _, name in rows)


def _official_cars(lists: Path, folder: Path) -> None:
    (folder / "devkit").mkdir(parents=True)
    for name in ("cars_meta.mat", "cars_train_annos.mat"):
        shutil.copyfile(lists / name, folder / "devkit" / name)
    unlabelled = scipy.io.loadmat(lists / "cars_test_annos.mat", squeeze_me=True)["annotations"]
    labels = [line.split() for line in (lists / "test_labels.txt").read_text().splitlines()]
    assert [name for name, _ in labels] == unlabelled["fname"].tolist()
    rows = [
        (*list(row)[:4], int(label), row[4])
        for row, (_, label) in zip(unlabelled.tolist(), labels, strict=True)
    ]
    write_annotations(folder / "cars_test_annos_withlabels.mat", rows)
    sizes = {"cars_train": 8144, "cars_test": 8041}
    place_images(folder / s / f"{i:05d}.jpg" for s, n in sizes.items() for i in range(1, n + 1))


def _official_dogs(lists: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    names = []
    for source, target in (("train.txt", "train_list.mat"), ("val.txt", "test_list.mat")):
        rows = _numbered(lists / source)
        write_dog_list(folder / target, [name for _, name in rows], [n + 1 for n, _ in rows])
        names += [name for _, name in rows]
    place_images(folder / "Images" / name for name in names)


@pytest.fixture(scope="session")
def photograph_root(real_folder, tmp_path_factory) -> Path:
    """A data root with the photographs: a part of CUB and of Stanford Cars."""
    root = tmp_path_factory.mktemp("photographs")
    for name in ("CUB_200_2011.tgz", "stanford_cars.tgz"):
        with tarfile.open(real_folder / name) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(root, filter="data")
            else:
                tar.extractall(root)
    return root
