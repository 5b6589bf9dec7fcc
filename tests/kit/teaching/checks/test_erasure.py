"""Chapter 03's checks: right answers pass, and each usual mistake is told for what it is."""

import pytest
import torch
import torch.nn.functional as F

import gholm_lib as g
from gholm_kit.teaching import checks

PREDICTIONS = {"ws_dan_in_means": 4, "erases_more": "mean", "moved_removes": 24}


def test_right_predictions_pass():
    assert checks.erasure.predictions(PREDICTIONS) == "Right."


@pytest.mark.parametrize(
    ("name", "said", "reason"),
    [
        ("ws_dan_in_means", ..., "replace the dots"),
        ("ws_dan_in_means", 0.5, "units of the .maximum"),
        ("ws_dan_in_means", 8, "half of it is"),
        ("erases_more", "max", "lets more pixels pass"),
        ("erases_more", "both", 'write "mean" or "max"'),
        ("moved_removes", 0, "sometimes meets"),
        ("moved_removes", 50, "cannot cover half"),
        ("moved_removes", 76, "how likely"),
    ],
)
def test_a_wrong_prediction_is_told_why(name, said, reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.erasure.predictions(PREDICTIONS | {name: said})


def level(heat, theta):
    return (theta * heat.mean((1, 2))).view(-1, 1, 1)


def fill(images, mask):
    return images.masked_fill(mask[:, None], 0)


def painted(images, heat, theta):
    images[g.threshold(heat, theta)[:, None].expand_as(images)] = 0
    return images


def one_channel(images, heat, theta):
    out = images.clone()
    out[:, 0][g.threshold(heat, theta)] = 0
    return out


def test_right_erasures_pass():
    assert checks.erasure.erase_attended(lambda x, h, t: g.erase(x, g.threshold(h, t))) == "Right."
    assert checks.erasure.erase_attended(lambda x, h, t: x * (h <= level(h, t))[:, None]) == "Right."


WRONG_ERASURES = {
    "returns nothing": lambda x, h, t: None,
    "the shapes do not fit": lambda x, h, t: x * (h <= level(h, t)).view(2, 1, 4, 1),
    "one erased image for each image": lambda x, h, t: h <= level(h, t),
    "changes the images it is given": painted,
    "do the opposite": lambda x, h, t: fill(x, h <= level(h, t)),
    "with theta itself": lambda x, h, t: fill(x, h > t.view(-1, 1, 1)),
    "maximum instead": lambda x, h, t: fill(x, h > t.view(-1, 1, 1) * h.amax((1, 2), keepdim=True)),
    "one mean over the whole batch": lambda x, h, t: fill(x, h > t.view(-1, 1, 1) * h.mean()),
    "where is theta": lambda x, h, t: fill(x, h > h.mean((1, 2), keepdim=True)),
    "one mean for each row": lambda x, h, t: fill(x, h > t.view(-1, 1, 1) * h.mean(2, keepdim=True)),
    "do not fit .*missing axes": lambda x, h, t: x * (h <= t * h.mean((1, 2))),
    "first theta": lambda x, h, t: fill(x, h > t[0] * h.mean((1, 2), keepdim=True)),
    "nothing was erased": lambda x, h, t: x,
    "only the first colour channel": one_channel,
    "differ from eq": lambda x, h, t: torch.zeros_like(x),
}


@pytest.mark.parametrize("reason", WRONG_ERASURES)
def test_a_wrong_erasure_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.erasure.erase_attended(WRONG_ERASURES[reason])


def test_right_moves_pass():
    assert checks.erasure.move(lambda m, down, across: m.roll((down, across), (0, 1))) == "Right."
    assert checks.erasure.move(lambda m, down, across: m.roll((down, across), (0, 1)).numpy()) == "Right."


def in_place(mask, down, across):
    mask.copy_(mask.roll((down, across), (0, 1)))
    return mask


def shuffled(mask, down, across):
    order = torch.randperm(mask.numel(), generator=torch.Generator().manual_seed(0))
    return mask.flatten()[order].view(mask.shape)


WRONG_MOVES = {
    "returns nothing": lambda m, down, across: None,
    "the answer is a moved mask": lambda m, down, across: m.flatten(),
    "changes the mask": in_place,
    "7 pixels went in, 0 came out": lambda m, down, across: F.pad(m, (across, 0, down, 0))[:6, :8],
    "did not move": lambda m, down, across: m.clone(),
    "down and across are swapped": lambda m, down, across: m.roll((across, down), (0, 1)),
    "up and to the left": lambda m, down, across: m.roll((-down, -across), (0, 1)),
    "down only": lambda m, down, across: m.roll(down, 0),
    "across only": lambda m, down, across: m.roll(across, 1),
    "one long row": lambda m, down, across: m.roll(down * m.shape[1] + across),
    "scattered pixels": shuffled,
}


@pytest.mark.parametrize("reason", WRONG_MOVES)
def test_a_wrong_move_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.erasure.move(WRONG_MOVES[reason])


def hot(share, rest=0.0, side=40):
    heat = torch.full((side * side,), rest)
    heat[: round(share * side * side)] = 1
    return heat.view(side, side)


def test_a_map_that_loses_most_passes():
    assert checks.erasure.erases_most(lambda: hot(0.65)) == "Right."
    assert checks.erasure.erases_most(lambda: hot(0.65).numpy()) == "Right."


WRONG_HEATS = {
    "one heatmap": hot(0.65)[None],
    "finite and never negative": hot(0.9) - 0.8,
    "a flat map": torch.ones(5, 5),
    "colder": hot(0.7),
    "25 % is erased": hot(0.25),
}


@pytest.mark.parametrize("reason", WRONG_HEATS)
def test_a_map_that_keeps_too_much_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.erasure.erases_most(lambda: WRONG_HEATS[reason])


@pytest.mark.parametrize("theta", [1.0, 1.5, 2.0])
def test_no_heatmap_loses_a_share_of_more_than_one_in_theta(theta):
    """Markov's inequality, on which the last exercise rests."""
    heat = (
        torch.rand(200, 9, 9, generator=torch.Generator().manual_seed(0))
        ** torch.linspace(0.1, 20, 200)[:, None, None]
    )
    assert (g.threshold(heat, theta).float().mean((1, 2)) < 1 / theta).all()
