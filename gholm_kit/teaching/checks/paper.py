"""Checks of chapter 06: what the figures show, and who chose the pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gholm_kit.teaching.checks.answers import NotYet


def passes(guess: dict) -> str:
    """Exercise 1: how often one image goes through the backbone, read off Figure 2."""
    reasons = {
        "training": (
            3,
            {
                1: "the crop and the erased image go through the backbone too",
                2: "Drop is trained as well; only the test leaves it out",
                4: "there are four losses, but L_c uses the vectors of Raw and Crop that are there already",
            },
        ),
        "test": (
            2,
            {
                1: "Raw alone would be one; the answer is Raw + Crop",
                3: "Drop is for training only",
            },
        ),
        "gradient": (
            0,
            {
                1: "the gradient of eq. (1) is taken of the *head* alone: the backbone is not gone through again",
                2: "the gradient of eq. (1) is taken of the *head* alone: the backbone is not gone through again",
            },
        ),
    }
    for name, (right, wrong) in reasons.items():
        said = guess.get(name, ...)
        if said is ... or said is None:
            raise NotYet(f"{name}: write a number in place of the dots")
        if said != right:
            raise NotYet(
                f"{name}: {wrong.get(said, 'follow Figure 2 and count the arrows that lead into a ConvNeXt box')}"
            )
    return "Right."


def random_pick(answer: Callable) -> str:
    """Exercise 2: ``answer(labels, count, seed)`` → ``count`` images of different classes, which nobody chose."""
    labels = np.repeat(np.arange(8), 25)
    found = answer(labels.copy(), 4, 0)
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    first = np.asarray(found)
    if first.shape != (4,):
        raise NotYet(f"four indices are wanted for count = 4, got shape {first.shape}")
    if not np.issubdtype(first.dtype, np.integer) or first.min() < 0 or first.max() >= len(labels):
        raise NotYet(
            f"whole numbers from 0 to {len(labels) - 1} are wanted: places in `labels`; got {first.tolist()}"
        )
    if not np.array_equal(first, np.asarray(answer(labels.copy(), 4, 0))):
        raise NotYet("called twice with the same seed it gives other images: use np.random.default_rng(seed)")
    picks = np.array([np.asarray(answer(labels.copy(), 4, seed)) for seed in range(40)])
    if (picks == picks[0]).all():
        raise NotYet("every seed gives the same images: draw them from np.random.default_rng(seed)")
    shown = labels[picks]
    if any(len(set(row)) < 4 for row in shown):
        raise NotYet(
            "sometimes two of the images are of one class: draw the classes without replacement first"
        )
    if len(np.unique(shown)) < 8:
        raise NotYet("over 40 seeds some classes never appear: draw the classes from all of them")
    if len(np.unique(picks % 25)) < 15:
        raise NotYet("it always takes the same images of a class: draw among all images of the class")
    return "Right."


def flattering(answer: Callable) -> str:
    """Exercise 3: ``answer(kept, count)`` → the images whose crop keeps most of the deciding parts, best first."""
    kept = np.array([0.2, 0.9, 0.1, 1.0, 0.5, 0.7])
    found = answer(kept.copy(), 3)
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    found = np.asarray(found)
    if found.shape != (3,):
        raise NotYet(f"three indices are wanted for count = 3, got shape {found.shape}")
    if found.dtype.kind == "f":
        raise NotYet("those are the shares themselves; the *places* of the images are wanted (np.argsort)")
    if found.tolist() == [2, 0, 4]:
        raise NotYet("those are the three worst: np.argsort sorts upwards")
    if found.tolist() == [5, 1, 3]:
        raise NotYet("the right images, the best last; turn them round")
    if found.tolist() != [3, 1, 5]:
        raise NotYet(f"the images 3, 1, 5 keep 100, 90 and 70 %; your function gives {found.tolist()}")
    return "Right. (And now you know how such a figure is made.)"
