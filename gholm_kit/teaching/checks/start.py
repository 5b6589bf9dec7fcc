"""The check of chapter 00's exercise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gholm_kit.teaching.checks.answers import NotYet


def accuracy(answer: Callable) -> str:
    """Exercise of chapter 00: eq. (13), ``answer(predicted, label)`` → share of right predictions."""
    predicted, label = np.array([3, 1, 2, 2, 0]), np.array([3, 1, 2, 0, 0])
    found = answer(predicted, label)
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    if np.ndim(found):
        raise NotYet(f"one number is wanted, your function returns {np.shape(found)} of them: add them up")
    found = float(found)
    wrong = {
        4.0: "that is T_num, the number of right predictions; divide by A_num, the number of images",
        80.0: "that is in percent; eq. (13) is a share between 0 and 1",
        0.2: "that is the share of *wrong* predictions",
        1.25: "you divided A_num by T_num; eq. (13) has it the other way round",
        0.0: "that is 0: does an integer division throw the fraction away?",
    }
    if found in wrong:
        raise NotYet(wrong[found])
    if not np.isclose(found, 0.8):
        raise NotYet(f"4 of these 5 predictions are right, so 0.8 is wanted; your function gives {found:g}")
    if not np.isclose(float(answer(predicted[:4], label[:4])), 0.75):
        raise NotYet("right for five images, wrong for four: did you write 5 into the function?")
    return "Right."
