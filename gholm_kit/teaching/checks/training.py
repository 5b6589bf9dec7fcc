"""Checks of chapter 05: eq. (7) to (10), the schedule, a learning rate that is too high."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gholm_kit.teaching.checks.answers import NotYet, close, explain, number
from gholm_kit.teaching.checks.verdict import hints
from gholm_lib.losses import branch_loss, total_cross_entropy

MOMENTUM = 0.9


@hints(
    "With K equally probable classes, P(c) is 1/K. What is −log of that?",
    "Eq. (10) adds this value once for Raw, once for Crop, and γ times for Drop.",
    "−log(1/K) = log K, so the answer is (2 + gamma) times np.log(classes).",
)
def start_loss(answer: Callable[[int, float], float]) -> str:
    """``answer(classes, gamma)`` → eq. (10) of a network that gives every class the same probability."""
    classes, gamma = 11, 0.2
    found = number(answer(classes, gamma))
    one = math.log(classes)
    wrong = {
        "that is one branch; eq. (10) adds three": one,
        "that is Raw and Crop; Drop counts too, with weight γ": 2 * one,
        "Drop counts only with weight γ": 3 * one,
        "γ weights only Drop": gamma * 3 * one,
        "the sign: −log(1/K) is above 0": -(2 + gamma) * one,
        "γ weights only Drop, not Crop": (1 + 2 * gamma) * one,
        "that leaves Drop out of the sum, or Crop: eq. (10) has both": (1 + gamma) * one,
        "the loss of a branch is log K, not K": (2 + gamma) * classes,
        "you add the losses and divide by three; eq. (10) is a sum": (2 + gamma) * one / 3,
        "use the natural logarithm (np.log), not base 10": (2 + gamma) * math.log10(classes),
        "use the natural logarithm (np.log), not base 2": (2 + gamma) * math.log2(classes),
        "1/K is the probability P(c); each loss is −log P(c)": (2 + gamma) / classes,
    }
    explain(found, wrong)
    if not close(found, (2 + gamma) * one):
        raise NotYet(
            f"with {classes} equally probable classes, each P(c) is 1/{classes} and each branch's loss "
            f"−log(1/{classes}), so eq. (10) gives {(2 + gamma) * one:.3f}; yours is {found:.3f}"
        )
    if not close(number(answer(200, 1.0)), 3 * math.log(200)):
        raise NotYet(
            "correct for 11 classes and γ = 0.2, wrong for 200 and 1: is one of them written into it?"
        )
    return "Right. A first loss far from this means that the classifier starts too confident."


@hints(
    "One branch first: softmax over the classes (dim 1), then the probability of each image's true class.",
    "`P[torch.arange(len(labels)), labels]` picks these probabilities; the loss is the mean of −log of them.",
    "With branch(y) = −log(P at labels).mean(): branch(raw) + branch(crop) + gamma * branch(drop).",
)
def total_ce(answer: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor | float]) -> str:
    """Eq. (7) to (10): ``answer(raw, crop, drop, labels, gamma)``, logits (B, K) each → one number."""
    batch = _logits(5, 4, seed=3)
    average = ": the loss of a batch is the mean over its images"
    found = number(answer(*(x.clone() for x in batch), 0.2), average)
    explain(found, {reason: slip(*batch, 0.2) for reason, slip in _SLIPS.items()})
    right = _right(*batch, 0.2)
    if not close(found, right):
        raise NotYet(
            f"for the example the answer is {right:.4f}; yours is {found:.4f}. Look at one branch alone first"
        )
    again = _logits(3, 7, seed=4)
    if not close(number(answer(*again, 0.5)), _right(*again, 0.5)):
        raise NotYet("correct for one batch, wrong for another: is B, K or γ = 0.2 written into it?")
    return "Right."


def _right(raw: Tensor, crop: Tensor, drop: Tensor, labels: Tensor, gamma: float) -> float:
    terms = (branch_loss(x, labels) for x in (raw, crop, drop))
    return float(total_cross_entropy(*terms, gamma=gamma))


def _picked(x: Tensor, y: Tensor) -> Tensor:
    return x.gather(1, y[:, None])[:, 0]


def _with(
    one: Callable[[Tensor, Tensor], Tensor], weights=lambda gamma: (1, 1, gamma)
) -> Callable[..., float]:
    """Eq. (10) with another loss for each branch, or with other weights."""

    def total(raw, crop, drop, labels, gamma):
        return float(sum(w * one(x, labels) for w, x in zip(weights(gamma), (raw, crop, drop), strict=True)))

    return total


_SLIPS: dict[str, Callable[..., float]] = {
    "γ is missing: Drop counts with weight γ": _with(branch_loss, lambda gamma: (1, 1, 1)),
    "γ weights only Drop, not Crop": _with(branch_loss, lambda gamma: (1, gamma, gamma)),
    "γ weights all three branches; it belongs to Drop alone": _with(
        branch_loss, lambda gamma: (gamma, gamma, gamma)
    ),
    "γ weights the wrong branch: it belongs to Drop": _with(branch_loss, lambda gamma: (gamma, 1, 1)),
    "that is L_raw only": _with(branch_loss, lambda gamma: (1, 0, 0)),
    "γ · L_drop is missing": _with(branch_loss, lambda gamma: (1, 1, 0)),
    "L_crop is missing": _with(branch_loss, lambda gamma: (1, 0, gamma)),
    "the sign: each branch has −log P(c)": _with(lambda x, y: -branch_loss(x, y)),
    "that is the sum over the images; the loss is the mean over the batch": _with(
        lambda x, y: len(y) * branch_loss(x, y)
    ),
    "logits are not yet probabilities: the softmax is missing": _with(lambda x, y: -_picked(x, y).mean()),
    "that is −P(c); the logarithm is missing": _with(lambda x, y: -_picked(x.softmax(1), y).mean()),
    "the logarithm of the *mean* probability is not the mean of the logarithms": _with(
        lambda x, y: -_picked(x.softmax(1), y).mean().log()
    ),
    "the softmax runs over the images; it must run over the classes (dim 1)": _with(
        lambda x, y: -_picked(x.softmax(0), y).log().mean()
    ),
    "use the natural logarithm": _with(lambda x, y: branch_loss(x, y) / math.log(10)),
    "c is the true class (labels), not the predicted one": _with(lambda x, y: branch_loss(x, x.argmax(1))),
}


def _logits(batch: int, classes: int, seed: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    logits = (2 * torch.randn(batch, classes, generator=generator) for _ in range(3))
    return *logits, torch.randint(classes, (batch,), generator=generator)


@hints(
    "How often has the rate been lowered before this epoch? In epoch 14 never, in epoch 15 once, in epoch 30 twice.",
    "Count the entries of `decay_epochs` that are not larger than `epoch`.",
    "lr * factor ** (the number of e in decay_epochs with epoch >= e).",
)
def schedule(answer: Callable[[int, float, tuple[int, ...], float], float]) -> str:
    """``answer(epoch, lr, decay_epochs, factor)`` → learning rate in ``epoch``, counted from 0 (section 4.2)."""
    lr, decays, factor = 0.001, (15, 30), 0.1

    def rate(epoch: int) -> float:
        return number(answer(epoch, lr, decays, factor)) / lr

    if not close(rate(0), 1):
        raise NotYet(f"in epoch 0 nothing has decayed yet, so the rate is lr; yours is {rate(0):g} times lr")
    if close(rate(14), factor):
        raise NotYet(
            "one epoch too early: the first 15 epochs are 0 to 14, and all of them have the full rate"
        )
    if close(rate(15), 1) and close(rate(16), factor):
        raise NotYet(
            "one epoch too late: after 15 epochs (0 to 14) comes epoch 15, the first with the lower rate"
        )
    if not close(rate(15), factor):
        raise NotYet(f"in epoch 15 the rate is lr × {factor}; yours is {rate(15):g} times lr")
    if not close(rate(29), factor):
        raise NotYet(
            f"between the decays the rate stays the same; in epoch 29 yours is {rate(29):g} times lr"
        )
    if close(rate(30), factor):
        raise NotYet("the second decay multiplies again: 0.1 × 0.1 in epoch 30")
    if not close(rate(44), factor**2):
        raise NotYet(f"in epoch 44 the rate is lr × {factor**2:g}; yours is {rate(44):g} times lr")
    if not close(number(answer(8, 0.5, (4, 7, 9), 0.2)), 0.5 * 0.2**2):
        raise NotYet("correct for the paper's numbers, wrong for others: is one of them written into it?")
    return "Right."


def descent(lr: float, curvature: float, steps: int = 300) -> list[float]:
    """|w| after each step of SGD with momentum 0.9 on f(w) = curvature · w² / 2, from w = 1; stops above 1e9."""
    w, velocity, path = 1.0, 0.0, [1.0]
    for _ in range(steps):
        velocity = MOMENTUM * velocity + curvature * w
        w -= lr * velocity
        path.append(abs(w))
        if path[-1] > 1e9:
            break
    return path


@hints(
    "Try rates for curvature 1 in the cell above, and find two between which the behaviour changes.",
    "The limit for h = 1 lies between 3 and 5. A steeper valley (larger h) needs a proportionally lower rate.",
    "SGD with momentum m diverges above 2 (1 + m) / h, here 3.8 / h: for example 4 / h.",
)
def diverges(answer: Callable[[float], float]) -> str:
    """Break it: ``answer(curvature)`` → a rate at which SGD diverges, at most twice the smallest such rate."""
    for curvature in (1.0, 50.0, 0.02):
        lr, edge = number(answer(curvature)), 2 * (1 + MOMENTUM) / curvature
        if not 0 < lr < math.inf:
            raise NotYet(
                f"a learning rate is a finite number above 0; yours is {lr:g} for curvature {curvature:g}"
            )
        end = descent(lr, curvature)[-1]
        if end < 1e6:
            raise NotYet(
                f"curvature {curvature:g}, rate {lr:g}: |w| is {end:.2g} after 300 steps, so it does not diverge"
                + ("" if curvature == 1 else "; the limit depends on the curvature, and so must your rate")
            )
        if lr > 2 * edge:
            raise NotYet(
                f"curvature {curvature:g}, rate {lr:g}: it diverges, but this is {lr / edge:.1f} times the smallest "
                "such rate; at most twice is allowed"
            )
    return "Right. The steepest direction of the loss decides which rate is too high."
