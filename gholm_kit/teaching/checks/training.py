"""Checks of chapter 05's exercises (eq. 7 to 10, the schedule, a rate that is too high)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gholm_kit.teaching.checks.answers import NotYet
from gholm_lib.losses import branch_loss, total_cross_entropy

MOMENTUM = 0.9


def start_loss(answer: Callable[[int, float], float]) -> str:
    """``answer(classes, gamma)`` → eq. (10) of a network that gives every class the same probability."""
    classes, gamma = 11, 0.2
    found = _number(answer(classes, gamma))
    one = math.log(classes)
    wrong = {
        one: "that is one branch; eq. (10) adds three",
        2 * one: "that is Raw and Crop; Drop counts too, with weight γ",
        3 * one: "Drop counts only with weight γ",
        gamma * 3 * one: "γ weighs Drop alone",
        -(2 + gamma) * one: "the sign: −log(1/K) is above 0",
        (2 + gamma) * math.log10(classes): "the logarithm is the natural one (np.log)",
        (2 + gamma) * math.log2(classes): "the logarithm is the natural one (np.log), not base 2",
        (2 + gamma) / classes: "1/K is the probability P(c); each loss is −log P(c)",
    }
    _tell(found, wrong)
    if not _close(found, (2 + gamma) * one):
        raise NotYet(
            f"with {classes} classes alike each P(c) is 1/{classes} and each branch's loss −log(1/{classes}); "
            f"eq. (10) makes {(2 + gamma) * one:.3f} of them, yours is {found:.3f}"
        )
    if not _close(_number(answer(200, 1.0)), 3 * math.log(200)):
        raise NotYet("right for 11 classes and γ = 0.2, wrong for 200 and 1: is one written into it?")
    return "Right. A first loss far from this means a classifier that starts too sure of itself."


def total_ce(answer: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor | float]) -> str:
    """Eq. (7) to (10): ``answer(raw, crop, drop, labels, gamma)``, logits (B, K) each → one number."""
    batch = _logits(5, 4, seed=3)
    found = _number(answer(*batch, 0.2))
    for reason, slip in _SLIPS.items():
        if _close(found, slip(*batch, 0.2)):
            raise NotYet(reason)
    right = _right(*batch, 0.2)
    if not _close(found, right):
        raise NotYet(
            f"for the example {right:.4f} is wanted, yours gives {found:.4f}; look at one branch alone first"
        )
    again = _logits(3, 7, seed=4)
    if not _close(_number(answer(*again, 0.5)), _right(*again, 0.5)):
        raise NotYet("right for one batch, wrong for another: is B, K or γ = 0.2 written into it?")
    return "Right."


def _right(raw: Tensor, crop: Tensor, drop: Tensor, labels: Tensor, gamma: float) -> float:
    terms = (branch_loss(x, labels) for x in (raw, crop, drop))
    return float(total_cross_entropy(*terms, gamma=gamma))


def _picked(x: Tensor, y: Tensor) -> Tensor:
    return x.gather(1, y[:, None])[:, 0]


def _with(
    one: Callable[[Tensor, Tensor], Tensor], weights=lambda gamma: (1, 1, gamma)
) -> Callable[..., float]:
    """Eq. (10) made of another loss of one branch, or of other weights."""

    def total(raw, crop, drop, labels, gamma):
        return float(sum(w * one(x, labels) for w, x in zip(weights(gamma), (raw, crop, drop), strict=True)))

    return total


_SLIPS: dict[str, Callable[..., float]] = {
    "γ is missing: Drop counts with weight γ": _with(branch_loss, lambda gamma: (1, 1, 1)),
    "γ weighs Drop alone, not Crop": _with(branch_loss, lambda gamma: (1, gamma, gamma)),
    "that is L_raw only": _with(branch_loss, lambda gamma: (1, 0, 0)),
    "γ · L_drop is missing": _with(branch_loss, lambda gamma: (1, 1, 0)),
    "L_crop is missing": _with(branch_loss, lambda gamma: (1, 0, gamma)),
    "the sign: each branch has −log P(c)": _with(lambda x, y: -branch_loss(x, y)),
    "that adds the images up; the loss is the mean over the batch": _with(
        lambda x, y: len(y) * branch_loss(x, y)
    ),
    "logits are not probabilities yet: softmax is missing": _with(lambda x, y: -_picked(x, y).mean()),
    "that is −P(c); the logarithm is missing": _with(lambda x, y: -_picked(x.softmax(1), y).mean()),
    "the logarithm of the *mean* probability is not the mean of the logarithms": _with(
        lambda x, y: -_picked(x.softmax(1), y).mean().log()
    ),
    "the softmax runs over the images; it belongs over the classes (dim 1)": _with(
        lambda x, y: -_picked(x.softmax(0), y).log().mean()
    ),
    "the logarithm is the natural one": _with(lambda x, y: branch_loss(x, y) / math.log(10)),
    "c is the true class (labels), not the predicted one": _with(lambda x, y: branch_loss(x, x.argmax(1))),
}


def _logits(batch: int, classes: int, seed: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    logits = (2 * torch.randn(batch, classes, generator=generator) for _ in range(3))
    return *logits, torch.randint(classes, (batch,), generator=generator)


def schedule(answer: Callable[[int, float, tuple[int, ...], float], float]) -> str:
    """``answer(epoch, lr, decay_epochs, factor)`` → learning rate in ``epoch``, counted from 0 (section 4.2)."""
    lr, decays, factor = 0.001, (15, 30), 0.1

    def rate(epoch: int) -> float:
        return _number(answer(epoch, lr, decays, factor)) / lr

    if not _close(rate(0), 1):
        raise NotYet(f"in epoch 0 nothing has decayed, so the rate is lr; yours is {rate(0):g} times that")
    if _close(rate(14), factor):
        raise NotYet("one epoch early: 15 epochs are epochs 0 to 14, and all of them have the full rate")
    if _close(rate(15), 1) and _close(rate(16), factor):
        raise NotYet(
            "one epoch late: after 15 epochs (0 to 14) comes epoch 15, the first with the lower rate"
        )
    if not _close(rate(15), factor):
        raise NotYet(f"in epoch 15 the rate is lr × {factor}; yours is {rate(15):g} times lr")
    if not _close(rate(29), factor):
        raise NotYet(f"between the decays the rate stays; in epoch 29 yours is {rate(29):g} times lr")
    if _close(rate(30), factor):
        raise NotYet("the second decay multiplies once more: 0.1 × 0.1 in epoch 30")
    if not _close(rate(44), factor**2):
        raise NotYet(f"in epoch 44 the rate is lr × {factor**2:g}; yours is {rate(44):g} times lr")
    if not _close(_number(answer(8, 0.5, (4, 7, 9), 0.2)), 0.5 * 0.2**2):
        raise NotYet("right for the paper's numbers, wrong for others: is one of them written into it?")
    return "Right."


def descent(lr: float, curvature: float, steps: int = 300) -> list[float]:
    """|w| at each step of SGD with momentum 0.9 on f(w) = curvature · w² / 2, from w = 1; ends above 1e9."""
    w, velocity, path = 1.0, 0.0, [1.0]
    for _ in range(steps):
        velocity = MOMENTUM * velocity + curvature * w
        w -= lr * velocity
        path.append(abs(w))
        if path[-1] > 1e9:
            break
    return path


def diverges(answer: Callable[[float], float]) -> str:
    """Break it: ``answer(curvature)`` → a rate at which SGD explodes, at most twice the smallest that does."""
    for curvature in (1.0, 50.0, 0.02):
        lr, edge = _number(answer(curvature)), 2 * (1 + MOMENTUM) / curvature
        if lr <= 0:
            raise NotYet(f"a learning rate is above 0; for curvature {curvature:g} yours is {lr:g}")
        end = descent(lr, curvature)[-1]
        if end < 1e6:
            raise NotYet(
                f"curvature {curvature:g}, rate {lr:g}: |w| is {end:.2g} after 300 steps, no explosion"
                + (
                    ": steeper is more fragile, flatter is less; let the rate follow"
                    if curvature != 1
                    else ""
                )
            )
        if lr > 2 * edge:
            raise NotYet(
                f"curvature {curvature:g}, rate {lr:g}: it explodes, but at {lr / edge:.1f} times the smallest rate "
                "that does; come within twice"
            )
    return "Right. The steepest direction of the loss decides which rate is too high."


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-7)


def _tell(found: float, wrong: dict[float, str]) -> None:
    for value, reason in wrong.items():
        if _close(found, value):
            raise NotYet(reason)


def _number(found: object) -> float:
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    shape = tuple(torch.as_tensor(found).shape)
    if math.prod(shape) != 1:
        raise NotYet(f"one number is wanted, your function returns an array of shape {shape}")
    return float(found)
