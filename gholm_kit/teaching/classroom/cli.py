"""``gholm class prepare | grade | merge``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import tyro

USAGE = """usage: gholm class COMMAND [options]        (gholm class COMMAND --help tells more)

  prepare                the students' copy of the chapters: no solutions, points at each exercise   [--out FOLDER]
  grade FOLDER           grade FOLDER/STUDENT/*.ipynb: a table of points, and a page of feedback for each student
  merge FOLDER           pool the runs in FOLDER, one from each student, beside the kept ones
"""


def command(args: Sequence[str]) -> int:
    """Run one of the three; returns the exit status."""
    if not args or args[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if args else 2
    commands: dict[str, Callable[..., None]] = {"prepare": prepare, "grade": grade, "merge": merge}
    if args[0] not in commands:
        raise ValueError(f"no command {args[0]!r}; there are {', '.join(commands)}")
    tyro.cli(commands[args[0]], args=list(args[1:]), prog=f"gholm class {args[0]}")
    return 0


def prepare(out: Path = Path("class")) -> None:
    """The students' copy of the chapters: no solutions, no outputs, points at each exercise.

    Args:
        out: Folder to write to: students/ to give away, and points.csv, which you can edit before you prepare again.
    """
    from gholm_kit.teaching.classroom import exercises

    written = exercises.prepare(out)
    print(f"{len(written)} notebooks are in {written[0].parent}: give these to your students.")
    print(f"Points are in {out / exercises.POINTS_FILE}: edit it and prepare again to change them.")


def grade(
    folder: tyro.conf.Positional[Path],
    points: Path | None = None,
    out: Path | None = None,
    seconds: float = 20.0,
    memory: float = 4.0,
    jobs: int | None = None,
) -> None:
    """Grade hand-ins, FOLDER/STUDENT/*.ipynb, by the checks of this installation.

    Args:
        folder: Folder with one folder for each student.
        points: The points.csv that `gholm class prepare` wrote (default: 2 for a function, 1 for predictions).
        out: Folder for grades.csv and feedback/ (default: FOLDER-graded).
        seconds: Time for one answer, the start of PyTorch included.
        memory: Memory for one student's code, in GiB.
        jobs: Students graded at the same time (default: as many as there are processors).
    """
    from gholm_kit.teaching.classroom import cage, exercises
    from gholm_kit.teaching.classroom import grade as grading

    if points and not points.is_file():
        raise ValueError(f"no file {points} (--points); `gholm class prepare` writes it")
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    limits = cage.Limits(seconds=seconds, memory=memory)
    chapters = exercises.chapters(exercises.read_points(points) if points else None)
    for sentence in cage.unlimited():
        print(f"Not limited: {sentence}.")
    graded = grading.grade(folder, chapters, limits, jobs or grading.default_jobs())
    written = grading.write(graded, out or folder.with_name(f"{folder.resolve().name}-graded"))
    print(f"Points of {len(graded)} students are in {written[0]}, their pages in {written[1].parent}.")


def merge(folder: tyro.conf.Positional[Path], kept: Path | None = None, out: Path | None = None) -> None:
    """Pool a class's runs: check each record, then a table beside the kept runs, and a picture that grows by seeds.

    Args:
        folder: Folder with the students' runs (record.json and predictions.npz), at any depth.
        kept: Folder of the records to compare with (default: data/records).
        out: Folder for table, picture and refused.csv (default: FOLDER-merged).
    """
    from gholm_kit.teaching.classroom import merge as merging
    from gholm_lib.paths import records_folder

    merged = merging.merge(folder, kept or records_folder())
    written = merging.write(merged, out or folder.with_name(f"{folder.resolve().name}-merged"))
    for path, reason in merged.refused:
        print(f"Refused: {path}: {reason}")
    if merged.rows:
        print(merging.table(merged).markdown())
    print(
        f"{merged.count} runs pooled, {len(merged.refused)} refused. Written: {', '.join(map(str, written))}"
    )
