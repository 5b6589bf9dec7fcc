"""Checks of chapter 07: how much a table of accuracies can say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gholm_kit import published
from gholm_kit.teaching.checks.answers import NotYet
from gholm_lib.uncertainty import mcnemar


def predictions(guess: dict) -> str:
    """Exercise 1: 0.2 points in images, and the half width of an interval, for CUB's test set."""
    count, accuracy = published.COUNTS["cub"][2], published.LOGITS["both"] / 100
    images, half = _number(guess, "images"), _number(guess, "half_width")
    if np.isclose(images, 20):
        raise NotYet("images: 20 would be 0.2 points of 10 000; CUB has fewer test images")
    if not 0.9 * 0.002 * count <= images <= 1.1 * 0.002 * count:
        raise NotYet(f"images: 0.2 points are a share of 0.002; of {count} images that is ...")
    error = 100 * np.sqrt(accuracy * (1 - accuracy) / count)
    if np.isclose(half, error, rtol=0.1):
        raise NotYet(
            "half_width: that is one standard error; a 95 % interval reaches 1.96 of them either way"
        )
    if np.isclose(half, 2 * 1.96 * error, rtol=0.1):
        raise NotYet("half_width: that is the whole width, from end to end")
    if np.isclose(half, 1.96 * error / 100, rtol=0.1):
        raise NotYet("half_width: that is a share; in points it is a hundred times as much")
    if not np.isclose(half, 1.96 * error, rtol=0.15):
        raise NotYet("half_width: 1.96 · √(p (1 − p) / n), with p = the accuracy as a share, in points")
    return "Right."


def _number(guess: dict, name: str) -> float:
    said = guess.get(name, ...)
    if said is ... or said is None:
        raise NotYet(f"{name}: write a number in place of the dots")
    return float(said)


def mcnemar_p(answer: Callable) -> str:
    """Exercise 2: ``answer(first, second)``, (N,) bool each → the two-sided exact p of McNemar."""
    first = np.array([True] * 9 + [False] * 1 + [True] * 30 + [False] * 10)
    second = np.array([False] * 9 + [True] * 1 + [True] * 30 + [False] * 10)
    found = answer(first.copy(), second.copy())
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    found = float(found)
    wrong = {
        11 / 1024: "that is one tail; two-sided is twice as much",
        10
        / 1024: "that is the chance of exactly this split; *this or a more extreme* one is wanted, both ways",
        20 / 1024: "that is twice the chance of exactly this split; count the more extreme ones too",
        0.0114: "that is the χ² approximation without correction; with ten disagreements count exactly",
        0.0269: "that is the χ² approximation with correction; with ten disagreements count exactly",
        1 - 22 / 1024: "that is 1 − p",
    }
    for value, reason in wrong.items():
        if np.isclose(found, value, rtol=0.01):
            raise NotYet(reason)
    if not np.isclose(found, 22 / 1024):
        raise NotYet(
            "of the 10 images on which the two disagree, one goes to the second: p = 2 (1 + 10) / 2**10, that is "
            f"{22 / 1024:.4f}; your function gives {found:.4f}. Where both are right, or both wrong, nothing counts"
        )
    try:
        even = [float(answer(a, b)) for a, b in ((first, first), (first[[0, 9]], second[[0, 9]]))]
    except Exception as error:
        raise NotYet(
            f"it fails ({type(error).__name__}) where the two never disagree; p is 1 then"
        ) from error
    if not np.allclose(even, 1.0):
        raise NotYet(
            f"where the two agree, or split evenly, p is 1; your function gives {even[0]:.3g}, {even[1]:.3g}"
        )
    if not np.isclose(float(answer(second, first)), mcnemar(second, first)):
        raise NotYet("right one way round, not the other: take the smaller of the two counts")
    return "Right."


def optimism(answer: Callable) -> str:
    """Exercise 3: ``answer(curves)``, (networks, epochs) → mean of the best test epochs minus mean of the last."""
    curves = np.array([[80.0, 90.0, 86.0], [88.0, 82.0, 84.0]])
    found = answer(curves.copy())
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    if np.ndim(found):
        raise NotYet(f"one number is wanted, the mean over networks; got shape {np.shape(found)}")
    wrong = {
        1.0: "you choose one epoch for all networks; each network's own best epoch is wanted",
        89.0: "that is the mean of the best epochs; take the mean of the last ones off",
        -4.0: "the other way round: best minus last",
        5.0: "that is the best of all networks against the mean; each network has its own best epoch",
        8.0: "that adds up the networks; the mean over them is wanted",
    }
    for value, reason in wrong.items():
        if np.isclose(float(found), value):
            raise NotYet(reason)
    if not np.isclose(float(found), 4.0):
        raise NotYet(
            f"best epochs 90 and 88, last ones 86 and 84: 4 is wanted; your function gives {float(found):g}"
        )
    return "Right."
