"""500 photographs, one of each of 500 ImageNet classes, for tests without any training.

They are every second one of a public set of 1000, `PAGE`. A list in the package has the SHA-256 of each;
`gholm data get samples` fetches them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from gholm_lib.config import file_sha256
from gholm_lib.datasets.lists import DataError
from gholm_lib.datasets.registry import ArchiveFile
from gholm_lib.paths import data_root

NAME, FOLDER = "samples", "imagenet_samples"
PAGE = "https://github.com/EliSchwartz/imagenet-sample-images"
ADDRESS = "https://raw.githubusercontent.com/EliSchwartz/imagenet-sample-images/master"
TERMS = "ImageNet's terms: non-commercial research and education."
_LARGEST = 1_000_000  # bytes; the whole set has 55 MB
GET = f"gholm data get {NAME}"


@dataclass(frozen=True)
class Photograph:
    """One photograph; `wordnet_id` is its class, such as n02123159 (tiger cat)."""

    path: Path
    wordnet_id: str


@cache
def listed() -> Mapping[str, str]:
    """File name → SHA-256, in the order of ImageNet's classes."""
    text = (resources.files("gholm_lib.datasets") / "imagenet_samples.sha256").read_text(encoding="utf-8")
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}


def read_samples(root: str | Path | None = None) -> list[Photograph]:
    """The photographs below a data root, in the order of ImageNet's classes.

    raises  DataError if some are missing, or have other bytes than those of the list
    """
    folder = data_root(root) / FOLDER
    missing, damaged = problems(folder)
    if missing:
        raise DataError(
            f"{folder} lacks {len(missing)} of the {len(listed())} photographs, such as {missing[0]}: "
            f"`{GET}` fetches them"
        )
    if damaged:
        raise DataError(f"{folder / damaged[0]} is not the listed photograph: `{GET}` fetches it again")
    return [Photograph(folder / name, name.split("_")[0]) for name in listed()]


def problems(folder: Path) -> tuple[list[str], list[str]]:
    """Names of photographs that are missing, and of files with other bytes."""
    there = [name for name in listed() if (folder / name).is_file()]
    missing = [name for name in listed() if name not in set(there)]
    return missing, [name for name in there if file_sha256(folder / name) != listed()[name]]


def archive_file(name: str) -> ArchiveFile:
    """What `download` needs to know of one photograph."""
    return ArchiveFile(ADDRESS, name, f"sha256:{listed()[name]}", "the list in this package", size=_LARGEST)
