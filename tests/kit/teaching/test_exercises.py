"""Every exercise can be solved: its stub fails its check, its solution passes; wrong answers get a reason."""

import ast

import nbformat
import numpy as np
import pytest
import torch

import gholm_lib
from gholm_kit.teaching import checks
from gholm_lib.paths import project_root

NOTEBOOKS = sorted((project_root() / "notebooks").glob("*.ipynb"))


def exercises():
    """(notebook, number, stub, solution, check) of every exercise, in the order of the cells."""
    for path in NOTEBOOKS:
        tagged = {"exercise": [], "solution": [], "check": []}
        for cell in nbformat.read(path, 4).cells:
            for tag in cell.metadata.get("tags", []):
                if tag in tagged:
                    tagged[tag].append(cell.source)
        triples = zip(tagged["exercise"], tagged["solution"], tagged["check"], strict=True)
        for number, (stub, solution, check) in enumerate(triples, start=1):
            yield pytest.param(stub, solution, check, id=f"{path.stem}-{number}")


def run(*cells, **names):
    """The names that a notebook has after these cells; `verdict` is what the last one, a check, shows."""
    names = {"np": np, "torch": torch, "g": gholm_lib, "checks": checks} | names
    for cell in cells[:-1]:
        exec(cell, names)
    return names | {"verdict": eval(cells[-1], names)}


def solved(solution, names):
    """The chapter's solutions under the names of the student's answers."""
    found = {name.removeprefix("solution_"): names[name] for name in assigned(solution)}
    return {name: value for name, value in names.items() if name != "__builtins__"} | found


def assigned(cell):
    """Names that a cell defines at its top level."""
    for node in ast.parse(cell).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets)


EXERCISES = pytest.mark.parametrize(("stub", "solution", "check"), list(exercises()))


@EXERCISES
def test_running_through_the_cells_does_not_solve_an_exercise(stub, solution, check):
    verdict = run(stub, solution, check)["verdict"]
    assert verdict.state == "not yet"
    assert len(verdict.message) < 180, "a stub's hint is one sentence"


@EXERCISES
def test_the_solution_passes(stub, solution, check):
    names = run(stub, solution, check)
    assert run(check, **solved(solution, names))["verdict"].state == "right"


@EXERCISES
def test_a_solution_leaves_the_students_names_alone(stub, solution, check):
    assert all(name.startswith("solution_") for name in assigned(solution))
    assert {name.removeprefix("solution_") for name in assigned(solution)} <= set(assigned(stub))


@EXERCISES
def test_a_check_has_up_to_three_hints(stub, solution, check):
    call = ast.parse(check).body[-1].value
    judged = eval(ast.unparse(call.args[0]), {"checks": checks})
    assert 1 <= len(judged.hints) <= 3
    assert all(hint.endswith((".", "?", "`", ")")) for hint in judged.hints)


def test_there_is_an_exercise():
    assert list(exercises())


WRONG_ACCURACIES = {
    "returns nothing": lambda p, y: None,
    "must return one number": lambda p, y: p == y,
    "sets of classes": lambda p, y: len(set(p) & set(y)) / len(p),
    "divide it by A_num": lambda p, y: np.sum(p == y),
    "percent": lambda p, y: 100 * np.mean(p == y),
    "wrong": lambda p, y: np.mean(p != y),
    "divides T_num by A_num": lambda p, y: len(y) / np.sum(p == y),
    "integer division": lambda p, y: np.sum(p == y) // len(y),
    "is the 5 written": lambda p, y: np.sum(p == y) / 5,
    "the answer is 0.8": lambda p, y: 0.5,
}


@pytest.mark.parametrize("reason", WRONG_ACCURACIES)
def test_a_wrong_accuracy_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.start.accuracy(WRONG_ACCURACIES[reason])
