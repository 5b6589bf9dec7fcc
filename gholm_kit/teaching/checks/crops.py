"""Checks of chapter 02: eq. (4) and (5), the box, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from gholm_kit.teaching.checks.answers import NotYet
from gholm_lib import masking


def predictions(guess: dict) -> str:
    """Exercise 1: three numbers, predicted before anything is run."""
    reasons = {
        "empty_from": (
            4,
            {
                1: "1 is the value of the hot quarter; eq. (5) compares it with μ times the map's *mean*",
                0.25: "0.25 is the mean; the hot quarter stops being above μ · 0.25 when μ is ...",
            },
            "the mean is a quarter of 1; the hot pixels have the value 1; solve 1 = μ · mean",
        ),
        "flat_crop": (
            100,
            {
                0: "nothing is above 1.7 times its own mean, so the mask is empty; and then? (see the text above)",
            },
            "a flat map's mask is empty; what does the kit crop then?",
        ),
        "after_doubling": (
            20,
            {
                40: "the map doubles, but so does its mean",
                10: "the map doubles, but so does its mean",
            },
            "both sides of heat > μ · mean are doubled",
        ),
    }
    for name, (right, wrong, hint) in reasons.items():
        said = guess.get(name, ...)
        if said is ... or said is None:
            raise NotYet(f"{name}: write a number in place of the dots")
        if not np.isclose(float(said), right):
            raise NotYet(f"{name}: " + wrong.get(said, hint))
    return "Right."


def crop_mask(answer: Callable) -> str:
    """Exercise 2: eq. (4)-(5), ``answer(heat, mu)``: (B, H, W) → (B, H, W) bool."""
    # Means 3.15 and 0.56; the numbers are such that each usual mistake gives a mask of its own.
    heat = torch.tensor([[[8.0, 3.3], [1.3, 0.0]], [[1.4, 0.3], [0.35, 0.2]]])
    found = answer(heat.clone(), 1.2)
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    if not torch.is_tensor(found) or found.shape != heat.shape:
        shape = tuple(getattr(found, "shape", ()))
        raise NotYet(
            f"a mask of the heatmaps' shape {tuple(heat.shape)} is wanted, got {type(found).__name__} {shape}"
        )
    if found.dtype != torch.bool:
        raise NotYet(
            "a mask says yes or no: return the comparison itself (bool), not 0 and 1 and not heat times mask"
        )
    wrong = {
        "that compares with μ itself; eq. (5) compares with μ times the mean abar": heat > 1.2,
        "that takes one mean over the whole batch; each image has its own abar: mean((1, 2), keepdim=True)": (
            heat > 1.2 * heat.mean()
        ),
        "that takes the maximum for abar; eq. (4) is the mean": heat > 1.2 * heat.amax((1, 2), keepdim=True),
        "that is the mask upside down: 1 where the heat is *above* μ · abar": heat
        <= 1.2 * heat.mean((1, 2), keepdim=True),
        "that compares with the mean alone: where is μ?": heat > heat.mean((1, 2), keepdim=True),
        "that takes means along one axis only; abar is over all pixels of an image": heat
        > 1.2 * heat.mean(2, keepdim=True),
    }
    right = masking.threshold(heat, 1.2)
    if not torch.equal(found, right):
        for reason, mask in wrong.items():
            if torch.equal(found, mask):
                raise NotYet(reason)
        raise NotYet(
            f"for heat {heat.tolist()} and μ = 1.2 the mask is {right.int().tolist()}, yours {found.int().tolist()}"
        )
    if answer(torch.zeros(1, 2, 2), 1.7).any():
        raise NotYet("a map of zeros must give an empty mask: eq. (5) says > and not >=")
    if not torch.equal(answer(heat.clone(), 2.5), masking.threshold(heat, 2.5)):
        raise NotYet("right for μ = 1.2, wrong for μ = 2.5: did you write a number into the function?")
    return "Right."


def all_pixels_box(answer: Callable) -> str:
    """Exercise 3: the box round *all* mask pixels, ``answer(mask)``: (H, W) bool → x0, y0, x1, y1."""
    mask = torch.zeros(10, 12, dtype=torch.bool)
    mask[2:5, 1:5] = True
    mask[7, 9] = True  # the second component
    found = _box(answer, mask)
    wrong = {
        (1, 2, 5, 5): "that is the largest component's box; this time *all* mask pixels count",
        (2, 1, 8, 10): "x and y are the other way round: x counts columns, y counts rows",
        (1, 2, 9, 7): "the box is half open: x1 and y1 are one more than the last pixel's, or it is cut off",
        (2, 1, 7, 9): "x and y are the other way round, and the box is half open (last pixel + 1)",
        (1, 2, 9, 6): "that is x0, y0, width, height; x1 = x0 + width",
        (0, 0, 12, 10): "that is the whole image",
    }
    if found != (1, 2, 10, 8):
        raise NotYet(
            wrong.get(
                found, f"for rows 2 to 7 and columns 1 to 9 the box is [1, 2, 10, 8], yours {list(found)}"
            )
        )
    try:
        empty = _box(answer, torch.zeros(10, 12, dtype=torch.bool))
    except NotYet:
        raise
    except Exception as error:
        raise NotYet(
            f"right, but an empty mask crashes it ({type(error).__name__}), as it does WS-DAN's public code; "
            "give the whole image then"
        ) from error
    if empty != (0, 0, 12, 10):
        raise NotYet(
            f"right, but for an empty mask of 10 rows and 12 columns give [0, 0, 12, 10], not {list(empty)}"
        )
    return "Right."


def _box(answer: Callable, mask: torch.Tensor) -> tuple[int, ...]:
    found = answer(mask.clone())
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    numbers = tuple(int(v) for v in np.ravel(found))
    if len(numbers) != 4:
        raise NotYet(f"four numbers x0, y0, x1, y1 are wanted, your function returns {len(numbers)}")
    return numbers


def misses_the_peak(heat: torch.Tensor | np.ndarray, mu: float = 1.7) -> str:
    """Exercise 4: a heatmap (H, W) whose crop at ``mu`` leaves out the hottest pixel."""
    heat = torch.as_tensor(np.asarray(heat), dtype=torch.float32)
    if heat.ndim != 2:
        raise NotYet(f"one heatmap (H, W) is wanted, got the shape {tuple(heat.shape)}")
    if not torch.isfinite(heat).all() or (heat < 0).any():
        raise NotYet("GradCAM ends with a ReLU: a heatmap is finite and never negative")
    mask = masking.threshold(heat[None], mu)
    if not mask.any():
        raise NotYet(
            "nothing is above μ · abar, so the crop is the whole image, peak included: make it less flat"
        )
    peaks = (heat == heat.max()).nonzero()
    if len(peaks) > 1:
        same = len(peaks)
        raise NotYet(
            f"{same} pixels share the maximum; let one pixel be the hottest, so that it is clear what is missed"
        )
    y, x = peaks[0].tolist()
    x0, y0, x1, y1 = masking.largest_component_boxes(mask)[0].tolist()
    if x0 <= x < x1 and y0 <= y < y1:
        hint = "put a second, larger and cooler patch far from the peak, and still above μ · abar"
        raise NotYet(f"the box {[x0, y0, x1, y1]} still holds the hottest pixel (x {x}, y {y}): {hint}")
    return "Right."
