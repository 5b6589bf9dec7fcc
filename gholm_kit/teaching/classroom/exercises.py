"""The exercises of a chapter, as the instructor's notebook has them, and the copy without solutions for students."""

from __future__ import annotations

import ast
import copy
import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat

from gholm_lib.paths import project_root

POINTS_FILE = "points.csv"
MARK = "gholm"  # key of a cell's metadata: which exercise this is, whatever a student's tool does to ids and tags


def role(cell: Mapping[str, Any]) -> str | None:
    """ "exercise", "solution" or "check": what a cell is in an exercise; None for every other cell.

    The one place that knows how the chapters mark their cells.
    """
    tags = cell.get("metadata", {}).get("tags", [])
    return next((r for r in ("exercise", "solution", "check") if r in tags), None)


@dataclass(frozen=True)
class Exercise:
    """One exercise: the cell to fill in and the instructor's check of it.

    key      chapter and number in it, for example "02-3"
    title    its heading
    cell_id  of the cell to fill in
    stub     what stands in that cell before anybody has answered
    check    source of the check's cell
    points   for a right answer
    """

    key: str
    title: str
    cell_id: str
    stub: str
    check: str
    points: float

    @cached_property
    def constants(self) -> dict[str, Any]:
        """What the stub gives and the student must not change, for example ``comparisons = 20``."""
        values = {name: _literal(value) for name, value in _assigned(self.stub).items()}
        return {name: value for name, value in values.items() if value is not ...}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the student defines and the check takes, in the order of the check."""
        tree = ast.parse(self.stub)
        bound = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)} | set(_assigned(self.stub))
        used = [n.id for n in ast.walk(ast.parse(self.check)) if isinstance(n, ast.Name)]
        return tuple(n for n in dict.fromkeys(used) if n in bound - set(self.constants))


def _assigned(source: str) -> dict[str, ast.expr]:
    """Name → expression of each top-level assignment."""
    assigns = [n for n in ast.parse(source).body if isinstance(n, ast.Assign)]
    return {t.id: a.value for a in assigns for t in a.targets if isinstance(t, ast.Name)}


def _literal(value: ast.expr) -> Any:
    """The value of a literal that is complete; ``...`` if something is left to fill in."""
    try:
        found = ast.literal_eval(value)
    except ValueError:
        return ...
    open_ = found in ({}, [], ()) or any(
        isinstance(n, ast.Constant) and n.value is ... for n in ast.walk(value)
    )
    return ... if open_ else found


@dataclass(frozen=True)
class Chapter:
    """One of the instructor's notebooks.

    name       file name without ".ipynb"
    exercises  in the order of the cells
    ids        ids of all its cells: a cell with another id is a student's own
    offers     name → the import, function or class of the chapter's other cells that binds it
    """

    name: str
    exercises: tuple[Exercise, ...]
    ids: frozenset[str] = field(repr=False)
    offers: dict[str, str] = field(repr=False)


def chapters(points: Mapping[str, float] | None = None, folder: Path | None = None) -> list[Chapter]:
    """All chapters that have exercises.

    points  key → points, instead of the defaults
    folder  of the notebooks (default: the project's)
    """
    paths = sorted((folder or project_root() / "notebooks").glob("*.ipynb"))
    found = [read_chapter(nbformat.read(path, 4), path.stem, points or {}) for path in paths]
    if not any(c.exercises for c in found):
        raise ValueError(f"no notebook with exercises in {folder or project_root() / 'notebooks'}")
    unknown = set(points or {}) - {e.key for c in found for e in c.exercises}
    if unknown:
        raise ValueError(
            f"points are given for {sorted(unknown)[0]}, which is no exercise; see gholm class prepare"
        )
    return [c for c in found if c.exercises]


def read_chapter(book: nbformat.NotebookNode, name: str, points: Mapping[str, float]) -> Chapter:
    """The exercises of a notebook; raises ValueError if a cell to fill in has no check."""
    cells = {r: [c for c in book.cells if role(c) == r] for r in ("exercise", "check")}
    if len(cells["exercise"]) != len(cells["check"]):
        raise ValueError(
            f"{name}.ipynb has {len(cells['exercise'])} cells with the tag exercise and {len(cells['check'])} with "
            "the tag check; each exercise needs one check"
        )
    pairs = enumerate(zip(cells["exercise"], cells["check"], strict=True), start=1)
    keys = {number: f"{name[:2]}-{number}" for number in range(1, len(cells["check"]) + 1)}
    exercises = tuple(
        Exercise(
            key=keys[number],
            title=_title(book.cells, stub),
            cell_id=stub.id,
            stub=stub.source,
            check=check.source,
            points=points.get(keys[number], default_points(stub.source)),
        )
        for number, (stub, check) in pairs
    )
    given = [c.source for c in book.cells if c.cell_type == "code" and role(c) is None]
    return Chapter(name, exercises, frozenset(c.id for c in book.cells), _offers("\n".join(given)))


def default_points(stub: str) -> float:
    """2 for a function to write, 1 for values to predict."""
    return 2.0 if any(isinstance(n, ast.FunctionDef) for n in ast.parse(stub).body) else 1.0


def _title(cells: Sequence[nbformat.NotebookNode], stub: nbformat.NotebookNode) -> str:
    return _heading(_heading_cell(cells, stub).source).group(1)


def _heading_cell(
    cells: Sequence[nbformat.NotebookNode], stub: nbformat.NotebookNode
) -> nbformat.NotebookNode:
    """The last cell before the stub with a heading that names an exercise."""
    place = next(i for i, c in enumerate(cells) if c.id == stub.id)
    above = [c for c in cells[:place] if c.cell_type == "markdown" and _heading(c.source)]
    if not above:
        raise ValueError(f"no heading with the word Exercise above the cell {stub.id}")
    return above[-1]


def _heading(source: str) -> re.Match[str] | None:
    return re.search(r"^#+ (.*\bExercise\b.*)$", source, re.M)


def _offers(source: str) -> dict[str, str]:
    """Name → source of each import, function and class at the top level."""
    offers = {}
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            offers |= {(a.asname or a.name).split(".")[0]: ast.unparse(node) for a in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            offers[node.name] = ast.unparse(node)
    return offers


# ---------------------------------------------------------------------- the students' copy


def student_copy(book: nbformat.NotebookNode, chapter: Chapter) -> nbformat.NotebookNode:
    """The notebook without solutions and outputs; headings say the points, cells to fill in say which they are."""
    book = copy.deepcopy(book)
    for cell in [c for c in book.cells if role(c) == "solution"]:
        cell.source = _own_answers(cell.source)
        cell.metadata.tags.remove("solution")
    book.cells = [c for c in book.cells if c.source or c.cell_type != "code"]
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    by_id = {c.id: c for c in book.cells}
    for exercise in chapter.exercises:
        stub = by_id[exercise.cell_id]
        stub.metadata[MARK] = {"exercise": exercise.key}
        heading = _heading_cell(book.cells, stub)
        worth = f"{exercise.points:g} point{'' if exercise.points == 1 else 's'}"
        heading.source = heading.source.replace(exercise.title, f"{exercise.title} ({worth})", 1)
    return book


def _own_answers(solution: str) -> str:
    """Instead of ``solution_f``, which later cells may use, the student's own ``f``; "" where there is none."""
    tree = ast.parse(solution)
    bound = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)] + list(_assigned(solution))
    theirs = [n for n in bound if n.startswith("solution_")]
    return "\n".join(
        f"{n} = {n.removeprefix('solution_')}  # the cells below use your answer" for n in theirs
    )


def prepare(out: Path, folder: Path | None = None) -> list[Path]:
    """Write ``out/students/*.ipynb``, and ``out/points.csv`` if it is not there; returns the notebooks.

    Points come from ``out/points.csv``: edit it and prepare again.
    """
    source = folder or project_root() / "notebooks"
    graded = chapters(read_points(out / POINTS_FILE), source)
    students = out / "students"
    students.mkdir(parents=True, exist_ok=True)
    if not (out / POINTS_FILE).exists():
        (out / POINTS_FILE).write_text(points_text(graded), encoding="utf-8", newline="\n")
    by_name = {c.name: c for c in graded}
    written = []
    for path in sorted(source.glob("*.ipynb")):
        book = nbformat.read(path, 4)
        if path.stem in by_name:
            book = student_copy(book, by_name[path.stem])
        written.append(students / path.name)
        nbformat.write(book, written[-1])
    return written


def points_text(graded: Sequence[Chapter]) -> str:
    """The content of ``points.csv``."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["exercise", "points", "title"])
    rows.writerows([e.key, f"{e.points:g}", e.title] for c in graded for e in c.exercises)
    return text.getvalue()


def read_points(path: Path) -> dict[str, float]:
    """Key → points; {} where there is no file. Raises ValueError, which names the line."""
    if not path.exists():
        return {}
    points = {}
    for number, row in enumerate(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()), start=2):
        try:
            points[row["exercise"]] = float(row["points"])
            wrong = not 0 <= points[row["exercise"]] < math.inf
        except (KeyError, TypeError, ValueError):
            wrong = True
        if wrong:
            raise ValueError(
                f"{path}, line {number}: expected an exercise and its points, like 02-3,2; got {list(row.values())}"
            )
    return points
