"""Chapter 02's checks: right answers pass, and each usual mistake is told for what it is."""

import cv2
import numpy as np
import pytest
import torch

import gholm_lib as g
from gholm_kit.teaching import checks

PREDICTIONS = {"empty_from": 4, "flat_crop": 100, "after_doubling": 20}


def test_right_predictions_pass():
    assert checks.crops.predictions(PREDICTIONS) == "Right."


@pytest.mark.parametrize(
    ("name", "said", "reason"),
    [
        ("empty_from", ..., "empty_from: replace the dots"),
        ("empty_from", 1, "map's .mean"),
        ("empty_from", 0.25, "0.25 is the mean"),
        ("empty_from", 3, "solve 1"),
        ("flat_crop", 0, "the mask is empty; and then"),
        ("flat_crop", 50, "what does the kit crop"),
        ("after_doubling", 40, "so does its mean"),
        ("after_doubling", 10, "so does its mean"),
        ("after_doubling", 0, "both sides"),
    ],
)
def test_a_wrong_prediction_is_told_why(name, said, reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.crops.predictions(PREDICTIONS | {name: said})


def abar(heat):
    return heat.mean((1, 2), keepdim=True)


def test_right_masks_pass():
    assert checks.crops.crop_mask(g.threshold) == "Right."
    assert checks.crops.crop_mask(lambda heat, mu: heat / abar(heat) > mu) == "Right."


WRONG_MASKS = {
    "returns nothing": lambda heat, mu: None,
    "each heat value": lambda heat, mu: heat[0] > mu * heat[0].mean(),
    "it returns a list of 2": lambda heat, mu: (heat > mu * abar(heat)).tolist(),
    "comparison itself": lambda heat, mu: (heat > mu * abar(heat)).float(),
    "with μ itself": lambda heat, mu: heat > mu,
    "over the whole batch": lambda heat, mu: heat > mu * heat.mean(),
    "maximum as abar": lambda heat, mu: heat > mu * heat.amax((1, 2), keepdim=True),
    "one mean for each column": lambda heat, mu: heat > mu * heat.mean(1, keepdim=True),
    "not 0": lambda heat, mu: heat > mu * heat.mean(0, keepdim=True),
    "median": lambda heat, mu: heat > mu * heat.flatten(1).median(1).values[:, None, None],
    "divides by μ": lambda heat, mu: heat > abar(heat) / mu,
    "do not fit .*keepdim=True": lambda heat, mu: heat > mu * heat.mean((1, 2)),
    "not a NumPy array": lambda heat, mu: (heat > mu * abar(heat)).numpy(),
    "inverted mask": lambda heat, mu: heat <= mu * abar(heat),
    "where is μ": lambda heat, mu: heat > abar(heat),
    "one mean for each row": lambda heat, mu: heat > mu * heat.mean(2, keepdim=True),
    "> and not >=": lambda heat, mu: heat >= mu * abar(heat),
    "did you write a number": lambda heat, mu: heat > 1.2 * abar(heat),
    "24 mask values are wrong": lambda heat, mu: torch.ones_like(heat, dtype=torch.bool),
}


@pytest.mark.parametrize("reason", WRONG_MASKS)
def test_a_wrong_mask_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.crops.crop_mask(WRONG_MASKS[reason])


def all_pixels(mask):
    if not mask.any():
        return [0, 0, mask.shape[1], mask.shape[0]]
    y, x = mask.nonzero().T
    return [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]


def extent(mask):
    """x0, y0, x1, y1 of the last pixels, not half open; fails on an empty mask."""
    y, x = mask.nonzero().T
    return int(x.min()), int(y.min()), int(x.max()), int(y.max())


def test_a_right_box_passes():
    assert checks.crops.all_pixels_box(all_pixels) == "Right."
    assert checks.crops.all_pixels_box(lambda mask: torch.tensor(all_pixels(mask))) == "Right."


WRONG_BOXES = {
    "returns nothing": lambda mask: None,
    "four numbers": lambda mask: [1, 2],
    "largest component": lambda mask: g.largest_component_boxes(mask[None])[0],
    "x and y are swapped: x counts": lambda mask: [all_pixels(mask)[k] for k in (1, 0, 3, 2)],
    "the box is half-open: x1": extent,
    "swapped, and the box is half-open": lambda mask: [extent(mask)[k] for k in (1, 0, 3, 2)],
    "width, height": lambda mask: cv2.boundingRect(np.uint8(mask)),
    "corners are mixed up": lambda mask: [all_pixels(mask)[k] for k in (0, 2, 1, 3)],
    "four whole numbers": lambda mask: [v + 0.5 for v in all_pixels(mask)],
    "whole image": lambda mask: [0, 0, 12, 10],
    "yours": lambda mask: [1, 1, 10, 8],
    "empty mask makes it fail": lambda mask: [
        extent(mask)[0],
        extent(mask)[1],
        extent(mask)[2] + 1,
        extent(mask)[3] + 1,
    ],
    "for an empty mask of 10 rows": lambda mask: all_pixels(mask) if mask.any() else [0, 0, 0, 0],
}


@pytest.mark.parametrize("reason", WRONG_BOXES)
def test_a_wrong_box_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.crops.all_pixels_box(WRONG_BOXES[reason])


def patches(peak=(2, 2), warm=(slice(16, 28), slice(16, 28)), shape=(32, 32)):
    heat = torch.zeros(shape)
    heat[warm] = 3
    heat[peak] = 9
    return heat


def test_heat_that_misses_its_peak_passes():
    assert checks.crops.misses_the_peak(patches) == "Right."
    assert checks.crops.misses_the_peak(lambda: patches().numpy()) == "Right."


WRONG_HEATS = {
    "one heatmap": patches()[None],
    "never negative": patches() - 1,
    "finite": patches() / 0,
    "less flat": torch.ones(8, 8),
    "2 pixels share": patches(peak=([2, 2], [2, 3])),
    "pieces, as in noise": torch.rand(32, 32, generator=torch.Generator().manual_seed(0)),
    "still contains": patches(peak=(20, 20)),
}


@pytest.mark.parametrize("reason", WRONG_HEATS)
def test_heat_that_does_not_miss_its_peak_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.crops.misses_the_peak(lambda: WRONG_HEATS[reason])
