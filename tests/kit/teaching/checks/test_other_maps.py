"""Chapter 10's exercises: typical wrong answers get their own reason, right ones pass."""

import numpy as np
import pytest
import torch
from scipy import stats

from gholm_kit.teaching.checks import other_maps as checks
from gholm_kit.teaching.checks.answers import NotYet

WRONG_MAPS = {
    "no ReLU yet": lambda a, d: (d * a).sum(1),
    "that is GradCAM": lambda a, d: (d.mean((2, 3), keepdim=True) * a).sum(1).relu(),
    "after the sum over the channels": lambda a, d: (d * a).relu().sum(1),
    "that is LayerCAM": lambda a, d: (d.clamp(min=0) * a).sum(1).clamp(min=0),
    "not their mean": lambda a, d: (d * a).mean(1).relu(),
    "A is missing": lambda a, d: d.sum(1).relu(),
    "one value for each position": lambda a, d: (d * a).relu(),
    "do not fit": lambda a, d: d.mean((2, 3)) * a,
    "not ReLU": lambda a, d: (d * a * a).sum(1).relu(),
}


@pytest.mark.parametrize("reason", WRONG_MAPS)
def test_a_wrong_hirescam_is_told_why(reason):
    with pytest.raises(NotYet, match=reason):
        checks.hirescam(WRONG_MAPS[reason])


def test_a_right_hirescam_is_told_that_it_is_gradcam():
    said = checks.hirescam(lambda a, d: torch.einsum("bchw,bchw->bhw", a, d).clamp(min=0))
    assert said.startswith("Right")
    assert float(said.split()[-1].rstrip(".")) < 1e-12


def top(heat, area):
    return heat >= heat.flatten().topk(round(area * heat.numel())).values[-1]


WRONG_SHARES = {
    "how flat the map is": lambda h, w, a: h[w > 0].sum() / h.sum(),
    "coldest pixels": lambda h, w, a: w[top(-h, a)].sum() / w.sum(),
    "so that 1 means": lambda h, w, a: w[top(h, a)].sum(),
    "number of chosen pixels": lambda h, w, a: w[top(h, a)].mean(),
    "add up their weights": lambda h, w, a: (w[top(h, a)] > 0).sum() / (w > 0).sum(),
    "share of the maximum": lambda h, w, a: w[h > (1 - a) * h.max()].sum() / w.sum(),
    "percent": lambda h, w, a: 100 * w[top(h, a)].sum() / w.sum(),
    "must return one number": lambda h, w, a: w[top(h, a)],
    "the share is": lambda h, w, a: 0.5,
}


@pytest.mark.parametrize("reason", WRONG_SHARES)
def test_a_wrong_share_is_told_why(reason):
    with pytest.raises(NotYet, match=reason):
        checks.found(WRONG_SHARES[reason])


def test_a_right_share_passes():
    assert checks.found(lambda h, w, a: w[top(h, a)].sum() / w.sum()) == "Right."


def rho(a, b):
    return stats.spearmanr(a, b).statistic


def means(scores, names):
    return [scores[n].mean() for n in names]


WRONG_AGREEMENTS = {
    "Pearson": lambda j, t: np.corrcoef(means(j, j), means(t, j))[0, 1],
    "images' own correlations": lambda j, t: np.mean(
        [rho([j[n][k] for n in j], [t[n][k] for n in j]) for k in range(20)]
    ),
    "pool all images": lambda j, t: rho(np.concatenate([j[n] for n in j]), np.concatenate([t[n] for n in j])),
    "sign is turned": lambda j, t: -rho(means(j, j), means(t, j)),
    "take them by name": lambda j, t: rho(means(j, j), means(t, t)),
    "the correlation is": lambda j, t: 0.123,
}


@pytest.mark.parametrize("reason", WRONG_AGREEMENTS)
def test_a_wrong_agreement_is_told_why(reason):
    with pytest.raises(NotYet, match=reason):
        checks.agree(WRONG_AGREEMENTS[reason])


def test_a_right_agreement_passes():
    assert checks.agree(lambda j, t: rho(means(j, j), means(t, j))) == "Right."
