"""Pictures of one's own: one folder a class, whose name is the name of the class.

    leaves/oak/*.jpg            or   leaves/train/oak/*.jpg
           maple/*.jpg               leaves/test/oak/*.jpg ...

Without ``train`` and ``test``, a part of each class is set apart for the test: by a seed and the pictures' names, so
that the split is the same on any machine. Equal files stay on one side. A run keeps its split in ``split.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from gholm_lib.config import file_sha256
from gholm_lib.datasets import lists
from gholm_lib.datasets.lists import DataError, FineGrainedData, Sample

# What pictures are called. HEIC cannot be read: its photos are found, so that the message can say so.
SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".avif",
        ".heic",
        ".heif",
        ".mpo",
    ]
)
TEST_SHARE = 0.3
SPLIT = "split.json"  # in a run's folder
_LAYOUT = "put the pictures of each class into a folder of its own: {}/oak/*.jpg, {}/maple/*.jpg ..."


def read_folder(folder: Path, name: str, seed: int = 0) -> FineGrainedData:
    """Read one's own pictures; classes are in the order of their names.

    seed    of the split where there is no ``train`` and ``test``
    raises  DataError in one sentence: no such folder, fewer than two classes, a class with too few pictures
    """
    classes, sides = _sides(folder)
    if len(classes) < 2:
        found = f"only the class {classes[0]!r}" if classes else "no folder with pictures"
        raise DataError(f"{folder} has {found}: {_LAYOUT.format(folder.name, folder.name)}")
    if "test" in sides:
        return lists.finish(name, folder, classes, train=sides["train"], test=sides["test"])
    train, test = _split(sides["train"], classes, seed)
    return lists.finish(name, folder, classes, train=train, test=test)


def left_out(folder: Path) -> list[str]:
    """What ``read_folder`` does not use, in words: files that are not called like pictures, folders too deep."""
    tops = _layout(folder)
    notes = [f"{p} is not in the folder of a class" for p in _files(folder) if _is_picture(p)]
    if "test" in tops:
        notes += [
            f"{p} is not used, as there are train and test"
            for p in _folders(folder)
            if p not in tops.values()
        ]
    for top in tops.values():
        for place in _folders(top):
            notes += [f"{p} is not called like a picture" for p in _files(place) if not _is_picture(p)]
            notes += [f"{p} is a folder in a class's folder" for p in _folders(place)]
    return notes


def equal_files(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Groups of two or more samples whose files have the same bytes. Only files of one size are read."""
    by_size: dict[int, list[Sample]] = {}
    for sample in samples:
        by_size.setdefault(sample.path.stat().st_size, []).append(sample)
    groups: dict[str, list[Sample]] = {}
    for alike in by_size.values():
        for sample in alike if len(alike) > 1 else ():
            groups.setdefault(file_sha256(sample.path), []).append(sample)
    return [group for group in groups.values() if len(group) > 1]


def split_as_text(data: FineGrainedData) -> str:
    """The split of a run as JSON, to be kept beside it: class names, and the ids of both sides."""
    sides = {side: [s.image_id for s in getattr(data, side)] for side in ("train", "test")}
    return json.dumps({"classes": data.classes, **sides}, ensure_ascii=False, indent=1)


def split_as_kept(data: FineGrainedData, path: Path) -> FineGrainedData:
    """The data set as ``split_as_text`` kept it in ``path``, whatever pictures and classes were added since.

    Raises `DataError` if the file is damaged, or a picture of then is gone or in another class.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        classes, sides = kept["classes"], (kept["train"], kept["test"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a split ({error}): copy it from the run again.") from error
    now = {s.image_id: s for s in (*data.train, *data.test) if data.classes[s.label] in classes}
    if gone := [i for side in sides for i in side if i not in now]:
        raise DataError(
            f"{data.root} lacks {len(gone)} of the pictures of the run, such as {gone[0]}: put them back "
            f"({path} lists them all)."
        )
    train, test = (
        tuple(replace(now[i], label=classes.index(data.classes[now[i].label])) for i in side)
        for side in sides
    )
    return FineGrainedData(data.name, data.root, tuple(classes), train, test)


# --- classes and files ----------------------------------------------------------------------


def _layout(folder: Path) -> dict[str, Path]:
    """{"train": ..., "test": ...} of folders, or {"train": the folder itself} where the split is ours."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: {_LAYOUT.format(folder.name, folder.name)}")
    named = {place.name.lower(): place for place in _folders(folder)}
    return (
        {side: named[side] for side in ("train", "test")}
        if {"train", "test"} <= named.keys()
        else {"train": folder}
    )


def _sides(folder: Path) -> tuple[list[str], dict[str, list[Sample]]]:
    """(class names, samples of each side)."""
    tops = _layout(folder)
    found = {side: _pictures(top) for side, top in tops.items()}
    classes = list(found["train"])
    if strange := [c for c in found.get("test", {}) if c not in classes]:
        raise DataError(
            f"{tops['test']}/{strange[0]} has test pictures of a class that {tops['train']} does not have: "
            "give both the same names"
        )
    return classes, {
        side: [
            _sample(folder, path, label) for label, c in enumerate(classes) for path in pictures.get(c, [])
        ]
        for side, pictures in found.items()
    }


def _pictures(top: Path) -> dict[str, list[Path]]:
    """Class → its pictures, both by name; folders without pictures are no classes."""
    found = {_name(place.name): [p for p in _files(place) if _is_picture(p)] for place in _folders(top)}
    return {name: pictures for name, pictures in found.items() if pictures}


def _sample(folder: Path, path: Path, label: int) -> Sample:
    return Sample(path, label, _name(path.relative_to(folder).as_posix()))


def _name(text: str) -> str:
    """A name in one spelling: a Mac takes accents apart, other systems do not."""
    return unicodedata.normalize("NFC", text)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _files(folder: Path) -> list[Path]:
    return _entries(folder, folders=False)


def _folders(folder: Path) -> list[Path]:
    return _entries(folder, folders=True)


def _entries(folder: Path, folders: bool) -> list[Path]:
    """What is in a folder, by name, without hidden files, which systems and cameras leave."""
    found = [e for e in os.scandir(folder) if not e.name.startswith(".") and e.is_dir() == folders]
    return sorted((Path(e.path) for e in found), key=lambda p: _name(p.name))


# --- the split ------------------------------------------------------------------------------


def _split(samples: Sequence[Sample], classes: Sequence[str], seed: int) -> tuple[list[Sample], list[Sample]]:
    """Set TEST_SHARE of each class apart, at least one picture; (train, test) in the order of the samples."""
    test: set[str] = set()
    for label, name in enumerate(classes):
        groups = _shuffled([s for s in samples if s.label == label], seed)
        count = sum(map(len, groups))
        if len(groups) < 2:
            raise DataError(
                f"the class {name!r} has {count} picture{'s' * (count > 1)}{' that are the same' * (count > 1)}: "
                "it needs at least two, one to learn from and one to test with"
            )
        wanted, taken = max(1, round(TEST_SHARE * count)), 0
        for group in groups[:-1]:
            if taken < wanted:
                test |= {s.image_id for s in group}
                taken += len(group)
    return [s for s in samples if s.image_id not in test], [s for s in samples if s.image_id in test]


def _shuffled(samples: Sequence[Sample], seed: int) -> list[list[Sample]]:
    """The samples in an order by seed and name; equal files are one group, so that no copy is tested on."""
    group_of = {s.image_id: group for group in equal_files(samples) for s in group}
    groups = {group[0].image_id: group for group in (group_of.get(s.image_id, [s]) for s in samples)}
    return [
        groups[key] for key in sorted(groups, key=lambda k: hashlib.sha256(f"{seed} {k}".encode()).digest())
    ]
