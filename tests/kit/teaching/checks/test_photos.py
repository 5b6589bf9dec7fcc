"""Chapter 09's exercises: typical wrong answers get their own reason, right ones pass."""

import numpy as np
import pytest
import torch

import gholm_lib as g
from gholm_kit.teaching.checks import photos as checks
from gholm_kit.teaching.checks.answers import NotYet


def losing(kept, order=lambda mus: mus):
    """The exercise with a rule of one's own: the first mu for which ``kept(heat, part, mu)`` is false."""

    def answer(heat, part, mus):
        return next((mu for mu in order(mus) if not kept(heat, part, mu)), None)

    return answer


def box_of(heat, mu):
    return g.largest_component_boxes(g.threshold(heat[None], mu))[0].tolist()


def inside(heat, part, mu):
    x0, y0, x1, y1 = box_of(heat, mu)
    return part[y0:y1, x0:x1].float().sum() / part.float().sum()


def inside_turned(heat, part, mu):
    x0, y0, x1, y1 = box_of(heat, mu)
    return part[x0:x1, y0:y1].float().sum() / part.float().sum()


def under_mask(heat, part, mu):
    return part[heat > mu * heat.mean()].float().sum() / part.float().sum()


def inside_whole_mask(heat, part, mu):
    rows, columns = np.nonzero((heat > mu * heat.mean()).numpy())
    if not len(rows):
        return 1.0
    return part[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].sum() / part.sum()


def absolute(heat, part, mu):
    x0, y0, x1, y1 = g.largest_component_boxes((heat > mu)[None])[0].tolist()
    return part[y0:y1, x0:x1].sum() / part.sum()


def last_that_keeps(heat, part, mus):
    first = losing(lambda *a: inside(*a) >= 0.5)(heat, part, mus)
    return mus[-1] if first is None else mus[mus.index(first) - 1]


def empty_is_lost(heat, part, mu):
    return inside(heat, part, mu) if (heat > mu * heat.mean()).any() else 0.0


WRONG_MUS = {
    "None for every picture": lambda heat, part, mus: None,
    r"the crop is the \*box\*": losing(lambda *a: under_mask(*a) >= 0.5),
    "largest connected component": losing(lambda *a: inside_whole_mask(*a) >= 0.5),
    "any of its pixels is outside": losing(lambda *a: inside(*a) == 1),
    "none of its pixels is inside": losing(lambda *a: inside(*a) > 0),
    "mu times the mean": losing(lambda *a: absolute(*a) >= 0.5),
    "mask is empty": losing(lambda *a: empty_is_lost(*a) >= 0.5),
    "x and y are swapped": losing(lambda *a: inside_turned(*a) >= 0.5),
    "last mu that still keeps": last_that_keeps,
    "last mu that loses": losing(lambda *a: inside(*a) >= 0.5, order=reversed),
    "never lost, so the answer is None; yours is 3": lambda heat, part, mus: (
        losing(lambda *a: inside(*a) >= 0.5)(heat, part, mus) or 3.0
    ),
    "first mu that loses the part is": lambda heat, part, mus: 1.7,
}


@pytest.mark.parametrize("reason", WRONG_MUS)
def test_a_wrong_losing_mu_is_told_why(reason):
    with pytest.raises(NotYet, match=reason):
        checks.losing_mu(WRONG_MUS[reason])


def test_a_right_losing_mu_passes_also_as_numpy_number():
    assert checks.losing_mu(losing(lambda *a: inside(*a) >= 0.5)).startswith("Right")
    right = losing(lambda *a: inside(*a) >= 0.5)
    as_numpy = lambda *a: None if right(*a) is None else np.float32(right(*a))  # noqa: E731
    assert checks.losing_mu(as_numpy).startswith("Right")


def flat(vector):
    return vector.view(1, -1, 1, 1).expand(1, -1, 4, 4)


WRONG_FEATURES = {
    "returns nothing": lambda w: None,
    "must return a tensor": lambda w: np.ones((1, w.shape[1], 4, 4)),
    r"A must be \(1, 5, h, w\)": lambda w: torch.ones(w.shape[1]),
    "NaN": lambda w: torch.full((1, w.shape[1], 4, 4), torch.nan),
    "all zero": lambda w: torch.zeros(1, w.shape[1], 4, 4),
    "above 0 at 100 %": lambda w: flat(w[0]),  # asks for class 0, and gets its heat
    "which class is predicted": lambda w: flat(-w[0]),  # against class 0; another one is then predicted
    "above 0 at": lambda w: torch.randn(1, w.shape[1], 4, 4, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("reason", WRONG_FEATURES)
def test_wrong_features_are_told_why(reason):
    with pytest.raises(NotYet, match=reason):
        checks.blind(WRONG_FEATURES[reason])


def test_features_against_every_class_pass():
    """Every class's part of the logit is -1, so no class has heat anywhere."""
    right = lambda w: flat(torch.linalg.lstsq(w, -torch.ones(len(w), 1)).solution[:, 0])  # noqa: E731
    assert checks.blind(right).startswith("Right")
