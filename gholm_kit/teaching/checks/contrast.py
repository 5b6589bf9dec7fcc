"""Checks of chapter 04's exercises (eq. 11)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gholm_kit.teaching.checks.answers import NotYet, array, close, explain, number, tensor
from gholm_kit.teaching.checks.verdict import hints
from gholm_lib.losses import supcon_loss

TAU = 0.7


@hints(
    "Each image gives two vectors, Raw and Crop: twelve in all. Write their classes in a row.",
    "P(i): all vectors of class 4 except the anchor itself. A(i): all vectors of other classes.",
    "Three images of class 4 give 6 vectors, less the anchor; three images of other classes give the rest.",
)
def pairs(answer: Callable[[], tuple[int, int]]) -> str:
    """Six images of classes 4, 9, 4, 7, 2, 4: ``answer()`` → sizes of P(i) and A(i) for the first Raw vector."""
    found = array(answer(), "two numbers, positives and negatives")
    if found.shape != (2,) or found.dtype.kind == "b" or (found != found.round()).any():
        raise NotYet(f"return two numbers, how many positives and negatives; you return {found.tolist()}")
    positives, negatives = (int(n) for n in found)
    if (positives, negatives) == (6, 5):
        raise NotYet("these are the right numbers in the other order: return positives, negatives")
    wrong = {
        "P(i): that counts only Raw vectors; the Crop vectors are in the batch too": 2,
        "P(i): that is one for each image of class 4; each image gives a Raw and a Crop vector": 3,
        "P(i): the anchor's own Crop has its class too, so it is a positive (the paper: same source or not)": 4,
        "P(i): that counts the anchor itself; it is not its own partner": 6,
    }
    explain(positives, wrong)
    if positives != 5:
        raise NotYet(
            f"P(i): of the 12 vectors, count those of class 4 except the anchor; you have {positives}"
        )
    wrong = {
        "A(i): that counts only Raw vectors; each image of another class gives two": 3,
        "A(i): that is Khosla's set, all but i; the paper prints the samples *of other classes*": 11,
        "A(i): that is the whole batch": 12,
    }
    explain(negatives, wrong)
    if negatives != 6:
        raise NotYet(
            f"A(i): count the vectors of classes 9, 7 and 2, two for each image; you have {negatives}"
        )
    return "Right. 5 + 6 + the anchor itself = 12 vectors."


@hints(
    "Begin with one anchor i: list its positives p (same class, not i itself) and its negatives a (other classes).",
    "Its term: the mean over p of log(exp(z_i · z_p / τ) / Σ_a exp(z_i · z_a / τ)), with a minus in front.",
    "With s = z @ z.T / tau: total -= mean over p of (s[i, p] - log Σ_a exp(s[i, a])), for every i.",
)
def supcon(answer: Callable[[Tensor, Tensor, float], Tensor | float]) -> str:
    """Eq. (11) as printed: ``answer(z, labels, tau)``, z (N, D) of unit length → sum over the anchors."""
    z, labels = _example(7, (0, 0, 0, 1, 1, 2, 2))
    add_up = ": add the anchors up"
    found = number(answer(z.clone(), labels.clone(), TAU), add_up)
    if not math.isfinite(found):
        raise NotYet(
            f"your loss is {found}: does a logarithm see the 0 of a mask, or is infinity multiplied by 0?"
        )
    explain(found, {reason: _reading(z, labels, TAU, **change) for reason, change in _SLIPS.items()}, _near)
    right = _reading(z, labels, TAU)
    if not _near(found, right):
        raise NotYet(
            f"for the example the answer is {right:.4f}; your function gives {found:.4f}. Print one anchor's term"
        )
    again = _example(9, (3, 1, 1, 3, 2, 2, 2, 3))
    if not _near(number(answer(*again, 0.2), add_up), _reading(*again, 0.2)):
        raise NotYet("correct for one batch, wrong for another: is N, a class or τ = 0.7 written into it?")
    return "Right."


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-4)


_SLIPS = {
    "you sum over the positives *inside* the logarithm; eq. (11) sums logarithms": {"sum_inside": True},
    "the denominator is the *sum* over A(i), not its mean": {"below_mean": True},
    "that is the *mean* over the anchors (Khosla's code); eq. (11) prints a sum": {"mean": True},
    "the sign: eq. (11) begins with a minus, which yours lacks": {"sign": -1},
    "your A(i) is all but i (Khosla); the paper prints the samples of *other classes*": {"others": "all"},
    "your A(i) is the whole batch, including the anchor itself": {"others": "everything"},
    "your A(i) contains the positives: invert the mask": {"others": "positives"},
    "you counted the anchor among its own positives: z_i · z_i is always 1": {"with_self": True},
    "1 / |P(i)| is missing: each anchor takes the mean over its positives": {"over_positives": False},
    "τ is missing: divide each product by it": {"temperature": lambda tau: 1.0},
    "you multiply by τ; eq. (11) divides by it": {"temperature": lambda tau: 1 / tau},
    "in eq. (11) the mean over the positives is *outside* the logarithm": {"mean_inside": True},
}


def _reading(
    z: Tensor,
    labels: Tensor,
    tau: float,
    mean: bool = False,
    sign: int = 1,
    others: str = "negatives",
    with_self: bool = False,
    over_positives: bool = True,
    temperature: Callable[[float], float] = lambda tau: tau,
    mean_inside: bool = False,
    sum_inside: bool = False,
    below_mean: bool = False,
) -> float:
    """Eq. (11) by loops, with one slip at most; independent of the library's function."""
    s = (z @ z.T).double().numpy() / temperature(tau)
    total, count = 0.0, len(z)
    for i in range(count):
        positives = [p for p in range(count) if labels[p] == labels[i] and (with_self or p != i)]
        sets = {
            "negatives": [a for a in range(count) if labels[a] != labels[i]],
            "all": [a for a in range(count) if a != i],
            "everything": list(range(count)),
            "positives": positives,
        }
        exps = np.exp(s[i, sets[others]])
        ratios = np.exp(s[i, positives]) / (exps.mean() if below_mean else exps.sum())
        if mean_inside or sum_inside:
            total -= np.log(ratios.mean() if mean_inside else ratios.sum())
            continue
        total -= sign * np.log(ratios).sum() / (len(positives) if over_positives else 1)
    return float(total / count if mean else total)


def _example(seed: int, labels: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    z = torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(z), torch.tensor(labels)


@hints(
    "One term falls if z_i · z_p rises and if z_i · z_a falls. How far can each go with vectors of unit length?",
    "Put z_i · z_p = 1 and z_i · z_a = −1 for all n negatives into one term of eq. (11).",
    "−log( exp(1/τ) / (n · exp(−1/τ)) ) is the value: simplify it, or compute it as it stands.",
)
def floor(answer: Callable[[int, float], float]) -> str:
    """``answer(negatives, tau)`` → the lowest value of one anchor's term in eq. (11), z of unit length."""
    n, tau = 30, TAU
    found = number(answer(n, tau))
    wrong = {
        "that has z_i · z_a = 0 (right angles); vectors of unit length can be opposite": -1 / tau
        + math.log(n),
        "0 bounds Khosla's form; the printed fraction can exceed 1, and its logarithm 0": 0.0,
        "log(number of negatives) is missing: the denominator is a *sum* over A(i)": -2 / tau,
        "that is the highest value; for the lowest, z_i · z_p = 1 and z_i · z_a = −1": 2 / tau + math.log(n),
        "that has the negatives in one point with the anchor: z_i · z_a can be −1": math.log(n),
        "the sign of the logarithm: −log(a / b) = log b − log a": -2 / tau - math.log(n),
        "τ divides the products; you multiply by it": -2 * tau + math.log(n),
        "the denominator is inside the logarithm: log n, not n": -2 / tau + n,
    }
    explain(found, wrong)
    right = -2 / tau + math.log(n)
    if not close(found, right):
        raise NotYet(
            f"put z_i · z_p = 1 and z_i · z_a = −1 for all {n} negatives into one term of eq. (11): "
            f"it is {right:.4f}; yours is {found:.4f}"
        )
    if not close(number(answer(5, 0.1)), -2 / 0.1 + math.log(5)):
        raise NotYet(
            "correct for 30 negatives at τ = 0.7, wrong for 5 at 0.1: is one of them written into it?"
        )
    return "Right. A contrastive curve that flattens out above zero has not failed."


@hints(
    "What happens to all the products if every vector becomes ten times as long?",
    "Class 0 in one direction, class 1 in the opposite one: then vectors of length r give about −2 r² / τ.",
    "The rows r · (1, 0), r · (−1, 0), r · (1, 0), r · (−1, 0), with r = (1 − bound) ** 0.5.",
)
def below(answer: Callable[[float], Tensor]) -> str:
    """Break it: ``answer(bound)`` → z (4, D) whose printed, unnormalised loss is below ``bound`` < 0."""
    labels = torch.tensor([0, 1, 0, 1])
    for bound in (-10.0, -1e3, -1e6):
        z = tensor(answer(bound))
        if z.ndim != 2 or len(z) != 4 or not z.numel():
            raise NotYet(f"z is four vectors, (4, D); yours has the shape {tuple(z.shape)}")
        if not torch.isfinite(z).all():
            raise NotYet("your z contains NaN or infinite numbers; make all its numbers finite")
        loss = supcon_loss(z.float(), labels, TAU, normalize=False).item()
        if not math.isfinite(loss):
            raise NotYet(
                f"for the bound {bound:g} the loss is {loss}: z is so long that float32 overflows; make it shorter"
            )
        if loss >= bound:
            raise NotYet(_why_not_below(z.float(), labels, loss, bound))
    return (
        "Right. You can go below any bound: without a fixed length of z, the printed form has no lower bound."
    )


def _why_not_below(z: Tensor, labels: Tensor, loss: float, bound: float) -> str:
    if not z.any():
        return f"all your z are zero, so all products are zero too (the loss is {loss:.2f}): give them a direction"
    if torch.allclose(z.norm(dim=1), torch.ones(4), atol=1e-3):
        return f"all your z have length 1, which bounds the loss (yours is {loss:.2f}): make them longer"
    same = (z @ z.T)[labels[:, None] == labels[None]].mean()
    other = (z @ z.T)[labels[:, None] != labels[None]].mean()
    if torch.isclose(same, other):
        return (
            f"the loss is {loss:.3g}: your z of the same class agree no more than those of different classes (both "
            f"{same:.3g} on average); the classes are 0, 1, 0, 1, so rows 0 and 2 belong together"
        )
    if same < other:
        return (
            f"the loss is {loss:.3g}: your z of *different* classes agree more ({other:.3g}) than those of the same "
            f"class ({same:.3g}); the classes are 0, 1, 0, 1"
        )
    return (
        f"for the bound {bound:g} the loss is {loss:.3g}, not low enough: let the length grow with the bound"
    )
