"""Stanford Dogs (Khosla et al. 2011) in its owner's layout.

    stanford_dogs/Images/n02085620-Chihuahua/n02085620_5927.jpg
                  train_list.mat, test_list.mat               file_list, labels (from 1)
                  Annotation/n02085620-Chihuahua/n02085620_5927     (optional: XML, no extension)

Boxes are ImageNet's: coordinates start at 0 and are treated as half-open. If an image shows several
dogs, the box covers all of them. Each class is named after its folder.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from gholm_lib.datasets import lists
from gholm_lib.datasets.lists import Box, DataError, FineGrainedData, Sample

REQUIRED = ("train_list.mat", "test_list.mat", "Images")
OPTIONAL = ("Annotation",)
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_dogs(folder: Path, name: str = "dogs") -> FineGrainedData:
    """Read the lists in `folder`; raises `DataError` if the lists or the images are incomplete."""
    lists.require_files(folder, REQUIRED)
    splits = [_read_list(folder / mat) for mat in ("train_list.mat", "test_list.mat")]
    breeds = _breeds([row for rows in splits for row in rows])
    train, test = ([_sample(folder, *row, len(breeds)) for row in rows] for rows in splits)
    return lists.finish(name, folder, [_readable(breed) for breed in breeds], train, test)


def _read_list(path: Path) -> list[tuple[str, str, int]]:
    """Rows of (where, file, class number from 1)."""
    files, labels = lists.load_mat(path, ["file_list", "labels"])
    if len(files) != len(labels):
        raise DataError(f"{path}: {len(files)} files but {len(labels)} labels.")
    rows = []
    for index, (file, label) in enumerate(zip(files.tolist(), labels.tolist(), strict=True), 1):
        where = f"{path}, entry {index}"
        # MATLAB stores numbers as doubles by default: 1.0 is class 1.
        label = int(label) if isinstance(label, float) and label.is_integer() else label
        rows.append((where, str(file), lists.parse_ints(where, [str(label)], "a class number")[0]))
    return rows


def _breeds(rows: list[tuple[str, str, int]]) -> list[str]:
    """The folder of each class, in the order of their numbers 1, 2, 3 ..."""
    folders: dict[int, str] = {}
    for where, file, number in rows:
        breed = PurePosixPath(file).parent.name
        if folders.setdefault(number, breed) != breed:
            raise DataError(
                f"{where}: class {number} is folder '{folders[number]}' elsewhere, but '{breed}' here."
            )
    numbers = sorted(folders)
    if numbers != list(range(1, len(numbers) + 1)):
        gap = next(i for i, number in enumerate(numbers, 1) if i != number)
        where = next(where for where, _, number in rows if number == numbers[gap - 1])
        raise DataError(
            f"{where}: class {numbers[gap - 1]} is out of range: classes must be numbered 1, 2, 3 ... "
            f"without gaps, and no image has class {gap}."
        )
    return _without_repeats(rows[0][0], [folders[number] for number in numbers])


def _without_repeats(where: str, breeds: list[str]) -> list[str]:
    for breed in breeds:
        if breeds.count(breed) > 1:
            raise DataError(f"{where}: folder '{breed}' belongs to more than one class number.")
    return breeds


def _readable(breed: str) -> str:
    """`n02085782-Japanese_spaniel` -> `Japanese spaniel`."""
    return (breed.partition("-")[2] or breed).replace("_", " ")


def _sample(folder: Path, where: str, file: str, number: int, classes: int) -> Sample:
    image_id = lists.safe_id(where, "Images", file)
    label = lists.class_index(where, number, classes)
    annotation = str(PurePosixPath("Annotation", file).with_suffix(""))
    box = _read_box(folder / annotation)
    if box is None and not annotation.isascii():  # accents may be encoded differently on disk
        files, _ = lists.find_images(folder, [annotation])
        box = _read_box(files.get(annotation, folder / annotation))
    return Sample(folder / image_id, label, image_id, box)


def _read_box(path: Path) -> Box | None:
    try:
        tree = ElementTree.parse(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ElementTree.ParseError as error:
        raise DataError(f"{path}, line {error.position[0]}: not valid XML: {error}.") from error
    found = [[box.findtext(corner, "") for corner in CORNERS] for box in tree.iter("bndbox")]
    if not found:
        raise DataError(f"{path}: expected an object with a bndbox, found none.")
    corners = [lists.parse_ints(str(path), texts, "xmin ymin xmax ymax") for texts in found]
    left, top, right, bottom = zip(*corners, strict=True)
    return lists.checked_box(str(path), min(left), min(top), max(right), max(bottom))
