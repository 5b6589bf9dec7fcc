"""Checks of chapter 06: what the figures show, and who chose the pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gholm_kit.teaching.checks.answers import NotYet, array, explain, predictions, shaped
from gholm_kit.teaching.checks.verdict import hints

_HEAD_ONLY = "eq. (1) differentiates the *head* alone: nothing goes through the backbone again"
_HINT = "follow Figure 2 and count the arrows that lead into a ConvNeXt box"


@hints(
    "Count the pictures that go into a ConvNeXt box: the image, its crop, its erased copy. Which at test time?",
    "The test leaves Drop out. And how far back does the gradient of eq. (1) run?",
    "Three in training, two at test time; eq. (1) differentiates the head alone, so it adds nothing.",
)
def passes(guess: dict) -> str:
    """Exercise 1: how often one image goes through the backbone, read off Figure 2."""
    questions = {
        "training": (
            3,
            {
                1: "the crop and the erased image go through the backbone too",
                2: "Drop is trained as well; only the test leaves it out",
                4: "there are four losses, but L_c uses the vectors of Raw and Crop that are there already",
            },
            _HINT,
        ),
        "test": (
            2,
            {1: "Raw alone would be one; the answer is Raw + Crop", 3: "Drop is for training only"},
            _HINT,
        ),
        "gradient": (0, {1: _HEAD_ONLY, 2: _HEAD_ONLY}, _HINT),
    }
    return predictions(guess, questions)


@hints(
    "First draw `count` different classes, then one image of each.",
    "`rng.choice(np.unique(labels), count, replace=False)` draws classes; `np.flatnonzero(labels == k)` are images.",
    "rng = np.random.default_rng(seed); for each drawn class k take rng.choice(np.flatnonzero(labels == k)).",
)
def random_pick(answer: Callable) -> str:
    """Exercise 2: ``answer(labels, count, seed)`` → ``count`` images of different classes, chosen by nobody."""
    labels = np.repeat(np.arange(8), 25)

    def pick(seed: int) -> np.ndarray:
        return array(
            shaped(answer(labels.copy(), 4, seed), (4,), "count = 4 asks for four indices"), "indices"
        )

    first = pick(0)
    if not np.issubdtype(first.dtype, np.integer) or first.min() < 0 or first.max() >= len(labels):
        raise NotYet(
            f"return positions in `labels`, whole numbers from 0 to {len(labels) - 1}, not {first.tolist()}"
        )
    if not np.array_equal(first, pick(0)):
        raise NotYet("a second call with the same seed gives other images: use np.random.default_rng(seed)")
    picks = np.array([pick(seed) for seed in range(40)])
    if (picks == picks[0]).all():
        raise NotYet("every seed gives the same images: draw them with np.random.default_rng(seed)")
    shown = labels[picks]
    if any(len(set(row)) < 4 for row in shown):
        raise NotYet("sometimes two images are of one class: first draw the classes, without replacement")
    if len(np.unique(shown)) < 8:
        raise NotYet("some classes never appear in 40 seeds: draw from all classes")
    if len(np.unique(picks % 25)) < 15:
        raise NotYet("the same images of a class come every time: draw from all images of the class")
    return "Right."


@hints(
    "np.argsort gives the *positions* in ascending order of the values.",
    "To get the largest first, sort the negative values, or reverse the order; then take the first `count`.",
    "`np.argsort(-kept)[:count]`.",
)
def flattering(answer: Callable) -> str:
    """Exercise 3: ``answer(kept, count)`` → the images whose crop keeps most of the deciding parts, best first."""
    kept = np.array([0.2, 0.9, 0.1, 1.0, 0.5, 0.7])
    wanted = "count = 3 asks for three indices"
    found = array(shaped(answer(kept.copy(), 3), (3,), wanted), "indices")
    if found.dtype.kind == "f":
        raise NotYet("those are the shares themselves; return the *positions* of the images (np.argsort)")
    wrong = {
        "those are the three worst: np.argsort sorts in ascending order": [2, 0, 4],
        "those are the images in their own order; the best comes first": [1, 3, 5],
        "those are the first three images; sort them by `kept`": [0, 1, 2],
        "those are the right images, but the best comes last: reverse the order": [5, 1, 3],
    }
    explain(found.tolist(), wrong, list.__eq__)
    if found.tolist() != [3, 1, 5]:
        raise NotYet(f"images 3, 1 and 5 keep 100, 90 and 70 %; your function gives {found.tolist()}")
    if array(answer(np.array([0.3, 0.1, 0.8, 0.6]), 2), "indices").tolist() != [2, 3]:
        raise NotYet("correct for one list, wrong for another: is a number written into your function?")
    return "Right. (And now you know how such a figure is made.)"
