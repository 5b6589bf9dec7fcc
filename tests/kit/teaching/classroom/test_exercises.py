"""The students' copy: no solution in it, points at each exercise, and everything that grading needs."""

from __future__ import annotations

import nbformat
import pytest

from gholm_kit.teaching.classroom import exercises
from gholm_kit.teaching.classroom.exercises import Exercise
from gholm_lib.paths import project_root


def test_each_check_takes_something_of_the_students(chapters):
    everything = [e for c in chapters for e in c.exercises]
    assert len(everything) >= 30
    assert [e.key for e in everything if not e.names] == []
    assert len({e.key for e in everything}) == len(everything)


def exercise(stub: str, check: str) -> Exercise:
    return Exercise("00-1", "Exercise", "a", stub, check, 1)


@pytest.mark.parametrize(
    ("stub", "check", "names", "constants"),
    [
        ("def f(x):\n    raise NotImplementedError", "print(checks.a.b(f))", ("f",), {}),
        ("n = 20\nguess = {'a': ..., 'b': 3}", "checks.a(guess, n)", ("guess",), {"n": 20}),
        ("choice = {}", "checks.a(choice)", ("choice",), {}),
        ("a = ...\nb = ...", "checks.f(b, a, torch)", ("b", "a"), {}),
    ],
)
def test_names_and_constants(stub, check, names, constants):
    found = exercise(stub, check)
    assert (found.names, found.constants) == (names, constants)


def test_the_students_copy_has_no_solution(tmp_path, chapters):
    written = exercises.prepare(tmp_path)
    assert len(written) == len(list((project_root() / "notebooks").glob("*.ipynb")))
    for chapter in chapters:
        full = nbformat.read(project_root() / "notebooks" / f"{chapter.name}.ipynb", 4)
        book = nbformat.read(tmp_path / "students" / f"{chapter.name}.ipynb", 4)
        nbformat.validate(book)
        roles = [exercises.role(c) for c in book.cells]
        assert "solution" not in roles
        assert roles.count("exercise") == roles.count("check") == len(chapter.exercises)
        text = "\n".join(c.source for c in book.cells)
        assert not [c for c in full.cells if exercises.role(c) == "solution" and c.source in text]
        for e in chapter.exercises:
            worth = "1 point)" if e.points == 1 else f"{e.points:g} points)"
            assert f"{e.title} ({worth}" in text


def test_later_cells_of_the_students_copy_use_the_students_answer():
    v4 = nbformat.v4
    solution = v4.new_code_cell(
        "helper = 1\ndef solution_f():\n    return 1", metadata={"tags": ["solution"]}
    )
    cells = [
        v4.new_markdown_cell("## Exercise: one"),
        v4.new_code_cell("def f():\n    raise NotImplementedError", metadata={"tags": ["exercise"]}),
        solution,
        v4.new_code_cell("checks.a.f(f)", metadata={"tags": ["check"]}),
    ]
    book = v4.new_notebook(cells=cells)
    copied = exercises.student_copy(book, exercises.read_chapter(book, "00_x", {}))
    assert copied.cells[2].source.startswith("solution_f = f ")
    assert exercises.role(copied.cells[2]) is None
    assert solution.source.startswith("helper"), "the instructor's notebook stays as it is"


def test_points_are_read_back_from_the_edited_file(tmp_path):
    exercises.prepare(tmp_path)
    path = tmp_path / exercises.POINTS_FILE
    path.write_text(path.read_text(encoding="utf-8").replace("02-3,2,", "02-3,4.5,"), encoding="utf-8")
    exercises.prepare(tmp_path)
    book = nbformat.read(tmp_path / "students" / "02_threshold_crops.ipynb", 4)
    assert any("(4.5 points)" in c.source for c in book.cells)
    graded = exercises.chapters(exercises.read_points(path))
    assert {e.key: e.points for c in graded for e in c.exercises}["02-3"] == 4.5


@pytest.mark.parametrize("line", ["02-3,many,x", "02-3,-1,x", "02-3", "02-3,inf,x"])
def test_wrong_points_name_the_line(tmp_path, line):
    path = tmp_path / "points.csv"
    path.write_text(f"exercise,points,title\n02-2,2,x\n{line}\n")
    with pytest.raises(ValueError, match="line 3: expected an exercise and its points"):
        exercises.read_points(path)


def test_points_for_an_unknown_exercise_are_refused():
    with pytest.raises(ValueError, match="02-9, which is no exercise"):
        exercises.chapters({"02-9": 1.0})


def test_an_exercise_without_a_check_is_refused():
    v4 = nbformat.v4
    book = v4.new_notebook(cells=[v4.new_code_cell("f = ...", metadata={"tags": ["exercise"]})])
    with pytest.raises(ValueError, match="each exercise needs one check"):
        exercises.read_chapter(book, "00_x", {})
