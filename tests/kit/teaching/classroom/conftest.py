"""A class: students' copies of one chapter, filled in with whatever a test wants to hand in."""

from __future__ import annotations

import re

import nbformat
import pytest

from gholm_kit.teaching.classroom import exercises
from gholm_lib.paths import project_root

CHAPTER = "02_threshold_crops"


def solutions(name: str = CHAPTER) -> list[str]:
    """The instructor's solutions of a chapter, defining the names that the checks take."""
    cells = nbformat.read(project_root() / "notebooks" / f"{name}.ipynb", 4).cells
    sources = [c.source for c in cells if exercises.role(c) == "solution"]
    return [re.sub(r"\bsolution_(?=\w)", "", s) for s in sources]


@pytest.fixture(scope="session")
def chapters():
    return exercises.chapters()


@pytest.fixture
def hand_in(tmp_path, chapters):
    """``hand_in(student, answers, name)``: write a student's notebook; an answer None leaves the stub as it is."""
    exercises.prepare(tmp_path / "class")

    def write(student: str, answers, name: str = CHAPTER):
        book = nbformat.read(tmp_path / "class" / "students" / f"{name}.ipynb", 4)
        stubs = [c for c in book.cells if exercises.role(c) == "exercise"]
        for cell, answer in zip(stubs, answers, strict=True):
            cell.source = cell.source if answer is None else answer
        path = tmp_path / "hand-ins" / student / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(book, path)
        return path

    return write
