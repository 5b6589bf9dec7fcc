"""The check of chapter 00's exercise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gholm_kit.teaching.checks.answers import NotYet, close, explain, number


def accuracy(answer: Callable) -> str:
    """Exercise of chapter 00: eq. (13), ``answer(predicted, label)`` → share of correct predictions."""
    predicted, label = np.array([3, 1, 2, 2, 0]), np.array([3, 1, 2, 0, 0])
    found = number(answer(predicted, label), ": add up the correct ones")
    wrong = {
        "that is T_num, the number of correct predictions; divide it by A_num, the number of images": 4.0,
        "that is in percent; eq. (13) is a share between 0 and 1": 80.0,
        "that is the share of *wrong* predictions": 0.2,
        "you divided A_num by T_num; eq. (13) divides T_num by A_num": 1.25,
        "that is 0: did an integer division drop the fraction?": 0.0,
    }
    explain(found, wrong)
    if not close(found, 0.8):
        raise NotYet(
            f"4 of these 5 predictions are correct, so the answer is 0.8; your function gives {found:g}"
        )
    if not close(number(answer(predicted[:4], label[:4])), 0.75):
        raise NotYet("correct for five images, wrong for four: is the 5 written into your function?")
    return "Right."
