"""Checks of chapter 03: eq. (6), a fair control, and how much can be erased at all."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gholm_kit.teaching.checks import answers
from gholm_kit.teaching.checks.answers import NotYet, array, explain, fitting, heatmap, shaped, tensor
from gholm_kit.teaching.checks.verdict import hints
from gholm_lib import masking


@hints(
    "Write down a map of a few numbers whose maximum is 8 times its mean, and put both thresholds into it.",
    "A lower threshold lets more pixels pass. And a place that is as likely as any other is covered how often?",
    "Half of 8 means is 4 means; 2 means is lower than 4; a mask of 24 % covers each place with probability 24 %.",
)
def predictions(guess: dict) -> str:
    """Exercise 1: two rules and a control, predicted before anything is run."""
    questions = {
        "ws_dan_in_means": (
            4,
            {0.5: "0.5 is in units of the *maximum*; how many means is half of eight means?"},
            "the maximum is 8 means; half of it is ...",
        ),
        "erases_more": (
            "mean",
            {"max": "by the maximum, the threshold is 4 means, by the mean 2: which lets more pixels pass?"},
            'write "mean" or "max"',
        ),
        "moved_removes": (
            24,
            {
                0: "a shape at a random place sometimes meets the deciding parts, too",
                50: "a shape that covers 24 % of the picture cannot cover half of them on average",
            },
            "every place in the picture is equally likely to be covered: how likely is that?",
        ),
    }
    return answers.predictions(guess, questions)


@hints(
    "Compare heat with theta times the mean of each picture. Both are (B,): give them two more axes first.",
    "`.view(-1, 1, 1)` makes (B,) into (B, 1, 1); the mask (B, H, W) needs an axis for colours: `mask[:, None]`.",
    "With mask = heat > (theta * heat.mean((1, 2))).view(-1, 1, 1), return `images.masked_fill(mask[:, None], 0)`.",
)
def erase_attended(answer: Callable) -> str:
    """Exercise 2: eq. (6), ``answer(images, heat, theta)``: (B, 3, H, W), (B, H, W), (B,) → (B, 3, H, W)."""
    # B, 3, H and W differ; the means are 3 and 0.4; each usual mistake erases something of its own.
    heat = torch.tensor(
        [
            [
                [7.0, 3.0, 2.0, 0.0, 4.8],
                [1.4, 5.0, 2.6, 3.4, 0.8],
                [6.0, 0.2, 1.8, 4.0, 3.2],
                [2.2, 4.4, 1.0, 5.2, 2.0],
            ],
            [
                [0.9, 0.5, 0.1, 0.1, 0.3],
                [0.6, 0.2, 0.8, 0.4, 0.3],
                [0.7, 0.1, 0.5, 0.2, 0.4],
                [0.3, 0.6, 0.2, 0.5, 0.3],
            ],
        ]
    )
    theta = torch.tensor([1.5, 0.6])
    images = torch.arange(1.0, 121.0).view(2, 3, 4, 5)
    given = images.clone()
    found = fitting(
        answer,
        given,
        heat.clone(),
        theta.clone(),
        shapes="theta and the mean are (B,), heat is (B, H, W), images are (B, 3, H, W); add the missing axes with "
        ".view(-1, 1, 1) and mask[:, None]",
    )
    found = shaped(tensor(found), tuple(images.shape), "there is one erased image for each image").float()
    if not torch.equal(given, images):
        raise NotYet("your function changes the images it is given, but Raw still needs them: make a copy")
    mean, each = heat.mean((1, 2), keepdim=True), theta.view(-1, 1, 1)
    masks = {
        "that keeps the attended region and erases the rest; do the opposite": heat <= each * mean,
        "that compares with theta itself; eq. (6) compares with theta times the mean": heat > each,
        "that uses the maximum instead of the mean: it is WS-DAN's rule, not eq. (6)": (
            heat > each * heat.amax((1, 2), keepdim=True)
        ),
        "that takes one mean over the whole batch; each image has its own": heat > each * heat.mean(),
        "that compares with the mean alone: where is theta?": heat > mean,
        "that takes one mean for each row; the mean is over all pixels of an image": (
            heat > each * heat.mean(2, keepdim=True)
        ),
        "that uses the first theta for all images; each image has its own": heat > theta[0] * mean,
    }
    wrong = {reason: images.masked_fill(mask[:, None], 0) for reason, mask in masks.items()}
    explain(found, wrong | {"nothing was erased": images}, torch.equal)
    wanted = images.masked_fill((heat > each * mean)[:, None], 0)
    if not torch.equal(found, wanted):
        if torch.equal(found[:, 1:], images[:, 1:]):
            raise NotYet(
                "only the first colour channel is erased; the mask must reach all three: mask[:, None]"
            )
        count = int((found != wanted).sum())
        raise NotYet(
            f"{count} of {found.numel()} numbers differ from eq. (6); erased pixels become 0, others stay"
        )
    return "Right."


@hints(
    "What leaves at the bottom must come in at the top. PyTorch has one function for that.",
    "`mask.roll(shifts, dims)` moves along the axes `dims`; rows are axis 0, columns axis 1.",
    "`mask.roll((down, across), (0, 1))` moves down and across at once.",
)
def move(answer: Callable) -> str:
    """Exercise 3: a mask moved with wrap-around, ``answer(mask, down, across)``: (H, W) bool → (H, W) bool."""
    mask = torch.zeros(6, 8, dtype=torch.bool)
    mask[3:6, 5:7] = True
    mask[5, 7] = True
    given = mask.clone()
    found = shaped(answer(given, 2, 3), tuple(mask.shape), "the answer is a moved mask")
    if not torch.equal(given, mask):
        raise NotYet("your function changes the mask it is given: make a new one")
    plain = array(found, "a mask")
    if plain.dtype != bool:
        raise NotYet(f"a mask says yes or no: return True and False (bool), not {plain.dtype}")
    found = torch.as_tensor(plain)
    if found.sum() != mask.sum():
        lost = f"{int(mask.sum())} pixels went in, {int(found.sum())} came out"
        raise NotYet(f"{lost}: what leaves at one edge must enter at the opposite one, or the areas differ")
    wrong = {
        "the mask did not move": mask,
        "down and across are swapped": mask.roll((3, 2), (0, 1)),
        "it moves up and to the left; row y goes to y + down": mask.roll((-2, -3), (0, 1)),
        "it moves down only": mask.roll(2, 0),
        "it moves across only": mask.roll(3, 1),
        "it is moved as one long row of pixels, not as a picture: name the axes": mask.roll(2 * 8 + 3),
    }
    explain(found, wrong, torch.equal)
    if not torch.equal(found, mask.roll((2, 3), (0, 1))):
        raise NotYet(
            "the area is right, but not the shape: scattered pixels hide less of a part than one patch does"
        )
    return "Right."


@hints(
    "Try a map of two values, 0 and 1: how large may the hot part be before its own mean catches up with it?",
    "If a share s has the value 1 and the rest 0, the mean is s, and the threshold is 1.5 s. It must stay below 1.",
    "s must be above 0.60 and below 1 / 1.5 = 0.667: for example, 64 of 100 columns set to 1.",
)
def erases_most(answer: Callable, theta: float = 1.5, wanted: float = 0.6) -> str:
    """Exercise 4: ``answer()`` → a heatmap (H, W) of which eq. (6) erases more than ``wanted`` at ``theta``."""
    heat = heatmap(answer())
    gone = float(masking.threshold(heat[None], theta).float().mean())
    if gone == 0 and heat.max() == heat.min():
        raise NotYet(f"a flat map is nowhere above {theta:g} times its own mean, so nothing is erased")
    if gone == 0:
        raise NotYet(f"nothing is above {theta:g} means: make the cold part colder or the hot part smaller")
    if gone <= wanted:
        raise NotYet(
            f"{100 * gone:.0f} % is erased, but it must be more than {100 * wanted:.0f} %. Heat far above the "
            "threshold is wasted, as it raises the mean: make a large part just hot enough, and the rest 0"
        )
    return "Right."
