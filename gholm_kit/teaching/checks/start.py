"""The check of chapter 00's exercise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gholm_kit.teaching.checks.answers import NotYet, close, explain, number
from gholm_kit.teaching.checks.verdict import hints


@hints(
    "Two arrays of the same length can be compared with ==; the result says, image by image, whether the two agree.",
    "True counts as 1. How many agree, divided by how many there are?",
    "The mean of `predicted == label` is T_num / A_num.",
)
def accuracy(answer: Callable) -> str:
    """Exercise of chapter 00: eq. (13), ``answer(predicted, label)`` → share of correct predictions."""
    # Some classes come twice, so that comparing sets or sorted lists gives another share.
    predicted, label = np.array([3, 1, 2, 2, 2]), np.array([3, 1, 2, 2, 0])
    found = number(answer(predicted.copy(), label.copy()), ": add up the correct ones")
    wrong = {
        "that is T_num, the number of correct predictions; divide it by A_num, the number of images": 4.0,
        "that is in percent; eq. (13) is a share between 0 and 1": 80.0,
        "that is the share of *wrong* predictions": 0.2,
        "you divided A_num by T_num; eq. (13) divides T_num by A_num": 1.25,
        "you compare sets of classes, or sorted lists; compare the two arrays position by position": 0.6,
        "that is 0: did an integer division drop the fraction?": 0.0,
    }
    explain(found, wrong)
    if not close(found, 0.8):
        raise NotYet(
            f"4 of these 5 predictions are correct, so the answer is 0.8; your function gives {found:g}"
        )
    if not close(number(answer(predicted[1:].copy(), label[1:].copy())), 0.75):
        raise NotYet("correct for five images, wrong for four: is the 5 written into your function?")
    return "Right."
