"""Shared by all readers: data sets and samples, list reading, and errors that say what to do.

Boxes are `(x0, y0, x1, y1)`, half-open, in pixels: column `x` is inside if `x0 <= x < x1`. The module
of each reader describes how the owner writes boxes. The owners' coordinates refer to the image as it
is stored. If its EXIF data rotate the image, boxes and points are rotated with it.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


Box = tuple[int, int, int, int]


class DataError(ValueError):
    """A data set is missing, incomplete or damaged. The message says what, where and what to do."""


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    `path` is absolute. `label` starts at 0. `image_id` is the path relative to the data set's folder,
    in POSIX form, as the lists spell it: `data.root / sample.image_id == sample.path`, unless the
    name on disk is spelled differently (`find_images`). `stored_box` is the half-open box
    `x0, y0, x1, y1` in pixels of the stored image, before any EXIF rotation, or None if the owner's
    boxes are missing. `aim` is the box of a control's crop as shares of the upright image's sides (`with_aims`).
    """

    path: Path
    label: int
    image_id: str
    stored_box: Box | None = None
    aim: tuple[float, float, float, float] | None = None

    @cached_property
    def box(self) -> Box | None:
        """The half-open box `x0, y0, x1, y1` in pixels of the upright image from `load_image`, or None."""
        # Computed on demand: reading every image header takes seconds, or minutes on a network disk.
        from gholm_lib.datasets.pictures import stored_frame  # here: listing sets opens no image

        return self.stored_box and upright_box(self.stored_box, *stored_frame(self.path))


@dataclass(frozen=True)
class FineGrainedData:
    """A data set as described by its lists; `root` is the folder that contains the lists."""

    name: str
    root: Path
    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]

    @property
    def counts(self) -> tuple[int, int, int]:
        """(classes, training images, test images): the columns of the paper's Table 1."""
        return len(self.classes), len(self.train), len(self.test)


def upright_box(box: Box, turn: int, size: tuple[int, int]) -> Box:
    """Convert a box from the stored to the upright image; `turn` is 1 to 8 (EXIF), `size` as stored."""
    from gholm_lib.datasets.pictures import upright_place

    (x0, y0), (x1, y1) = (upright_place(turn, x, y, *size) for x, y in (box[:2], box[2:]))
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


# --- finding files --------------------------------------------------------------------------


def require_files(folder: Path, relative: Iterable[str]) -> None:
    """Raise a `DataError` for the first path in `relative` that does not exist in `folder`."""
    for name in relative:
        if not (folder / name).exists():
            raise DataError(missing_message(folder, name))


def missing_message(folder: Path, relative: str) -> str:
    """A message: the path that was expected, what was found instead, and what to move if that helps."""
    expected = folder / relative
    parts = [f"Expected {expected}, which does not exist.", _what_is_there(folder, expected)]
    if advice := _misplaced(folder, relative):
        parts.append(advice)
    return "\n  ".join(parts)


def _what_is_there(folder: Path, expected: Path) -> str:
    """Describe the nearest existing parent of `expected`, at most one level above `folder`."""
    nearest, absent = expected.parent, ""
    while not nearest.is_dir():
        if nearest == folder.parent:
            return f"Found: {nearest} does not exist."
        absent, nearest = f"{nearest} does not exist; ", nearest.parent
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in os.scandir(nearest))
    shown = ", ".join(names[:8]) + (f", ... ({len(names)} entries)" if len(names) > 8 else "")
    return f"Found: {absent}{nearest} contains {shown or 'nothing'}."


def _misplaced(folder: Path, relative: str) -> str | None:
    """Look for the file one level too high and up to two levels too deep; say what to move."""
    tail = PurePosixPath(relative)
    for base in _likely_bases(folder):
        if (base / tail).exists():
            return _move_advice(base, folder, base / tail)
    for base in _likely_bases(folder, itself=True):
        if (base / tail.name).exists() and base / tail.name != folder / tail:
            wanted = (folder / tail).parent
            return (
                f"{base / tail.name} is in the wrong folder: move it and the files that belong to it "
                f"into {wanted}."
            )
    return None


def _likely_bases(folder: Path, itself: bool = False) -> list[Path]:
    below = _subfolders(folder)
    deeper = [inner for outer in below for inner in _subfolders(outer)]
    deeper += [beside / folder.name for beside in _subfolders(folder.parent) if beside != folder]
    return ([folder] if itself else []) + below + [folder.parent] + deeper


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir())


def _move_advice(base: Path, folder: Path, found: Path) -> str:
    if base == folder.parent:
        also = f", or use {base.parent} as the data root" if base.name == folder.name else ""
        return f"{found} is one level too high: move it and the files that belong to it into {folder}{also}."
    return f"{found} is too deep: move the contents of {base} into {folder}."


def missing_images(folder: Path, image_ids: Iterable[str]) -> list[Path]:
    """The listed images that are not on disk. Reading each folder once is faster than a stat per image."""
    listings: dict[Path, set[str]] = {}
    missing = []
    for image_id in image_ids:
        path = folder / image_id
        if path.parent not in listings:
            listings[path.parent] = _names_in(path.parent)
        if path.name not in listings[path.parent]:
            missing.append(path)
    return missing


def find_images(folder: Path, image_ids: Sequence[str]) -> tuple[dict[str, Path], list[Path]]:
    """(Listed images whose files are spelled differently, as id → file; listed images that are missing.)

    A file also matches if list and disk differ only in how accents are encoded (Unicode NFC or NFD, as
    on Linux or a Mac) or in the case of the suffix (`.jpg`, `.JPG`). A file that is itself listed by
    its exact name is never used for another entry.
    """
    missing = missing_images(folder, image_ids)
    listed = {folder / image_id: image_id for image_id in image_ids} if missing else {}
    listings: dict[Path, dict[str, list[str]]] = {}
    respelled, absent = {}, []
    for path in missing:
        file = _other_spelling(folder, path, listings)
        if file is None or file in listed:
            absent.append(path)
        else:
            respelled[listed[path]] = file
    return respelled, absent


def _other_spelling(folder: Path, path: Path, listings: dict[Path, dict[str, list[str]]]) -> Path | None:
    """The only file below `folder` whose name is `path` in another spelling; None if there is none, or several."""
    place = folder
    for part in path.relative_to(folder).parts:
        if not (place / part).exists():
            alike = _spelled_alike(place, part, listings)
            if len(alike) != 1:
                return None
            part = alike[0]
        place = place / part
    return place


def _spelled_alike(folder: Path, name: str, listings: dict[Path, dict[str, list[str]]]) -> list[str]:
    """The names in `folder` that are other spellings of `name`. Each folder is read once."""
    if folder not in listings:
        listings[folder] = {}
        for found in sorted(_names_in(folder)):
            listings[folder].setdefault(_spelling(found), []).append(found)
    return listings[folder].get(_spelling(name), [])


def _spelling(name: str) -> str:
    """A normal form that all spellings of a name share."""
    path = PurePosixPath(unicodedata.normalize("NFC", name))
    return path.stem + path.suffix.lower()


def _names_in(folder: Path) -> set[str]:
    return {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()


def _absent_message(folder: Path, absent: Sequence[Path], listed: int) -> str:
    """The number of missing images, the first paths, and what was found instead."""
    first = "".join(f"\n    {path}" for path in absent[:5])
    more = "\n    ..." if len(absent) > 5 else ""
    return (
        f"{len(absent)} of {listed} listed images are missing. Expected:{first}{more}\n"
        f"  {_what_is_there(folder, absent[0])}{_nested_images(absent[0])}"
    )


def _nested_images(expected: Path) -> str:
    """Advice if a folder is nested in itself, as mirrors and unpackers do: `cars_train/cars_train/00001.jpg`."""
    for parent in expected.parents:
        nested = parent / parent.name / expected.relative_to(parent)
        if nested.exists():
            inner = parent / parent.name
            return f"\n  {nested} is too deep: move the contents of {inner} into {parent}."
    return ""


# --- reading lists --------------------------------------------------------------------------


def read_rows(path: Path, columns: str) -> list[tuple[str, list[str]]]:
    """Rows of a text list as (`"file, line 7"`, fields); the last field may contain spaces.

    `columns` names the fields, such as `"id path"`. Blank lines are skipped. A file without rows, a
    line with too few fields or bytes that are not UTF-8 raise a `DataError`.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file in UTF-8: {error}.") from error
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    wanted = len(columns.split())
    rows = []
    for number, line in enumerate(lines, start=1):
        fields = line.strip().split(maxsplit=wanted - 1)
        if fields and len(fields) < wanted:
            raise DataError(f"{path}, line {number}: expected '{columns}', found '{line.strip()}'.")
        if fields:
            rows.append((f"{path}, line {number}", fields))
    if not rows:
        raise DataError(f"{path} is empty: expected lines of '{columns}'.")
    return rows


def read_table(path: Path, columns: str) -> dict[str, tuple[str, list[str]]]:
    """Rows of a text list by their first field: id -> (`"file, line 7"`, other fields)."""
    table: dict[str, tuple[str, list[str]]] = {}
    for where, (key, *rest) in read_rows(path, columns):
        if key in table:
            raise DataError(f"{where}: id '{key}' was already given at {table[key][0]}.")
        table[key] = (where, rest)
    return table


def require_same_ids(first: Path, ids: Iterable[str], second: Path, others: Iterable[str]) -> None:
    """Raise a `DataError` unless both lists contain the same ids."""
    for have, a, lack, b in ((first, ids, second, others), (second, others, first, ids)):
        extra = [key for key in a if key not in b]
        if extra:
            raise DataError(
                f"{have} and {lack} do not match: {len(extra)} ids of the first are not in the "
                f"second, such as {', '.join(map(repr, extra[:5]))}. "
                "Are both from the same download?"
            )


def parse_ints(where: str, values: Sequence, what: str) -> list[int]:
    """Parse whole numbers; raises a `DataError` that says where they were expected."""
    try:
        return [int(value) for value in values]
    except (ValueError, TypeError):
        found = " ".join(map(str, values))
        raise DataError(f"{where}: expected {what}, found '{found}'.") from None


def parse_floats(where: str, texts: Sequence[str], what: str) -> list[float]:
    """Parse finite numbers; raises a `DataError` that says where they were expected."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = [float("nan")]
    if not all(map(math.isfinite, numbers)):
        raise DataError(f"{where}: expected {what}, found '{' '.join(texts)}'.")
    return numbers


def class_index(where: str, number: int, classes: int) -> int:
    """The label, from 0, of the owner's class number, from 1; raises a `DataError` if it is out of range."""
    if not 1 <= number <= classes:
        raise DataError(f"{where}: class {number} is out of range, expected 1 to {classes}.")
    return number - 1


def checked_box(where: str, x0: float, y0: float, x1: float, y1: float) -> Box:
    """The smallest half-open box in whole pixels that covers the corners; raises a `DataError` if it is empty."""
    if not (x0 < x1 and y0 < y1):
        raise DataError(f"{where}: the box x {x0}..{x1}, y {y0}..{y1} is empty.")
    return math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)


def safe_id(where: str, prefix: str, relative: str) -> str:
    """Join a listed image name to its folder; raises a `DataError` if the name leaves the folder."""
    name = PurePosixPath(relative)
    if name.is_absolute() or ".." in name.parts or "\\" in relative:
        raise DataError(f"{where}: the image name '{relative}' is outside its folder.")
    return f"{prefix}/{name}"


def load_mat(path: Path, variables: Sequence[str]) -> list[np.ndarray]:
    """The named variables of a MATLAB file, each at least one-dimensional."""
    import numpy as np  # here: listing data sets needs neither
    import scipy.io

    try:
        content = scipy.io.loadmat(path, squeeze_me=True)
    # For a damaged file, scipy raises almost any exception.
    except Exception as error:
        raise DataError(f"{path} cannot be read as a MATLAB file: {error}.") from error
    absent = [name for name in variables if name not in content]
    if absent:
        held = ", ".join(name for name in content if not name.startswith("__"))
        raise DataError(f"{path} has no variable '{absent[0]}'; it contains: {held or 'nothing'}.")
    return [np.atleast_1d(content[name]) for name in variables]


def finish(
    name: str,
    folder: Path,
    classes: Sequence[str],
    train: Sequence[Sample],
    test: Sequence[Sample],
) -> FineGrainedData:
    """The last step of every reader: find the files; refuse empty splits, repeats, overlap and missing images."""
    for split, samples in (("training", train), ("test", test)):
        if not samples:
            raise DataError(f"{folder}: the lists name no {split} images.")
        _refuse_repeats(folder, split, samples)
    both = sorted({s.image_id for s in train} & {s.image_id for s in test})
    if both:
        raise DataError(
            f"{folder}: {len(both)} images are listed for both training and test, "
            f"such as {', '.join(both[:5])}."
        )
    respelled, absent = find_images(folder, [sample.image_id for sample in (*train, *test)])
    if absent:
        raise DataError(_absent_message(folder, absent, len(train) + len(test)))
    _refuse_one_file_for_two(respelled)
    train, test = (
        tuple(replace(s, path=respelled[s.image_id]) if s.image_id in respelled else s for s in samples)
        for samples in (train, test)
    )
    return FineGrainedData(name, folder, tuple(classes), train, test)


def _refuse_one_file_for_two(files: dict[str, Path]) -> None:
    names: dict[Path, str] = {}
    for image_id, path in files.items():
        if path in names:
            raise DataError(f"{path}: its name is listed in two spellings, {names[path]} and {image_id}.")
        names[path] = image_id


def _refuse_repeats(folder: Path, split: str, samples: Sequence[Sample]) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.image_id in seen:
            raise DataError(f"{folder}: image {sample.image_id} is listed twice for {split}.")
        seen.add(sample.image_id)
