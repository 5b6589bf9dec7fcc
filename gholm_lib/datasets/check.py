"""`gholm data check` and `gholm data list`: what is there, what lacks, do the counts agree."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gholm_lib.datasets.images import load_image
from gholm_lib.datasets.lists import DataError, FineGrainedData
from gholm_lib.datasets.registry import DATASETS, DatasetInfo, dataset_info
from gholm_lib.paths import data_root

_COLUMNS = ("classes", "training images", "test images")


@dataclass(frozen=True)
class CheckReport:
    """The outcome of `check_dataset`; `print(report)` shows it, `report.ok` sums it up."""

    name: str
    folder: Path
    found: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    get_command: str

    @property
    def ok(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.folder}"]
        lines += [f"  ok       {line}" for line in self.found]
        lines += [f"  note     {line}" for line in self.notes]
        lines += [f"  PROBLEM  {line}" for line in self.problems]
        if self.ok:
            lines.append("  Complete.")
        else:
            number = len(self.problems)
            lines.append(f"  {number} problem{'s' * (number > 1)}. Next: `{self.get_command}`.")
        return "\n".join(lines)


def check_dataset(
    name: str, root: str | Path | None = None, images: bool = False, progress: bool = True
) -> CheckReport:
    """Hold a data set against its layout and the counts of Table 1.

    `images=True` also opens every image and names those that are damaged. An unknown name raises
    `DataError`; everything else that is wrong is a line of the report.
    """
    info = dataset_info(name)
    folder = data_root(root) / info.folder
    found, notes, problems = _check_files(info, folder)
    data, reading_problem = try_read(info, folder)
    if data is None:  # absent files have their own lines; the reader adds what lies there instead
        problems.append(reading_problem)
    else:
        agreeing, differing = compare_counts(info, data)
        found += agreeing
        problems += differing
        if images:
            opened, damaged = _check_images(data, progress)
            found += opened
            problems += damaged
    return CheckReport(name, folder, tuple(found), tuple(notes), tuple(problems), info.get_command)


def try_read(info: DatasetInfo, folder: Path) -> tuple[FineGrainedData | None, str]:
    """The data set, or None and what is wrong with it."""
    try:
        return info.reader(folder, info.name), ""
    except DataError as error:
        return None, str(error)


def compare_counts(info: DatasetInfo, data: FineGrainedData) -> tuple[list[str], list[str]]:
    """(what agrees, what differs) between the counts found and those of Table 1."""
    found = ", ".join(f"{n} {what}" for n, what in zip(data.counts, _COLUMNS, strict=True))
    if info.expected is None:
        return [found], []
    differing = [
        f"{n} {what}, but Table 1 has {wanted}"
        for n, wanted, what in zip(data.counts, info.expected, _COLUMNS, strict=True)
        if n != wanted
    ]
    return ([] if differing else [f"{found}, as in Table 1"]), differing


def _check_files(info: DatasetInfo, folder: Path) -> tuple[list[str], list[str], list[str]]:
    """(what is there, optional files that lack, required files that lack), by exact path."""
    needed = [folder / name for name in info.required]
    optional = [folder / name for name in info.optional]
    return (
        [str(path) for path in needed + optional if path.exists()],
        [f"{path} is missing (optional)" for path in optional if not path.exists()],
        [f"{path} is missing" for path in needed if not path.exists()],
    )


def _check_images(data: FineGrainedData, progress: bool) -> tuple[list[str], list[str]]:
    paths = [sample.path for sample in (*data.train, *data.test)]
    from tqdm.auto import tqdm  # here: it loads ipywidgets, which listing data sets does not need

    with ThreadPoolExecutor() as pool:
        results: Iterable[str] = pool.map(_image_problem, paths)
        bar = tqdm(results, total=len(paths), desc=f"open {data.name}", unit="img", disable=not progress)
        damaged = [problem for problem in bar if problem]
    return ([] if damaged else [f"all {len(paths)} images open"]), damaged


def _image_problem(path: Path) -> str:
    try:
        load_image(path)
    except DataError as error:
        return str(error)
    return ""


# --- the list of all sets -------------------------------------------------------------------


def list_datasets(root: str | Path | None = None) -> str:
    """A table of all data sets under `root`: title, state, counts, how to get it.

    Counts of sets that are there are those found on disk; of others, those of Table 1.
    """

    folder = data_root(root)
    header = ("name", "title", "state", "classes", "train", "test", "how to get it")
    rows = [header, *(_row(info, folder) for info in DATASETS.values())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([f"Data root: {folder}", "", lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(info: DatasetInfo, root: Path) -> tuple[str, ...]:
    folder = root / info.folder
    counts, state, get = info.expected, "not there", f"{info.get_command} ({info.download})"
    if folder.exists():
        data, _ = try_read(info, folder)
        state = f"found in {info.folder}/" if data else "incomplete"
        counts = data.counts if data else counts
        get = "" if data else f"gholm data check {info.name}"
    numbers = map(str, counts) if counts else ("-", "-", "-")
    return (info.name, info.title, state, *numbers, get)
