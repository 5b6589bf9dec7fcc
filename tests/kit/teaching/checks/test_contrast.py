"""Chapter 04's exercises: typical wrong answers get their own reason, right ones pass."""

import math

import pytest
import torch
import torch.nn.functional as F

import gholm_lib as g
from gholm_kit.teaching import checks

WRONG_PAIRS = {
    "returns nothing": lambda: None,
    "two numbers": lambda: 5,
    "only Raw vectors; the Crop": lambda: (2, 6),
    "one for each image": lambda: (3, 6),
    "own Crop": lambda: (4, 6),
    "itself": lambda: (6, 6),
    "in the other order": lambda: (6, 5),
    "how many positives": lambda: (5.5, 6),
    r"P\(i\): of the 12": lambda: (9, 6),
    r"A\(i\): that counts only Raw": lambda: (5, 3),
    "Khosla": lambda: (5, 11),
    "whole batch": lambda: (5, 12),
    r"A\(i\): count": lambda: (5, 7),
}


@pytest.mark.parametrize("reason", WRONG_PAIRS)
def test_a_wrong_count_of_pairs_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.contrast.pairs(WRONG_PAIRS[reason])


def test_the_right_count_agrees_with_the_masks_of_eq_11():
    labels = torch.tensor([4, 9, 4, 7, 2, 4]).repeat(2)
    same = labels == labels[0]
    assert checks.contrast.pairs(lambda: (int(same.sum()) - 1, int((~same).sum()))).startswith("Right")


def variant(sign=1, tau_of=lambda t: t, own=False, over=True, others="negatives", inside=False, mean=False):
    """Eq. (11) with tensors, with one slip."""

    def loss(z, labels, tau):
        s = z @ z.T / tau_of(tau)
        same = labels[:, None] == labels[None]
        other = ~torch.eye(len(z), dtype=torch.bool)
        positives = same if own else same & other
        contrast = {"negatives": ~same, "all": other, "everything": same | True, "positives": positives}[
            others
        ]
        ratio = s - s.masked_fill(~contrast, -torch.inf).logsumexp(1, keepdim=True)
        count = positives.sum(1)
        if inside:
            terms = ((ratio.exp() * positives).sum(1) / count).log()
        else:
            terms = (ratio * positives).sum(1) / (count if over else 1)
        return -sign * (terms.mean() if mean else terms.sum())

    return loss


def by_loops(term):
    """Eq. (11) anchor by anchor; ``term(products, positives, negatives)`` without its minus."""

    def loss(z, labels, tau):
        s, own = z @ z.T / tau, torch.eye(len(z), dtype=torch.bool)
        return -sum(
            term(s[i], (labels == labels[i]) & ~own[i], labels != labels[i]).nan_to_num()
            for i in range(len(z))
        )

    return loss


WRONG_LOSSES = {
    "returns nothing": lambda z, y, tau: None,
    "one number": lambda z, y, tau: z @ z.T,
    "nan": lambda z, y, tau: torch.tensor(math.nan),
    "mean": variant(mean=True),
    "sign": variant(sign=-1),
    "all but i": variant(others="all"),
    "including the anchor itself": variant(others="everything"),
    "contains the positives": variant(others="positives"),
    "among its own positives": variant(own=True),
    "is missing: each anchor": variant(over=False),
    "τ is missing": variant(tau_of=lambda t: 1),
    "multiply by τ": variant(tau_of=lambda t: 1 / t),
    "outside": variant(inside=True),
    "inside\\* the logarithm": by_loops(lambda s, P, A: s[P].exp().sum().log() - s[A].logsumexp(0)),
    "not its mean": by_loops(lambda s, P, A: (s[P] - s[A].exp().mean().log()).mean()),
    "written into it": lambda z, y, tau: variant()(z, y, 0.7),
    "Print one anchor": lambda z, y, tau: 1.0,
}


@pytest.mark.parametrize("reason", WRONG_LOSSES)
def test_a_wrong_contrastive_loss_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.contrast.supcon(WRONG_LOSSES[reason])


@pytest.mark.parametrize("answer", [variant(), lambda z, y, tau: g.supcon_loss(z, y, tau, reduction="sum")])
def test_a_right_contrastive_loss_passes(answer):
    assert checks.contrast.supcon(answer) == "Right."


WRONG_FLOORS = {
    "returns nothing": lambda n, tau: None,
    "Khosla": lambda n, tau: 0.0,
    "is missing": lambda n, tau: -2 / tau,
    "highest": lambda n, tau: 2 / tau + math.log(n),
    "in one point with the anchor": lambda n, tau: math.log(n),
    "right angles": lambda n, tau: -1 / tau + math.log(n),
    "sign of the logarithm": lambda n, tau: -2 / tau - math.log(n),
    "you multiply": lambda n, tau: -2 * tau + math.log(n),
    "log n, not n": lambda n, tau: -2 / tau + n,
    "put z_i": lambda n, tau: 1.0,
    "written into it": lambda n, tau: -2 / 0.7 + math.log(n),
}


@pytest.mark.parametrize("reason", WRONG_FLOORS)
def test_a_wrong_floor_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.contrast.floor(WRONG_FLOORS[reason])


def test_the_floor_is_reached_by_opposite_classes_and_by_nothing_lower():
    z = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
    labels = torch.tensor([0, 0, 1, 1])

    def floor(n, tau):
        return -2 / tau + math.log(n)

    assert checks.contrast.floor(floor).startswith("Right")
    assert g.supcon_loss(z, labels, 0.7).item() == pytest.approx(floor(2, 0.7), abs=1e-5)
    for seed in range(20):
        torch.manual_seed(seed)
        assert g.supcon_loss(torch.randn(4, 3), labels, 0.7) >= floor(2, 0.7)


OPPOSITE = torch.tensor([[1.0, 0], [-1, 0], [1, 0], [-1, 0]])
WRONG_BREAKS = {
    "returns nothing": lambda bound: None,
    "four vectors": lambda bound: OPPOSITE[:3],
    "it returns a list of 4": lambda bound: OPPOSITE.tolist(),
    "overflows": lambda bound: 1e30 * OPPOSITE,
    "all your z are zero": lambda bound: 0 * OPPOSITE,
    "agree no more than those of different": lambda bound: 5 * torch.ones(4, 2),
    "NaN or infinite": lambda bound: math.nan * OPPOSITE,
    "length 1": lambda bound: F.normalize(OPPOSITE),
    "not low enough": lambda bound: 5 * OPPOSITE,
    "different": lambda bound: 5 * torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]]),
}


@pytest.mark.parametrize("reason", WRONG_BREAKS)
def test_what_does_not_break_the_loss_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.contrast.below(WRONG_BREAKS[reason])


def test_longer_vectors_break_every_bound():
    assert checks.contrast.below(lambda bound: (1 - bound) ** 0.5 * OPPOSITE).startswith("Right")
