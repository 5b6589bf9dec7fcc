"""Chapter 05's exercises: typical wrong answers get their own reason, right ones pass."""

import math

import pytest
import torch
import torch.nn.functional as F

from gholm_kit.teaching import checks
from gholm_kit.teaching.checks.training import descent
from gholm_lib.config import load_config
from gholm_lib.training import learning_rate

WRONG_STARTS = {
    "returns nothing": lambda k, gamma: None,
    "array of shape": lambda k, gamma: [1.0, 2.0],
    "one branch": lambda k, gamma: math.log(k),
    "Drop counts too": lambda k, gamma: 2 * math.log(k),
    "only with weight": lambda k, gamma: 3 * math.log(k),
    "weights only Drop": lambda k, gamma: 3 * gamma * math.log(k),
    "sign": lambda k, gamma: (2 + gamma) * math.log(1 / k),
    "not Crop": lambda k, gamma: (1 + 2 * gamma) * math.log(k),
    "leaves Drop out": lambda k, gamma: (1 + gamma) * math.log(k),
    "log K, not K": lambda k, gamma: (2 + gamma) * k,
    "divide by three": lambda k, gamma: (2 + gamma) * math.log(k) / 3,
    "base 10": lambda k, gamma: (2 + gamma) * math.log10(k),
    "base 2": lambda k, gamma: (2 + gamma) * math.log2(k),
    "is the probability": lambda k, gamma: (2 + gamma) / k,
    "equally probable classes": lambda k, gamma: 1.0,
    "written into it": lambda k, gamma: 2.2 * math.log(k),
}


@pytest.mark.parametrize("reason", WRONG_STARTS)
def test_a_wrong_first_loss_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.training.start_loss(WRONG_STARTS[reason])


def test_the_right_first_loss_passes():
    def even(k, gamma):
        one = F.cross_entropy(torch.zeros(4, k), torch.arange(4))
        return one + one + gamma * one

    assert checks.training.start_loss(even).startswith("Right")


def total(branch=F.cross_entropy, weights=(1, 1, None)):
    def answer(raw, crop, drop, labels, gamma):
        a, b, c = (gamma if w is None else w for w in weights)
        return a * branch(raw, labels) + b * branch(crop, labels) + c * branch(drop, labels)

    return answer


def picked(x, y):
    return x[torch.arange(len(y)), y]


WRONG_TOTALS = {
    "returns nothing": lambda *_: None,
    "γ is missing": total(weights=(1, 1, 1)),
    "not Crop": total(weights=(1, None, None)),
    "all three branches": total(weights=(None, None, None)),
    "wrong branch": total(weights=(None, 1, 1)),
    "mean over its images": total(branch=lambda x, y: F.cross_entropy(x, y, reduction="none")),
    "L_raw only": total(weights=(1, 0, 0)),
    "L_drop is missing": total(weights=(1, 1, 0)),
    "L_crop is missing": total(weights=(1, 0, None)),
    "the sign": total(lambda x, y: -F.cross_entropy(x, y)),
    "sum over the images": total(lambda x, y: F.cross_entropy(x, y, reduction="sum")),
    "not yet probabilities": total(lambda x, y: -picked(x, y).mean()),
    "the logarithm is missing": total(lambda x, y: -picked(x.softmax(1), y).mean()),
    "mean of the logarithms": total(lambda x, y: -picked(x.softmax(1), y).mean().log()),
    "over the classes": total(lambda x, y: -picked(x.softmax(0), y).log().mean()),
    "natural": total(lambda x, y: -picked(x.softmax(1), y).log10().mean()),
    "true class": total(lambda x, y: F.cross_entropy(x, x.argmax(1))),
    "one branch alone": lambda *_: 1.0,
    "written into it": lambda *a: total(weights=(1, 1, 0.2))(*a),
}


@pytest.mark.parametrize("reason", WRONG_TOTALS)
def test_a_wrong_total_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.training.total_ce(WRONG_TOTALS[reason])


def test_the_right_total_passes():
    assert checks.training.total_ce(total(lambda x, y: -picked(x.softmax(1), y).log().mean())) == "Right."


def paper(epoch, lr, decays, factor):
    return lr * factor ** sum(epoch >= e for e in decays)


WRONG_SCHEDULES = {
    "returns nothing": lambda *_: None,
    "nothing has decayed": lambda e, lr, d, f: lr * f,
    "early": lambda e, lr, d, f: paper(e + 1, lr, d, f),
    "late": lambda e, lr, d, f: paper(e - 1, lr, d, f),
    "in epoch 15": lambda e, lr, d, f: lr - f * sum(e >= x for x in d),
    "stays": lambda e, lr, d, f: lr * f ** max(0, e - d[0] + 1),
    "multiplies again": lambda e, lr, d, f: lr * (f if e >= d[0] else 1),
    "in epoch 44": lambda e, lr, d, f: paper(e, lr, d, f) * (0 if e > 40 else 1),
    "written into it": lambda e, lr, d, f: paper(e, lr, (15, 30), 0.1),
}


@pytest.mark.parametrize("reason", WRONG_SCHEDULES)
def test_a_wrong_schedule_is_told_why(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.training.schedule(WRONG_SCHEDULES[reason])


def test_the_kits_own_schedule_passes():
    def kit(epoch, lr, decays, factor):
        return learning_rate(load_config("mini", lr=lr, lr_decay_epochs=decays, lr_decay=factor), epoch)

    assert checks.training.schedule(kit) == "Right."


WRONG_BREAKS = {
    "returns nothing": lambda h: None,
    "above 0": lambda h: -1.0,
    "does not diverge$": lambda h: 3.0 / h,
    "so must your rate": lambda h: 4.0,
    "at most twice is allowed": lambda h: 100 / h,
}


@pytest.mark.parametrize("reason", WRONG_BREAKS)
def test_a_rate_that_does_not_break_it_is_told_why(reason):
    # Rate 4 for all: it explodes at curvature 1 and 50 (there far beyond the edge).
    answer = WRONG_BREAKS[reason] if reason != "so must your rate" else lambda h: 4.0 / max(h, 1.0)
    with pytest.raises(checks.NotYet, match=reason):
        checks.training.diverges(answer)


def test_the_edge_with_momentum_is_where_theory_puts_it():
    assert checks.training.diverges(lambda h: 4.0 / h).startswith("Right")
    assert descent(3.79, 1.0, steps=5000)[-1] < 1
    assert descent(3.81, 1.0, steps=5000)[-1] > 1e6


def test_the_descent_is_that_of_torchs_sgd():
    w = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([w], lr=0.3, momentum=0.9)
    path = [1.0]
    for _ in range(20):
        optimiser.zero_grad()
        (1.5 * w**2 / 2).sum().backward()
        optimiser.step()
        path.append(abs(w.item()))
    assert descent(0.3, 1.5, steps=20) == pytest.approx(path)
