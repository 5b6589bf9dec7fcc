"""`gholm data check` and `gholm data list`: what is present, what is missing, and whether the counts agree."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gholm_lib.datasets import samples
from gholm_lib.datasets.folder import TEST_SHARE, equal_files, left_out
from gholm_lib.datasets.lists import DataError, FineGrainedData, Sample
from gholm_lib.datasets.registry import DATASETS, DatasetInfo, dataset_info
from gholm_lib.paths import data_root

_COLUMNS = ("classes", "training images", "test images")


@dataclass(frozen=True)
class CheckReport:
    """The result of `check_dataset`: `print(report)` shows it, and `report.ok` is true if nothing is wrong."""

    name: str
    folder: Path
    found: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    next_step: str

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
            lines.append(f"  {number} problem{'s' * (number > 1)}. Next: {self.next_step}.")
        return "\n".join(lines)


def check_dataset(
    name: str, root: str | Path | None = None, images: bool = False, progress: bool = True
) -> CheckReport:
    """Check a data set's layout and, for the paper's sets, its counts against Table 1.

    With `images=True`, every image is opened and damaged ones are named; of one's own pictures this is always done,
    and equal files are named too. An unknown name raises `DataError`; every other problem becomes a line of the
    report.
    """
    info = dataset_info(name, root)
    folder = data_root(root) / info.folder
    if info.is_own:
        return _check_own(info, folder, progress)
    found, notes, problems = _check_files(info, folder)
    data, reading_problem = try_read(info, folder)
    next_step = f"`{info.get_command}`"
    if data is None:  # missing files have their own lines; the reader adds what it found instead
        problems.append(reading_problem)
    elif is_the_papers(info, data):
        agreeing, differing = compare_counts(info, data)
        found += agreeing
        problems += differing
    else:
        found.append(_in_words(data.counts))
        table_1 = f": {_in_words(info.expected)}" if info.expected else ""
        notes.append(f"not the paper's set, so its counts may differ from Table 1{table_1}")
    if data is not None and images:
        opened, scaled, damaged = _check_images(data, progress)
        found += opened
        notes += scaled
        if damaged and not problems:
            next_step = f"repair or replace these files, then run `gholm data check {name} --images`"
        problems += damaged
    return CheckReport(name, folder, tuple(found), tuple(notes), tuple(problems), next_step)


def check_samples(root: str | Path | None = None) -> CheckReport:
    """Which of the sample photographs are missing, or are other files than the listed ones."""
    folder = data_root(root) / samples.FOLDER
    missing, damaged = samples.problems(folder)
    whole = len(samples.listed()) - len(missing) - len(damaged)
    problems = [f"{len(missing)} photographs are missing, such as {folder / missing[0]}"] if missing else []
    problems += [f"{folder / name} has another checksum than the listed photograph" for name in damaged]
    found = f"{whole} of {len(samples.listed())} photographs, by their checksums"
    return CheckReport(samples.NAME, folder, (found,), (), tuple(problems), f"`{samples.GET}`")


def _check_own(info: DatasetInfo, folder: Path, progress: bool) -> CheckReport:
    """One's own pictures: classes and counts, what is not used, unreadable files, equal files."""
    data, problem = try_read(info, folder)
    notes = left_out(folder)
    next_step = "put that right, then run the check again"
    if data is None:
        return CheckReport(info.name, folder, (), tuple(notes), (problem,), next_step)
    own_split = (folder / data.test[0].image_id.split("/")[0]).name.lower() != "test"
    split = f"{TEST_SHARE:.0%} of each class set apart for the test" if own_split else "train/ and test/"
    found = [f"{_in_words(data.counts)} ({split})", _class_counts(data)]
    opened, scaled, problems = _check_images(data, progress)
    shared, repeated = _equal_files(data)
    few = [
        f"the class {name!r} has no test picture"
        for k, name in enumerate(data.classes)
        if not _of(data.test, k)
    ]
    return CheckReport(
        info.name,
        folder,
        (*found, *opened),
        (*notes, *few, *scaled, *repeated),
        (*problems, *shared),
        "remove, replace or move these files, then run the check again",
    )


def _class_counts(data: FineGrainedData) -> str:
    """ "oak 7 + 3, maple 8 + 3 (training + test)"."""
    counts = [f"{name} {_of(data.train, k)} + {_of(data.test, k)}" for k, name in enumerate(data.classes)]
    return f"{', '.join(counts)} (training + test)"


def _of(samples: Iterable[Sample], label: int) -> int:
    return sum(sample.label == label for sample in samples)


def _equal_files(data: FineGrainedData) -> tuple[list[str], list[str]]:
    """(the same picture in training and test, or in two classes, which spoils a test; the rest, which does not)."""
    tested = {sample.image_id for sample in data.test}
    spoiling, harmless = [], []
    for group in equal_files((*data.train, *data.test)):
        names = ", ".join(str(sample.path) for sample in group)
        if len({sample.label for sample in group}) > 1:
            spoiling.append(f"the same picture in two classes: {names}")
        elif len({sample.image_id in tested for sample in group}) > 1:
            spoiling.append(f"the same picture in training and test: {names}")
        else:
            harmless.append(f"the same picture {len(group)} times: {names}")
    return spoiling, harmless


def is_the_papers(info: DatasetInfo, data: FineGrainedData) -> bool:
    """Whether this is a copy of the owner's data set, to which Table 1 applies, and not a user's own set.

    It is if the first and last class are the owner's, or if all counts are within 10 % of Table 1.
    """
    if info.expected is None:
        return True  # drawn: there is only one version
    named = (data.classes[0], data.classes[-1]) == info.ends
    near = all(abs(n - wanted) <= wanted / 10 for n, wanted in zip(data.counts, info.expected, strict=True))
    return named or near


def try_read(info: DatasetInfo, folder: Path) -> tuple[FineGrainedData | None, str]:
    """The data set, or None and a description of the problem."""
    try:
        return info.reader(folder, info.name), ""
    except DataError as error:
        return None, str(error)


def compare_counts(info: DatasetInfo, data: FineGrainedData) -> tuple[list[str], list[str]]:
    """Compare the counts with Table 1: (lines about what agrees, lines about what differs)."""
    found = _in_words(data.counts)
    if info.expected is None:
        return [found], []
    differing = [
        f"{n} {what}, but Table 1 has {wanted}"
        for n, wanted, what in zip(data.counts, info.expected, _COLUMNS, strict=True)
        if n != wanted
    ]
    return ([] if differing else [f"{found}, as in Table 1"]), differing


def _in_words(counts: tuple[int, int, int]) -> str:
    return ", ".join(f"{n} {what}" for n, what in zip(counts, _COLUMNS, strict=True))


def _check_files(info: DatasetInfo, folder: Path) -> tuple[list[str], list[str], list[str]]:
    """(files that exist, optional files that are missing, required files that are missing), by exact path."""
    needed = [folder / name for name in info.required]
    optional = [folder / name for name in info.optional]
    return (
        [str(path) for path in needed + optional if path.exists()],
        [f"{path} is missing (optional)" for path in optional if not path.exists()],
        [f"{path} is missing" for path in needed if not path.exists()],
    )


def _check_images(data: FineGrainedData, progress: bool) -> tuple[list[str], list[str], list[str]]:
    """(a line if all images open, a note on images scaled by their own range, damaged images)."""
    from tqdm.auto import tqdm  # here: it loads ipywidgets, which listing data sets does not need

    paths = [sample.path for sample in (*data.train, *data.test)]
    with ThreadPoolExecutor() as pool:
        results: Iterable[tuple[str, str]] = pool.map(_look_at_image, paths)
        bar = tqdm(results, total=len(paths), desc=f"open {data.name}", unit="img", disable=not progress)
        told = list(bar)
    scaled = [words for words, _ in told if words]
    damaged = [problem for _, problem in told if problem]
    first = [
        f"{len(scaled)} images have values that are not plain 8-bit or 16-bit, such as {words}"
        for words in scaled[:1]
    ]
    return ([] if damaged else [f"all {len(paths)} images open"]), first, damaged


def _look_at_image(path: Path) -> tuple[str, str]:
    """(how the values were scaled to 8 bits if that was inferred, what is wrong); "" if there is nothing to say."""
    from gholm_lib.datasets.images import read_image

    try:
        scaled = read_image(path).scaled
    except DataError as error:
        return "", str(error)
    return (f"{path}: {scaled}" if scaled else ""), ""


# --- the list of all sets -------------------------------------------------------------------


def list_datasets(root: str | Path | None = None) -> str:
    """A table of all data sets under `root`: name, title, state and what to do next."""
    folder = data_root(root)
    header = ("name", "title", "state", "what to do")
    rows = [header, *(_row(info, folder) for info in DATASETS.values()), _samples_row(folder)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([f"Data root: {folder}", "", lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(info: DatasetInfo, root: Path) -> tuple[str, ...]:
    """Check only that the required files exist, not what is in them: this has to be quick."""
    folder = root / info.folder
    if not folder.exists():
        return info.name, info.title, "missing", f"{info.get_command} ({info.download})"
    whole = all((folder / name).exists() for name in info.required)
    state = f"found in {info.folder}/" if whole else "incomplete"
    return info.name, info.title, state, f"gholm data check {info.name}" + " --images" * whole


def _samples_row(root: Path) -> tuple[str, ...]:
    """Like `_row`; the files are not read."""
    folder, title = root / samples.FOLDER, "ImageNet samples"
    there = sum((folder / name).exists() for name in samples.listed())
    if not there:
        return samples.NAME, title, "missing", f"{samples.GET} (55 MB from GitHub, SHA-256 in this package)"
    state = f"found in {folder.name}/" if there == len(samples.listed()) else "incomplete"
    return samples.NAME, title, state, f"gholm data check {samples.NAME}"
