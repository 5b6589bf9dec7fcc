"""Checks of chapter 07: how much a table of accuracies can say."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gholm_kit import published
from gholm_kit.teaching.checks.answers import NotYet, explain, number, predicted_number
from gholm_kit.teaching.checks.verdict import hints
from gholm_lib.uncertainty import mcnemar


@hints(
    "0.2 percentage points are 2 of every 1000 images.",
    "The half-width is 1.96 standard errors √(p (1 − p) / n), with p = 0.918 and n = 5794; times 100 gives points.",
    "images = 0.002 · 5794, about 12; half_width = 100 · 1.96 · √(0.918 · 0.082 / 5794).",
)
def predictions(guess: dict) -> str:
    """Exercise 1: 0.2 points as a number of images, and the half-width of an interval, for CUB's test set."""
    count, accuracy = published.COUNTS["cub"][2], published.LOGITS["both"] / 100
    images, half = predicted_number(guess, "images"), predicted_number(guess, "half_width")
    if np.isclose(images, 20):
        raise NotYet("images: 20 would be 0.2 points of 10 000; CUB has fewer test images")
    if not 0.9 * 0.002 * count <= images <= 1.1 * 0.002 * count:
        raise NotYet(f"images: 0.2 points are a share of 0.002; of {count} images that is ...")
    error = 100 * np.sqrt(accuracy * (1 - accuracy) / count)
    wrong = {
        "half_width: that is one standard error; a 95 % interval extends 1.96 of them to each side": error,
        "half_width: that is the full width, from end to end": 2 * 1.96 * error,
        "half_width: that is a share; multiply it by 100 to get points": 1.96 * error / 100,
    }
    explain(half, wrong, lambda a, b: bool(np.isclose(a, b, rtol=0.1)))
    if not np.isclose(half, 1.96 * error, rtol=0.15):
        raise NotYet("half_width: 100 · 1.96 · √(p (1 − p) / n), where p is the accuracy as a share")
    return "Right."


@hints(
    "Only images on which exactly one of the two is right count: first & ~second, and second & ~first.",
    "With k the smaller of the two counts and n their sum, add comb(n, i) for i from 0 to k, and divide by 2**n.",
    "min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n): range ends before its second number.",
)
def mcnemar_p(answer: Callable) -> str:
    """Exercise 2: ``answer(first, second)``, (N,) bool each → McNemar's exact two-sided p."""
    first = np.array([True] * 9 + [False] * 1 + [True] * 30 + [False] * 10)
    second = np.array([False] * 9 + [True] * 1 + [True] * 30 + [False] * 10)
    found = number(answer(first.copy(), second.copy()))
    wrong = {
        "that is one tail; the two-sided p is twice as large": 11 / 1024,
        "that is the probability of exactly this split; p also counts more extreme ones, in both directions": 10
        / 1024,
        "that is twice the probability of exactly this split; count the more extreme ones too": 20 / 1024,
        "that is the χ² approximation without correction; ten disagreements are few, so count exactly": 0.0114,
        "that is the χ² approximation with correction; ten disagreements are few, so count exactly": 0.0269,
        "that is the number of images on which they disagree; p is a probability": 10.0,
        "that is the difference of the accuracies; p is a probability": 8 / 50,
        "that counts all images; those on which both are right, or both wrong, do not count": 2
        * sum(math.comb(50, i) for i in range(12))
        / 2**50,
        "that is 1 − p": 1 - 22 / 1024,
    }
    explain(found, wrong, lambda a, b: bool(np.isclose(a, b, rtol=0.01)))
    if not np.isclose(found, 22 / 1024):
        raise NotYet(
            "the two disagree on 10 images, and the second is right on one of them: p = 2 (1 + 10) / 2**10 = "
            f"{22 / 1024:.4f}; your function gives {found:.4f}. Images on which both are right, or both wrong, do "
            "not count"
        )
    try:
        even = [number(answer(a, b)) for a, b in ((first, first), (first[[0, 9]], second[[0, 9]]))]
    except NotYet:
        raise
    except Exception as error:
        raise NotYet(
            f"your function fails ({type(error).__name__}) if the two never disagree; p is 1 then"
        ) from error
    if not np.allclose(even, 1.0):
        raise NotYet(
            "p is 1 if the two agree, or win equally often; your function gives "
            f"{even[0]:.3g} and {even[1]:.3g}"
        )
    if not np.isclose(number(answer(second, first)), mcnemar(second, first)):
        raise NotYet("correct, but not with first and second exchanged: take the smaller of the two counts")
    return "Right."


@hints(
    "For each network: its highest accuracy, and its accuracy in the last epoch.",
    "The highest of each row is `curves.max(1)`, the last column `curves[:, -1]`.",
    "Subtract the two and take the mean over the networks: `(curves.max(1) - curves[:, -1]).mean()`.",
)
def optimism(answer: Callable) -> str:
    """Exercise 3: ``answer(curves)``, (networks, epochs) → mean of the best test epochs minus mean of the last."""
    curves = np.array([[80.0, 90.0, 86.0], [88.0, 82.0, 84.0]])
    found = number(answer(curves.copy()), ": take the mean over the networks")
    wrong = {
        "you choose one epoch for all networks; take the best epoch of each network": 1.0,
        "that is the mean of the best epochs; subtract the mean of the last ones": 89.0,
        "that is last minus best; return best minus last": -4.0,
        "that is the best of all networks minus the mean; take the best epoch of each network": 5.0,
        "you take the best network of each epoch; take the best epoch of each network: max over axis 1": 3.0,
        "that is the sum over the networks; return the mean": 8.0,
    }
    explain(found, wrong)
    if not np.isclose(found, 4.0):
        raise NotYet(
            f"the best epochs are 90 and 88, the last 86 and 84, so the answer is 4; your function gives {found:g}"
        )
    other = np.array([[50.0, 60.0, 70.0, 65.0], [40.0, 30.0, 20.0, 35.0], [1.0, 3.0, 2.0, 2.0]])
    if not np.isclose(number(answer(other)), 11 / 3):
        raise NotYet("correct for two networks, wrong for three: is a number written into your function?")
    return "Right."
