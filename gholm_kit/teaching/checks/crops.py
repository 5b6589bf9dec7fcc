"""Checks of chapter 02: eq. (4) and (5), the box, and what can go wrong with it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch

from gholm_kit.teaching.checks import answers
from gholm_kit.teaching.checks.answers import NotYet, array, explain, fitting, heatmap, shaped, tensor
from gholm_kit.teaching.checks.verdict import hints
from gholm_lib import masking

MOST_PIECES = 5  # of a heatmap that misleads on purpose; noise has many more


@hints(
    "Take a map of four pixels, one of value 1 and three of value 0, and try some values of μ.",
    "A mask is empty as soon as nothing is *above* μ times the mean. The text above says what is cropped then.",
    "1 > μ / 4 ends at μ = 4; an empty mask gives the whole picture; doubling changes both sides of eq. (5) alike.",
)
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


@hints(
    "First the mean of each picture, over its rows and columns: which axes of (B, H, W) are these?",
    "Keep these axes with length 1 (`keepdim=True`), so that each picture is compared with its own mean.",
    "abar is `heat.mean((1, 2), keepdim=True)`; return the comparison of heat with mu * abar.",
)
def crop_mask(answer: Callable) -> str:
    """Exercise 2: eq. (4)-(5), ``answer(heat, mu)``: (B, H, W) → (B, H, W) bool."""
    # B, H and W differ, and each usual mistake gives a mask of its own.
    heat = torch.tensor(
        [
            [[2.0, 3.4, 0.0, 0.0], [2.9, 0.6, 2.6, 3.3], [4.6, 3.3, 9.0, 0.2]],
            [[0.2, 0.6, 1.5, 0.0], [1.2, 0.0, 0.3, 0.8], [1.1, 0.4, 0.0, 0.1]],
        ]
    )
    found = fitting(
        answer, heat.clone(), 1.2, shapes="heat is (B, H, W), so the mean must be (B, 1, 1): keepdim=True"
    )
    found = shaped(tensor(found), tuple(heat.shape), "each heat value gets a mask value")
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
        "that takes one mean for each row; abar is over all pixels of an image": (
            heat > 1.2 * heat.mean(2, keepdim=True)
        ),
        "that takes one mean for each column; abar is over all pixels of an image": (
            heat > 1.2 * heat.mean(1, keepdim=True)
        ),
        "that takes the mean over the images; abar is over the pixels of one image: axes 1 and 2, not 0": (
            heat > 1.2 * heat.mean(0, keepdim=True)
        ),
        "that uses the median as abar; eq. (4) is the mean": (
            heat > 1.2 * heat.flatten(1).median(1).values.view(-1, 1, 1)
        ),
        "that divides by μ; eq. (5) multiplies the mean by it": heat > abar / 1.2,
    }
    right = masking.threshold(heat, 1.2)
    explain(found, wrong, torch.equal)
    if not torch.equal(found, right):
        count = int((found != right).sum())
        b, y, x = (found != right).nonzero()[0].tolist()
        raise NotYet(
            f"{count} of {found.numel()} mask values are wrong. For example, image {b} has the "
            f"mean {abar[b].item():.2f}, so at μ = 1.2 its threshold is {1.2 * abar[b].item():.2f}; the heat at row "
            f"{y}, column {x} is {heat[b, y, x]:g}, and your mask says {bool(found[b, y, x])}"
        )
    if answer(torch.zeros(1, 2, 3), 1.7).any():
        raise NotYet("a map of zeros must give an empty mask: eq. (5) has > and not >=")
    if not torch.equal(answer(heat.clone(), 2.5), masking.threshold(heat, 2.5)):
        raise NotYet("correct for μ = 1.2, wrong for μ = 2.5: did you write a number into the function?")
    return "Right."


@hints(
    "The box needs the smallest and the largest row, and the smallest and the largest column, of all True pixels.",
    "`mask.nonzero().T` gives their rows y and their columns x. The box is half open; and min() of nothing fails.",
    "[x.min(), y.min(), x.max() + 1, y.max() + 1], and for an empty mask [0, 0, number of columns, number of rows].",
)
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
        "that is x0, y0, width, height; x1 = x0 + width": (1, 2, 9, 6),
        "x and y are swapped, and the box is half-open (last pixel + 1)": (
            2,
            1,
            7,
            9,
        ),
        "the corners are mixed up: x0, y0, x1, y1, not x0, x1, y0, y1": (1, 10, 2, 8),
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
    found = array(answer(mask.clone()), "four numbers x0, y0, x1, y1")
    if found.size != 4:
        raise NotYet(f"a box is four numbers x0, y0, x1, y1; your function returns {found.size}")
    if found.dtype.kind == "b" or (found != found.round()).any():
        raise NotYet(f"a box is four whole numbers; your function returns {found.ravel().tolist()}")
    return tuple(int(v) for v in found.ravel())


@hints(
    "The largest component wins, however warm it is. Where could the hottest pixel be, then?",
    "Two patches that do not touch: a small one that is hotter, a large one that is still above μ times the mean.",
    "In `torch.zeros(32, 32)` set one pixel to 9, and 12 × 12 pixels far from it to 3.",
)
def misses_the_peak(answer: Callable, mu: float = 1.7) -> str:
    """Exercise 4: ``answer()`` → a heatmap (H, W) whose crop at ``mu`` leaves out the hottest pixel."""
    heat = heatmap(answer())
    mask = masking.threshold(heat[None], mu)
    if not mask.any():
        raise NotYet(
            "nothing is above μ · abar, so the crop is the whole image with its peak: make the map less flat"
        )
    pieces = cv2.connectedComponents(mask[0].numpy().astype(np.uint8))[0] - 1
    if pieces > MOST_PIECES:
        raise NotYet(
            f"what is above μ · abar falls into {pieces} pieces, as in noise, and then chance decides which is the "
            f"largest. Make a map with a few patches, at most {MOST_PIECES}"
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
