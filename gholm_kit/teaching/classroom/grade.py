"""Grades a folder of hand-ins: answers run in a cage, verdicts come from the instructor's checks, elsewhere."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gholm_kit.teaching.classroom import cage
from gholm_kit.teaching.classroom.exercises import MARK, Chapter, Exercise, role
from gholm_lib.paths import project_root

RIGHT, CANNOT, EMPTY, MISSING = "right", "cannot be run", "empty", "not handed in"
LARGEST = 2**26  # bytes of a notebook, outputs included
_PACKAGE = __name__.rpartition(".")[0]
# What no exercise needs and what could look up an answer instead of working it out: for the instructor to read.
_LOOK_AT = re.compile(
    r"\b(checks\.\w+\.\w+\s*=|gholm_kit\.teaching|inspect|_getframe|_current_frames|ctypes|subprocess|os\.\w+|sys\.\w+"
    r"|shutil|socket|multiprocessing|signal|gc\.\w+|__subclasses__|open\(|eval\(|exec\(|__import__)"
)


@dataclass
class HandIn:
    """One student's notebooks.

    student  name of the folder
    answers  key → source of the cell, as far as it was handed in
    own      chapter → sources of code cells that the student added
    notes    what could not be read
    """

    student: str
    answers: dict[str, str] = field(default_factory=dict)
    own: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def look_at(self) -> list[str]:
        """Words in the code that an instructor may want to see, sorted."""
        sources = [*self.answers.values(), *(s for own in self.own.values() for s in own)]
        return sorted({m.strip("( =") for s in sources for m in _LOOK_AT.findall(s)})


@dataclass(frozen=True)
class Mark:
    """The result of one exercise: verdict, message to the student, points, and what was handed in."""

    exercise: Exercise
    verdict: str
    message: str
    source: str | None

    @property
    def points(self) -> float:
        return self.exercise.points if self.verdict == RIGHT else 0.0


@dataclass(frozen=True)
class Graded:
    """A student's marks, in the order of the exercises."""

    hand_in: HandIn
    marks: list[Mark]

    @property
    def points(self) -> float:
        return sum(m.points for m in self.marks)

    @property
    def most(self) -> float:
        return sum(m.exercise.points for m in self.marks)


# ---------------------------------------------------------------------- reading


def hand_ins(folder: Path, chapters: Sequence[Chapter]) -> list[HandIn]:
    """One for each folder in ``folder``: the notebooks in it, at any depth (so nbgrader's ``submitted`` will do).

    raises ValueError if there is none, or if the folder contains the project, which must stay visible
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; expected one with a folder for each student")
    if project_root().resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{folder} contains the project itself; put the hand-ins into a folder of their own")
    students = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not students:
        raise ValueError(f"{folder} has no folders; expected FOLDER/STUDENT/NOTEBOOK.ipynb")
    return [_read_student(path, {c.name: c for c in chapters}) for path in students]


def _read_student(folder: Path, chapters: Mapping[str, Chapter]) -> HandIn:
    found = HandIn(folder.name)
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        try:
            cells = _code_cells(path)
        except (OSError, ValueError, RecursionError) as error:
            found.notes.append(f"{path.relative_to(folder)} cannot be read: {error}")
            continue
        chapter = _chapter_of(path, cells, chapters)
        if chapter is None:
            found.notes.append(f"{path.relative_to(folder)} is no chapter with exercises")
        elif chapter.name in found.own:
            found.notes.append(f"{path.relative_to(folder)} is a second copy of {chapter.name}: not graded")
        else:
            _take(found, chapter, cells)
    return found


def _code_cells(path: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook that may be anything: only JSON is read, nothing is followed or run."""
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError("it is no file (a link?)")
    if about.st_size > LARGEST:
        raise ValueError(f"it has {about.st_size >> 20} MiB, at most {LARGEST >> 20}; clear the outputs")
    book = json.loads(path.read_text(encoding="utf-8"))
    cells = book.get("cells") if isinstance(book, dict) else None
    if not isinstance(cells, list):
        raise ValueError("it is no notebook: there are no cells")
    return [_cell(c) for c in cells if isinstance(c, dict) and c.get("cell_type") == "code"]


def _cell(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell whose parts have the types that a notebook's have."""
    source, metadata = cell.get("source", ""), cell.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    tags = metadata.get("tags")
    return {
        "source": "".join(map(str, source)) if isinstance(source, list) else str(source),
        "id": str(cell.get("id")),
        "metadata": metadata | {"tags": tags if isinstance(tags, list) else []},
    }


def _chapter_of(path: Path, cells: list[dict[str, Any]], chapters: Mapping[str, Chapter]) -> Chapter | None:
    """By the marks in the cells, else by the file's name: students rename files."""
    keys = {_marked(c) for c in cells}
    marked = [c for c in chapters.values() if keys & {e.key for e in c.exercises}]
    named = [c for name, c in chapters.items() if name in path.stem]
    return next(iter(marked + named), None)


def _marked(cell: Mapping[str, Any]) -> str | None:
    mark = cell["metadata"].get(MARK)
    return str(mark.get("exercise")) if isinstance(mark, dict) else None


def _take(found: HandIn, chapter: Chapter, cells: list[dict[str, Any]]) -> None:
    """Find each exercise's cells: by mark, else by id, else by their order."""
    tagged = [c for c in cells if role(c) == "exercise"]
    by_order = dict(zip((e.key for e in chapter.exercises), tagged, strict=False))
    for exercise in chapter.exercises:
        key = exercise.key
        own = [c for c in cells if _marked(c) == key] or [c for c in cells if c["id"] == exercise.cell_id]
        if not own and len(tagged) == len(chapter.exercises):
            own = [by_order[key]]
        if own:
            found.answers[key] = "\n\n".join(c["source"] for c in own)
    found.own[chapter.name] = [
        c["source"] for c in cells if c["id"] not in chapter.ids and role(c) is None and _marked(c) is None
    ]


# ---------------------------------------------------------------------- grading


def grade(
    folder: Path,
    chapters: Sequence[Chapter],
    limits: cage.Limits | None = None,
    jobs: int = 1,
    tell: Callable[[str], None] = print,
) -> list[Graded]:
    """Grade every hand-in in ``folder``, ``jobs`` at a time; a chapter that nobody handed in does not count."""
    limits, found = limits or cage.Limits(), hand_ins(folder, chapters)
    caged = cage.works()
    chapters = [c for c in chapters if any(c.name in h.own for h in found)]
    if not chapters:
        raise ValueError(f"no hand-in in {folder} has a chapter with exercises; {'; '.join(found[0].notes)}")

    def one(hand_in: HandIn) -> Graded:
        graded = grade_one(hand_in, chapters, limits, caged, hidden=[folder])
        tell(f"{hand_in.student}: {graded.points:g} of {graded.most:g} points")
        return graded

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, found))


def grade_one(
    hand_in: HandIn,
    chapters: Sequence[Chapter],
    limits: cage.Limits,
    caged: bool,
    hidden: Sequence[Path] = (),
) -> Graded:
    """One hand-in: first what its code gives, then what the checks say of that."""
    every = [(c, e) for c in chapters for e in c.exercises]
    handed = [(c, e) for c, e in every if e.key in hand_in.answers]
    shared = {c.name: {"offers": c.offers, "own": hand_in.own.get(c.name, [])} for c in chapters}
    items = [_item(c, e, hand_in.answers[e.key]) for c, e in handed]
    said = one_by_one(
        f"{_PACKAGE}.sitting",
        items,
        lambda left: {"exercises": left, "chapters": shared},
        limits,
        caged,
        hidden,
    )
    sat = [item | {"said": text} for item, (text, _) in zip(items, said, strict=True) if text is not None]
    judged = one_by_one(f"{_PACKAGE}.judge", sat, lambda left: {"exercises": left}, limits, caged, hidden)
    verdicts = {
        item["key"]: (CANNOT, f"your code {why}")
        for item, (text, why) in zip(items, said, strict=True)
        if text is None
    }
    for item, (text, why) in zip(sat, judged, strict=True):
        found = (
            json.loads(text) if text else {"verdict": CANNOT, "message": f"with your answer, the check {why}"}
        )
        verdicts[item["key"]] = found["verdict"], found["message"]
    return Graded(hand_in, [_mark(e, hand_in, verdicts) for _, e in every])


def _item(chapter: Chapter, exercise: Exercise, source: str) -> dict[str, Any]:
    return {
        "key": exercise.key,
        "chapter": chapter.name,
        "source": source,
        "check": exercise.check,
        "names": exercise.names,
        "constants": exercise.constants,
    }


def _mark(exercise: Exercise, hand_in: HandIn, verdicts: Mapping[str, tuple[str, str]]) -> Mark:
    source = hand_in.answers.get(exercise.key)
    if source is None:
        return Mark(exercise, MISSING, "", None)
    if source.strip() in ("", exercise.stub.strip()):
        return Mark(exercise, EMPTY, "not answered", source)
    return Mark(exercise, *verdicts[exercise.key], source)


def one_by_one(
    module: str,
    items: list[dict[str, Any]],
    job: Callable[[list[dict[str, Any]]], Any],
    limits: cage.Limits,
    caged: bool,
    hidden: Sequence[Path] = (),
) -> list[tuple[str | None, str]]:
    """A line for each item, or None and why there is none; a process that ends early costs one item, no more."""
    found: list[tuple[str | None, str]] = []
    while left := items[len(found) :]:
        ended = cage.run(module, job(left), limits, caged, hidden)
        lines = ended.lines[: len(left)]
        found += [(line.decode("utf-8", "replace"), "") for line in lines]
        if len(lines) < len(left):
            found.append((None, ended.why or "ended itself before it gave an answer (exit status 0)"))
    return found


# ---------------------------------------------------------------------- writing


def grades_csv(graded: Sequence[Graded]) -> str:
    """One row a student: points of each exercise, their sum, what to look at and what could not be read."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    keys = [m.exercise.key for m in graded[0].marks]
    rows.writerow(["student", *keys, "points", "of", "look at", "notes"])
    for g in graded:
        points = [f"{m.points:g}" if m.verdict != MISSING else "" for m in g.marks]
        end = ["; ".join(g.hand_in.look_at), "; ".join(g.hand_in.notes)]
        rows.writerow([_plain(g.hand_in.student), *points, f"{g.points:g}", f"{g.most:g}", *map(_plain, end)])
    return text.getvalue()


def _plain(text: str) -> str:
    """A text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") and text else text


def write(graded: Sequence[Graded], out: Path) -> list[Path]:
    """``grades.csv``, and ``feedback/STUDENT.html`` for each; returns the paths."""
    from gholm_kit.teaching.classroom.feedback import page

    files = {out / "grades.csv": grades_csv(graded)}
    files |= {out / "feedback" / f"{g.hand_in.student}.html": page(g) for g in graded}
    (out / "feedback").mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    return list(files)


def default_jobs() -> int:
    """Hand-ins graded at the same time: one for each processor that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
