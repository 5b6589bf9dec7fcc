"""Every exercise can be solved: its stub fails its check, its solution passes; wrong answers get a reason."""

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


@pytest.mark.parametrize(("stub", "solution", "check"), list(exercises()))
def test_the_stub_fails_and_the_solution_passes(stub, solution, check):
    names = {"np": np, "torch": torch, "g": gholm_lib, "checks": checks}
    exec(stub, names)
    with pytest.raises((NotImplementedError, checks.NotYet)):
        exec(check, names)
    exec(solution, names)
    exec(check, names)


def test_there_is_an_exercise():
    assert list(exercises())


WRONG_ACCURACIES = {
    "returns nothing": lambda p, y: None,
    "must return one number": lambda p, y: p == y,
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
