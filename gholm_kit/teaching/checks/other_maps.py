"""Checks of chapter 10: a map without the mean of eq. (1), what a map finds, and whether two judges agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from gholm_kit.teaching import other_maps
from gholm_kit.teaching.checks.answers import NotYet, close, explain, fitting, number, shaped, tensor
from gholm_kit.teaching.checks.verdict import hints
from gholm_lib.gradcam import gradcam

Head = Callable[[Tensor], Tensor]


@hints(
    "Eq. (1) averages dy/dA over the positions, eq. (2) multiplies by A. Leave the average out.",
    "`(d * A)` is (B, C, h, w): sum over the channels, axis 1, then ReLU.",
    "return (d * A).sum(1).relu()",
)
def hirescam(answer: Callable[[Tensor, Tensor], Tensor]) -> str:
    """``answer(A, d)`` → HiResCAM (B, h, w); A and d = dy/dA are (B, C, h, w)."""
    a, d = _random(2, 5, 3, 4, seed=1), _random(2, 5, 3, 4, seed=2)
    cam = tensor(fitting(answer, a.clone(), d.clone(), shapes="A and d are both (B, C, h, w)")).double()
    cam = shaped(cam, (2, 3, 4), "there is one value for each position of each image")
    right = (d * a).sum(1)
    reasons = {
        "there is no ReLU yet: what speaks against the class is not shown": right,
        "that is GradCAM: you average d over the positions first": (d.mean((2, 3), keepdim=True) * a)
        .sum(1)
        .relu(),
        "the ReLU comes after the sum over the channels, not before it": (d * a).relu().sum(1),
        "that is LayerCAM: you keep only what is positive in d": (d.relu() * a).sum(1).relu(),
        "take the sum over the channels, not their mean: eq. (2) has a sum": (d * a).mean(1).relu(),
        "A is missing: multiply each value of d by that of A at the same place": d.sum(1).relu(),
    }
    explain(cam, reasons, _same)
    if not _same(cam, right.relu()):
        gap = float((cam - right.relu()).abs().max())
        raise NotYet(f"the map is not ReLU( sum_k d_k A_k ): the largest difference is {gap:.2g}")
    return f"Right. With a head that pools first, it differs from GradCAM by {_pooled_gap(answer):.0e}."


def _pooled_gap(answer: Callable[[Tensor, Tensor], Tensor]) -> float:
    """The largest difference from GradCAM where the head pools, then is linear; 0 but for rounding."""
    weight, a = _random(4, 5, seed=3), _random(2, 5, 3, 4, seed=1)
    target = torch.tensor([0, 2])

    def head(x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ weight.T

    cam = tensor(answer(a, other_maps.gradient(head, a, target)))
    return float((cam - gradcam(head, a, target)).abs().max())


@hints(
    "How many pixels is the hottest `area`? Then: at which heat does that many begin?",
    "`order = heat.flatten().argsort(descending=True)` names the pixels, the hottest first.",
    "chosen = order[: round(area * heat.numel())]; return where.flatten()[chosen].sum() / where.sum()",
)
def found(answer: Callable[[Tensor, Tensor, float], float]) -> str:
    """``answer(heat, where, area)`` → share of ``where`` in the hottest ``area`` of ``heat``; maps (H, W)."""
    for seed, area in ((1, 0.1), (2, 0.25), (3, 0.5)):
        heat, where = _random(20, 30, seed=seed) ** 2, _random(20, 30, seed=seed + 9).relu()
        share = number(answer(heat.clone(), where.clone(), area))
        top = other_maps.hottest(heat[None], area)[0]
        right = float((where * top).sum() / where.sum())
        reasons = {
            "that is the share of the heat on the places, which depends on how flat the map is": float(
                heat[where > 0].sum() / heat.sum()
            ),
            "those are the coldest pixels: sort in descending order": float(
                (where * other_maps.hottest(-heat[None], area)[0]).sum() / where.sum()
            ),
            "divide by the sum of the weights, so that 1 means: all found": float((where * top).sum()),
            "divide by the sum of the weights, not by the number of chosen pixels": float(
                (where * top).sum() / top.sum()
            ),
            "you count pixels; add up their weights": float(((where > 0) & top).sum() / (where > 0).sum()),
            "area is a share of the *pixels*; you use it as a share of the maximum": float(
                (where * (heat > (1 - area) * heat.max())).sum() / where.sum()
            ),
            "that is in percent; return a share, 0 to 1": 100 * right,
        }
        explain(share, reasons)
        if not close(share, right):
            raise NotYet(f"for area = {area:g} the share is {right:.4f}; yours is {share:.4g}")
    return "Right."


Scores = Mapping[str, np.ndarray]


@hints(
    "First one number for each map: the mean of its scores over the images, for the judge and for the truth.",
    "`scipy.stats.spearmanr(a, b)` compares two rows of numbers by their ranks.",
    "means = [[s[n].mean() for n in judge] for s in (judge, truth)]; return `stats.spearmanr(*means)[0]`",
)
def agree(answer: Callable[[Scores, Scores], float]) -> str:
    """``answer(judge, truth)`` → Spearman's correlation of the maps' mean scores; both name of a map → (N,)."""
    for seed in (1, 2, 3):
        judge, truth = _score_tables(seed)
        rho = number(answer(dict(judge), dict(truth)))
        table = np.stack([[judge[n], truth[n]] for n in judge], 1)  # (2, maps, N)
        right = _rho(*table.mean(-1))
        reasons = {
            "that is Pearson's correlation of the values; compare the *ranks* of the maps": float(
                np.corrcoef(table.mean(-1))[0, 1]
            ),
            "that is the mean of the images' own correlations; average over the images first": float(
                np.mean([_rho(*table[:, :, k]) for k in range(table.shape[-1])])
            ),
            "you pool all images of all maps; average over the images first": _rho(*table.reshape(2, -1)),
            "the sign is turned: high is good for both": -right,
            "the maps come in another order in `truth`: take them by name": _rho(
                table[0].mean(-1), [v.mean() for v in truth.values()]
            ),
        }
        if not close(rho, right):
            explain(rho, reasons)
            raise NotYet(f"for test table {seed} the correlation is {right:.3f}; yours is {rho:.3g}")
    return "Right."


def _rho(a: object, b: object) -> float:
    return float(stats.spearmanr(a, b).statistic)


def _score_tables(seed: int) -> tuple[Scores, Scores]:
    """Scores of six maps on twenty images; ``truth`` names them in another order, and one map is far ahead."""
    random = np.random.default_rng(seed)
    names = ["A", "B", "C", "D", "E", "F"]
    good = random.permutation(6)
    judge = {n: good[k] / 4 + random.normal(size=20) + 9 * (good[k] == 5) for k, n in enumerate(names)}
    truth = {n: good[k] / 9 + random.normal(size=20) / 2 for k, n in reversed(list(enumerate(names)))}
    return judge, truth


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b.to(a.dtype), atol=1e-6)
