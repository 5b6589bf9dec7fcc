"""Checks of chapter 03: eq. (6), a fair control, and how much can be erased at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from gholm_kit.teaching.checks.answers import NotYet
from gholm_lib import masking


def predictions(guess: dict) -> str:
    """Exercise 1: two rules and a control, predicted before anything is run."""
    reasons = {
        "ws_dan_in_means": (
            4,
            {0.5: "0.5 is in units of the *maximum*; how many means is half of eight means?"},
            "the maximum is 8 means; half of it is ...",
        ),
        "erases_more": (
            "mean",
            {
                "max": "by the max the threshold lies at 4 means, by the mean at 2: which lets more pixels pass?"
            },
            'write "mean" or "max"',
        ),
        "moved_removes": (
            24,
            {
                0: "a shape at a random place sometimes meets the deciding places, too",
                50: "a shape that covers 24 % of the picture cannot meet half of it on average",
            },
            "each place of the picture is as likely as any other to be covered: how likely is that?",
        ),
    }
    for name, (right, wrong, hint) in reasons.items():
        said = guess.get(name, ...)
        if said is ... or said is None:
            raise NotYet(f"{name}: write your answer in place of the dots")
        if said != right:
            raise NotYet(f"{name}: " + wrong.get(said, hint))
    return "Right."


def erase_attended(answer: Callable) -> str:
    """Exercise 2: eq. (6), ``answer(images, heat, theta)``: (B, 3, H, W), (B, H, W), (B,) → (B, 3, H, W)."""
    heat = torch.tensor([[[7.0, 3.0], [2.0, 0.0]], [[0.9, 0.5], [0.1, 0.1]]])  # means 3 and 0.4
    theta = torch.tensor([1.5, 0.6])
    images = torch.arange(1.0, 25.0).view(2, 3, 2, 2)
    given = images.clone()
    try:
        found = answer(given, heat.clone(), theta.clone())
    except RuntimeError as error:
        raise NotYet(
            f"the shapes do not fit ({error}): theta and the mean are (B,), heat is (B, H, W), images are "
            "(B, 3, H, W); .view(-1, 1, 1) and mask[:, None] make room"
        ) from error
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    if not torch.is_tensor(found) or found.shape != images.shape:
        raise NotYet(
            f"images of the shape {tuple(images.shape)} are wanted, got {tuple(getattr(found, 'shape', ()))}"
        )
    if not torch.equal(given, images):
        raise NotYet("your function paints into the images it was given; Raw still needs them: make a copy")
    per_image = (theta * heat.mean((1, 2))).view(-1, 1, 1)
    masks = {
        "that keeps the attended region and erases the rest: it is the other way round": heat <= per_image,
        "that compares with theta itself; eq. (6) compares with theta times the mean": heat
        > theta.view(-1, 1, 1),
        "that takes the maximum in place of the mean: it is WS-DAN's rule, not eq. (6)": heat
        > theta.view(-1, 1, 1) * heat.amax((1, 2), keepdim=True),
        "that takes one mean over the whole batch; each image has its own": heat
        > theta.view(-1, 1, 1) * heat.mean(),
        "that uses the first theta for all images; theta is one number for each image": heat
        > theta[0] * heat.mean((1, 2), keepdim=True),
    }
    wanted = images.masked_fill((heat > per_image)[:, None], 0)
    if not torch.equal(found, wanted):
        for reason, mask in masks.items():
            if torch.equal(found, images.masked_fill(mask[:, None], 0)):
                raise NotYet(reason)
        if torch.equal(found, images):
            raise NotYet("nothing was erased")
        if torch.equal(found[:, 1:], images[:, 1:]):
            raise NotYet(
                "only the first colour channel is erased: the mask has to reach all three, mask[:, None]"
            )
        wrong = int((found != wanted).sum())
        raise NotYet(
            f"{wrong} of {found.numel()} numbers are not what eq. (6) gives; erased pixels become 0, others stay"
        )
    return "Right."


def move(answer: Callable) -> str:
    """Exercise 3: a mask moved round the edges, ``answer(mask, down, across)``: (H, W) bool → (H, W) bool."""
    mask = torch.zeros(6, 8, dtype=torch.bool)
    mask[3:6, 5:7] = True
    mask[5, 7] = True
    given = mask.clone()
    found = answer(given, 2, 3)
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    found = torch.as_tensor(np.asarray(found))
    if found.shape != mask.shape:
        raise NotYet(f"a mask of the same shape {tuple(mask.shape)} is wanted, got {tuple(found.shape)}")
    if not torch.equal(given, mask):
        raise NotYet("your function changes the mask it was given: make a new one")
    found = found.bool()
    if found.sum() != mask.sum():
        lost = f"{int(mask.sum())} pixels went in, {int(found.sum())} came out"
        raise NotYet(f"{lost}: what leaves at one edge has to come in at the other, or the areas differ")
    wrong = {
        "the mask did not move": mask,
        "down and across are the other way round": mask.roll((3, 2), (0, 1)),
        "it moves up and to the left; row y goes to y + down": mask.roll((-2, -3), (0, 1)),
        "it moves down only": mask.roll(2, 0),
        "it moves across only": mask.roll(3, 1),
        "it is moved as one long row of pixels, not as a picture: name the axes": mask.roll(2 * 8 + 3),
    }
    if not torch.equal(found, mask.roll((2, 3), (0, 1))):
        for reason, moved in wrong.items():
            if torch.equal(found, moved):
                raise NotYet(reason)
        raise NotYet(
            "the area is right, the shape is not: scattered pixels hide a part less than one patch does"
        )
    return "Right."


def erases_most(heat: torch.Tensor | np.ndarray, theta: float = 1.5, wanted: float = 0.6) -> str:
    """Exercise 4: a heatmap (H, W) of which eq. (6) erases more than ``wanted`` at ``theta`` (at most 1 / theta)."""
    heat = torch.as_tensor(np.asarray(heat), dtype=torch.float32)
    if heat.ndim != 2:
        raise NotYet(f"one heatmap (H, W) is wanted, got the shape {tuple(heat.shape)}")
    if not torch.isfinite(heat).all() or (heat < 0).any():
        raise NotYet(
            "GradCAM ends with a ReLU: a heatmap is finite and never negative (with negative heat it is easy)"
        )
    gone = float(masking.threshold(heat[None], theta).float().mean())
    if gone == 0 and heat.max() == heat.min():
        raise NotYet(f"a flat map is nowhere above {theta:g} times its own mean: nothing is erased")
    if gone == 0:
        raise NotYet(
            f"nothing is above {theta:g} means: the cold part has to be colder, or smaller the hot part"
        )
    if gone <= wanted:
        raise NotYet(
            f"{100 * gone:.0f} % erased, more than {100 * wanted:.0f} % wanted. Heat far above the threshold is "
            "wasted, for it raises the mean: hot on a large part, barely; nothing elsewhere"
        )
    return "Right."
