"""Checks of chapter 02: eq. (4) and (5), the box, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from gholm_kit.teaching.checks import answers
from gholm_kit.teaching.checks.answers import NotYet, explain, heatmap, returned, shaped, tensor
from gholm_lib import masking


def predictions(guess: dict) -> str:
    """Exercise 1: three numbers, predicted before anything is run."""
    questions = {
        "empty_from": (
            4,
            {
                1: "1 is the value of the hot quarter; eq. (5) compares it with μ times the map's *mean*",
                0.25: "0.25 is the mean; the hot quarter stops being above μ · 0.25 when μ is ...",
            },
            "the mean is a quarter of 1, and the hot pixels have the value 1: solve 1 = μ · mean",
        ),
        "flat_crop": (
            100,
            {
                0: "nothing is above 1.7 times its own mean, so the mask is empty; and then? (see the text above)"
            },
            "a flat map's mask is empty; what does the kit crop then?",
        ),
        "after_doubling": (
            20,
            {
                40: "the map doubles, but so does its mean",
                10: "the map doubles, but so does its mean",
            },
            "both sides of heat > μ · mean double",
        ),
    }
    return answers.predictions(guess, questions)


def crop_mask(answer: Callable) -> str:
    """Exercise 2: eq. (4)-(5), ``answer(heat, mu)``: (B, H, W) → (B, H, W) bool."""
    # Means 3.15 and 0.56; the numbers are such that each usual mistake gives a mask of its own.
    heat = torch.tensor([[[8.0, 3.3], [1.3, 0.0]], [[1.4, 0.3], [0.35, 0.2]]])
    found = shaped(tensor(answer(heat.clone(), 1.2)), tuple(heat.shape), "each heat value gets a mask value")
    if found.dtype != torch.bool:
        raise NotYet(
            "a mask says yes or no: return the comparison itself (bool), not 0 and 1 and not heat times mask"
        )
    abar = heat.mean((1, 2), keepdim=True)
    wrong = {
        "that compares with μ itself; eq. (5) compares with μ times the mean abar": heat > 1.2,
        "that takes one mean over the whole batch; each image has its own abar: mean((1, 2), keepdim=True)": (
            heat > 1.2 * heat.mean()
        ),
        "that uses the maximum as abar; eq. (4) is the mean": heat > 1.2 * heat.amax((1, 2), keepdim=True),
        "that is the inverted mask: it must be 1 where the heat is *above* μ · abar": heat <= 1.2 * abar,
        "that compares with the mean alone: where is μ?": heat > abar,
        "that takes means along one axis only; abar is over all pixels of an image": (
            heat > 1.2 * heat.mean(2, keepdim=True)
        ),
    }
    right = masking.threshold(heat, 1.2)
    explain(found, wrong, torch.equal)
    if not torch.equal(found, right):
        raise NotYet(
            f"for heat {heat.tolist()} and μ = 1.2 the mask is {right.int().tolist()}; "
            f"yours is {found.int().tolist()}"
        )
    if answer(torch.zeros(1, 2, 2), 1.7).any():
        raise NotYet("a map of zeros must give an empty mask: eq. (5) has > and not >=")
    if not torch.equal(answer(heat.clone(), 2.5), masking.threshold(heat, 2.5)):
        raise NotYet("correct for μ = 1.2, wrong for μ = 2.5: did you write a number into the function?")
    return "Right."


def all_pixels_box(answer: Callable) -> str:
    """Exercise 3: the box around *all* mask pixels, ``answer(mask)``: (H, W) bool → x0, y0, x1, y1."""
    mask = torch.zeros(10, 12, dtype=torch.bool)
    mask[2:5, 1:5] = True
    mask[7, 9] = True  # the second component
    wrong = {
        "that is the box of the largest component; this time *all* mask pixels count": (1, 2, 5, 5),
        "x and y are swapped: x counts columns, y counts rows": (2, 1, 8, 10),
        "the box is half-open: x1 and y1 are one more than the last pixel's, or the last pixels are cut off": (
            (1, 2, 9, 7)
        ),
        "x and y are swapped, and the box is half-open (last pixel + 1)": (2, 1, 7, 9),
        "that is x0, y0, width, height; x1 = x0 + width": (1, 2, 9, 6),
        "that is the whole image": (0, 0, 12, 10),
    }
    found = _box(answer, mask)
    explain(found, wrong, tuple.__eq__)
    if found != (1, 2, 10, 8):
        raise NotYet(f"for rows 2 to 7 and columns 1 to 9 the box is [1, 2, 10, 8]; yours is {list(found)}")
    try:
        empty = _box(answer, torch.zeros(10, 12, dtype=torch.bool))
    except NotYet:
        raise
    except Exception as error:
        raise NotYet(
            f"correct, but an empty mask makes it fail ({type(error).__name__}), as WS-DAN's public code does; "
            "return the whole image then"
        ) from error
    if empty != (0, 0, 12, 10):
        raise NotYet(
            "correct, but for an empty mask of 10 rows and 12 columns return [0, 0, 12, 10], not "
            f"{list(empty)}"
        )
    return "Right."


def _box(answer: Callable, mask: torch.Tensor) -> tuple[int, ...]:
    numbers = tuple(int(v) for v in np.ravel(returned(answer(mask.clone()))))
    if len(numbers) != 4:
        raise NotYet(f"a box is four numbers x0, y0, x1, y1; your function returns {len(numbers)}")
    return numbers


def misses_the_peak(heat: torch.Tensor | np.ndarray, mu: float = 1.7) -> str:
    """Exercise 4: a heatmap (H, W) whose crop at ``mu`` leaves out the hottest pixel."""
    heat = heatmap(heat)
    mask = masking.threshold(heat[None], mu)
    if not mask.any():
        raise NotYet(
            "nothing is above μ · abar, so the crop is the whole image with its peak: make the map less flat"
        )
    peaks = (heat == heat.max()).nonzero()
    if len(peaks) > 1:
        raise NotYet(
            f"{len(peaks)} pixels share the maximum; make one the hottest, so that the peak is clear"
        )
    y, x = peaks[0].tolist()
    x0, y0, x1, y1 = masking.largest_component_boxes(mask)[0].tolist()
    if x0 <= x < x1 and y0 <= y < y1:
        hint = "put a second patch far from the peak, larger and cooler, but still above μ · abar"
        raise NotYet(f"the box {[x0, y0, x1, y1]} still contains the hottest pixel (x {x}, y {y}): {hint}")
    return "Right."
