"""Chapter 07: right answers pass, each usual mistake is told what it is."""

from math import comb

import numpy as np
import pytest
from scipy import stats

from gholm_kit.teaching import checks

RIGHT = {"images": 12, "half_width": 0.7}


def exact(first, second):
    a, b = int((first & ~second).sum()), int((second & ~first).sum())
    n, k = a + b, min(a, b)
    return min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n)


def split(first, second):
    return int((first & ~second).sum()), int((second & ~first).sum())


def test_right_answers_pass():
    assert checks.tables.predictions(RIGHT) == "Right."
    assert checks.tables.mcnemar_p(exact) == "Right."
    assert checks.tables.optimism(lambda c: (c.max(1) - c[:, -1]).mean()) == "Right."


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"images": ...}, "images: replace the dots"),
        ({"images": 20}, "10 000"),
        ({"images": 100}, "share of 0.002"),
        ({"half_width": None}, "half_width: replace the dots"),
        ({"half_width": 0.36}, "one standard error"),
        ({"half_width": 1.42}, "full width"),
        ({"half_width": 0.0071}, "that is a share"),
        ({"half_width": 5}, "1.96"),
    ],
)
def test_wrong_predictions(change, reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.tables.predictions(RIGHT | change)


def one_tail(first, second):
    return exact(first, second) / 2


def this_split_only(first, second):
    a, b = split(first, second)
    return comb(a + b, min(a, b)) / 2 ** (a + b)


def chi_square(first, second, correction=0.0):
    a, b = split(first, second)
    return stats.chi2.sf((abs(a - b) - correction) ** 2 / (a + b), 1)


def fails_on_agreement(first, second):
    a, b = split(first, second)
    if a + b == 0:
        raise ZeroDivisionError
    return exact(first, second)


def above_one(first, second):
    a, b = split(first, second)
    n, k = a + b, min(a, b)
    return 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n


def one_way(first, second):
    a, b = split(first, second)
    return exact(first, second) if a >= b else 0.5


WRONG_P = {
    "returns nothing": lambda first, second: None,
    "one tail": one_tail,
    "exactly this split; p also": this_split_only,
    "twice the probability of exactly": lambda first, second: 2 * this_split_only(first, second),
    "approximation without": chi_square,
    "approximation with correction": lambda first, second: chi_square(first, second, 1.0),
    "number of images": lambda first, second: (first != second).sum(),
    "difference of the accuracies": lambda first, second: first.mean() - second.mean(),
    "counts all images": lambda first, second: 2 * stats.binom.cdf(11, 50, 0.5),
    "1 − p": lambda first, second: 1 - exact(first, second),
    "do not count": lambda first, second: float(stats.ttest_ind(first, second).pvalue),
    "never disagree": fails_on_agreement,
    "p is 1": above_one,
    "exchanged": one_way,
}


@pytest.mark.parametrize("reason", WRONG_P)
def test_wrong_p_values(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.tables.mcnemar_p(WRONG_P[reason])


WRONG_OPTIMISM = {
    "returns nothing": lambda c: None,
    "one number": lambda c: c.max(1) - c[:, -1],
    "one epoch for all": lambda c: c.mean(0).max() - c[:, -1].mean(),
    "subtract the mean of the last": lambda c: c.max(1).mean(),
    "last minus best": lambda c: (c[:, -1] - c.max(1)).mean(),
    "best of all networks": lambda c: c.max() - c[:, -1].mean(),
    "best network of each epoch": lambda c: c.max(0).mean() - c[:, -1].mean(),
    "a number written": lambda c: 4.0,
    "sum over the networks": lambda c: (c.max(1) - c[:, -1]).sum(),
    "the answer is 4": lambda c: np.std(c),
}


@pytest.mark.parametrize("reason", WRONG_OPTIMISM)
def test_wrong_optimism(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.tables.optimism(WRONG_OPTIMISM[reason])
