"""Chapter 08: right answers pass, each usual mistake is told what it is."""

import numpy as np
import pytest

from gholm_kit.teaching import checks

RIGHT = {"expected": 1.15, "at_least_one": 69}


def holm(p):
    order, holds = np.argsort(p), np.zeros(len(p), bool)
    for k, i in enumerate(order):
        if p[i] > 0.05 / (len(p) - k):
            break
        holds[i] = True
    return holds


def no_stop(p):
    rank = np.argsort(np.argsort(p))
    return p <= 0.05 / (len(p) - rank)


def test_right_answers_pass():
    assert checks.open_questions.by_chance(RIGHT, 23) == "Right."
    assert checks.open_questions.to_the_letter({"reduction": "sum", "normalize": False}) == "Right."
    assert checks.open_questions.holm(holm) == "Right."


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expected": ...}, "expected: replace the dots"),
        ({"expected": 23}, "probability 0.05"),
        ({"at_least_one": 5}, "5 % is the probability for"),
        ({"at_least_one": 100}, "do not add up"),
        ({"at_least_one": 0.69}, "in percent"),
        ({"at_least_one": 31}, "none misses"),
        ({"at_least_one": 50}, "0.95"),
    ],
)
def test_wrong_chances(change, reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.open_questions.by_chance(RIGHT | change, 23)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (None, "a dict"),
        ({}, "which two fields"),
        ({"reduktion": "sum"}, "did you mean 'reduction'"),
        ({"normalize": "no"}, "normalize must be"),
        ({"normalize": False}, "begins with a sum"),
        ({"reduction": "sum"}, "divides z by its length"),
        ({"reduction": "sum", "normalize": False, "denominator": "all"}, "only the negatives"),
        ({"reduction": "sum", "normalize": False, "tau": 0.1}, "tau: eq"),
    ],
)
def test_wrong_letters(changes, reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.open_questions.to_the_letter(changes)


WRONG_HOLM = {
    "returns nothing": lambda p: None,
    "each p value gets an answer": lambda p: True,
    "True or False": lambda p: p * 5,
    "no correction": lambda p: p < 0.05,
    "Bonferroni": lambda p: p < 0.05 / len(p),
    "with 0.05 / 5": lambda p: p > 0.05,
    "order of the sorted": lambda p: np.sort(p) <= 0.05 / (len(p) - np.arange(len(p))),
    "other way round": lambda p: p >= 0.015,
    "a number written": lambda p: np.array([False, True, True, False, False]),
    "once a p value fails": no_stop,
}


@pytest.mark.parametrize("reason", WRONG_HOLM)
def test_wrong_corrections(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.open_questions.holm(WRONG_HOLM[reason])
