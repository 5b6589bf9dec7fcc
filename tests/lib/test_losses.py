"""The losses against pytorch-metric-learning, PyTorch, and plain loops in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor

from gholm_lib.losses import branch_loss, supcon_loss, total_cross_entropy, total_loss
from tests.rounding import HALF_THE_DIGITS, assert_same, unit

pytestmark = pytest.mark.numeric

quick = settings(max_examples=50, deadline=None, derandomize=True)
denominators = pytest.mark.parametrize("denominator", ["negatives", "all"])
reductions = pytest.mark.parametrize("reduction", ["mean", "sum"])


def vectors(n: int, d: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()


def reference(z: Tensor, labels: Tensor, tau: float, denominator: str, normalize: bool) -> list[float]:
    """Eq. (11), one term for each anchor that has one, written from the paper with loops."""
    rows = [[float(v) for v in row] for row in z]
    if normalize:
        rows = [[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in rows]
    n, y = len(rows), labels.tolist()

    def dot(i, j):
        return sum(a * b for a, b in zip(rows[i], rows[j], strict=True)) / tau

    terms = []
    for i in range(n):
        positives = [p for p in range(n) if p != i and y[p] == y[i]]
        others = [a for a in range(n) if (y[a] != y[i] if denominator == "negatives" else a != i)]
        if not positives or not others:
            continue
        log_sum = math.log(math.fsum(math.exp(dot(i, a)) for a in others))
        terms.append(-math.fsum(dot(i, p) - log_sum for p in positives) / len(positives))
    return terms


# ---------------------------------------------------------------------- eq. (11)


@pytest.mark.parametrize("tau", [0.7, 0.07])
@pytest.mark.parametrize("labels", [[0, 1, 2, 3] * 2, [0, 0, 0, 1, 1, 2, 2, 2], [4, 1, 4, 1, 1, 1, 1, 4]])
def test_all_is_pytorch_metric_learnings_supcon(labels, tau):
    labels = torch.tensor(labels)
    ours_z, theirs_z = (vectors(8, 16).requires_grad_() for _ in range(2))
    ours = supcon_loss(ours_z, labels, tau, "all", True, "mean")
    theirs = SupConLoss(temperature=tau)(theirs_z, labels)
    assert_same(ours, theirs)
    ours.backward()
    theirs.backward()
    assert_same(ours_z.grad, theirs_z.grad)
    assert ours_z.grad.abs().max() > 1e-3


def test_all_leaves_out_anchors_without_a_positive_as_that_library_does():
    labels = torch.tensor([0, 0, 1, 2, 2, 3])
    z = vectors(6, 16)
    assert_same(supcon_loss(z, labels, 0.7, "all"), SupConLoss(temperature=0.7)(z, labels))


@denominators
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("tau", [0.7, 0.07])
def test_both_forms_are_the_plain_double_loop(denominator, normalize, tau):
    labels = torch.tensor([0, 1, 2, 2, 0, 1, 2, 5, 0])
    z = vectors(9, seed=4)
    terms = reference(z, labels, tau, denominator, normalize)
    assert len(terms) == 8  # the only sample of class 5 has no positive
    for reduction, expected in [("mean", sum(terms) / len(terms)), ("sum", sum(terms))]:
        assert_same(supcon_loss(z, labels, tau, denominator, normalize, reduction).item(), expected)


@quick
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(0, 999), st.booleans())
def test_any_batch_is_the_double_loop_with_finite_gradients(labels, seed, negatives):
    labels = torch.tensor(labels)
    denominator = "negatives" if negatives else "all"
    z = vectors(len(labels), seed=seed).requires_grad_()
    ours = supcon_loss(z, labels, 0.7, denominator)
    terms = reference(z.detach(), labels, 0.7, denominator, True)
    assert_same(ours.item(), sum(terms) / max(len(terms), 1))
    (gradient,) = torch.autograd.grad(ours, z)
    assert torch.isfinite(gradient).all()


@denominators
def test_gradient_is_the_numerical_one(denominator):
    labels, z = torch.tensor([0, 1, 0, 2, 1, 3]), vectors(6).requires_grad_()
    (gradient,) = torch.autograd.grad(supcon_loss(z, labels, 0.7, denominator), z)
    step = 1e-4
    for i, j in [(0, 0), (2, 3), (3, 1), (5, 5)]:  # 5 is an anchor without a positive
        values = []
        for sign in (1, -1):
            moved = z.detach().double().clone()
            moved[i, j] += sign * step
            terms = reference(moved, labels, 0.7, denominator, True)
            values.append(sum(terms) / len(terms))
        # What is left out is of the order of step squared.
        assert gradient[i, j].item() == pytest.approx((values[0] - values[1]) / (2 * step), abs=100 * step**2)


@denominators
def test_sum_is_n_times_the_mean_when_every_anchor_has_a_positive(denominator):
    z, labels = vectors(32, 20), torch.arange(16).repeat(2)
    mean = supcon_loss(z, labels, 0.7, denominator)
    total = supcon_loss(z, labels, 0.7, denominator, reduction="sum")
    assert_same(total, 32 * mean)


@denominators
def test_order_of_the_samples_does_not_matter(denominator):
    z, labels = vectors(10), torch.tensor([0, 1, 2, 0, 1, 2, 3, 3, 0, 4])
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    assert_same(
        supcon_loss(z, labels, denominator=denominator),
        supcon_loss(z[order], labels[order], denominator=denominator),
    )


def test_the_paper_is_the_default():
    z, labels = vectors(8), torch.arange(4).repeat(2)
    assert_same(supcon_loss(z, labels), supcon_loss(z, labels, 0.7, "negatives", True, "mean"))


@denominators
@reductions
@pytest.mark.parametrize(
    ("labels", "anchors"),
    [
        ([3], {"negatives": 0, "all": 0}),
        ([1, 1, 1, 1], {"negatives": 0, "all": 4}),  # one class: no negatives
        ([0, 1, 2, 3], {"negatives": 0, "all": 0}),  # no positives
        ([0, 0, 1], {"negatives": 2, "all": 2}),
        ([], {"negatives": 0, "all": 0}),
    ],
    ids=["one_sample", "one_class", "all_different", "mixed", "empty"],
)
@pytest.mark.parametrize("normalize", [True, False])
def test_odd_batches_stay_finite(labels, anchors, denominator, reduction, normalize):
    labels = torch.tensor(labels, dtype=torch.int64)
    z = vectors(len(labels)).requires_grad_()
    loss = supcon_loss(z, labels, 0.7, denominator, normalize, reduction)
    (gradient,) = torch.autograd.grad(loss, z)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    if anchors[denominator] == 0:
        assert loss == 0
        assert (gradient == 0).all()
    else:
        assert loss > 0


@denominators
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_extreme_lengths_of_z_stay_finite(denominator, scale):
    """exp(1e8 / .7) overflows unless the largest term is taken out first."""
    for normalize in (True, False):
        z = (vectors(8).float() * scale).requires_grad_()
        loss = supcon_loss(z, torch.arange(4).repeat(2), 0.07, denominator, normalize)
        (gradient,) = torch.autograd.grad(loss, z)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


# ---------------------------------------------------------------------- bounds


@pytest.mark.parametrize("n_classes", [2, 16])
@pytest.mark.parametrize("tau", [0.7, 0.2])
def test_a_normalised_anchor_stays_within_its_bounds(n_classes, tau):
    """z . z' lies in -1..1, so with n negatives a term of eq. (11) lies in log n -2/tau .. log n + 2/tau.

    Two samples of each of 16 classes at tau = .7: log 30 -+ 2.857 = .54 .. 6.26.
    """
    labels = torch.arange(n_classes).repeat(2)
    negatives = 2 * n_classes - 2
    low, high = math.log(negatives) - 2 / tau, math.log(negatives) + 2 / tau
    if (n_classes, tau) == (16, 0.7):
        assert (round(low, 2), round(high, 2)) == (0.54, 6.26)
    for seed in range(20):
        z = vectors(len(labels), 3, seed)
        terms = torch.stack([_anchor(z, labels, tau, i) for i in range(len(labels))])
        assert low - HALF_THE_DIGITS <= terms.min()
        assert terms.max() <= high + HALF_THE_DIGITS
        mean = supcon_loss(z, labels, tau)
        assert_same(mean, terms.mean())
        # Only as many samples as dimensions + 1 can all be opposite, so the mean stays off the bounds.
        assert low < mean < high


def _anchor(z: Tensor, labels: Tensor, tau: float, i: int) -> Tensor:
    """The term of one anchor: the other positives and negatives are kept, other anchors are not counted."""
    unit = F.normalize(z)
    similarity = unit[i] @ unit.T / tau
    same = labels == labels[i]
    positive = same & (torch.arange(len(z)) != i)
    return similarity[~same].logsumexp(0) - similarity[positive].mean()


def test_the_bounds_are_reached():
    """Two classes at opposite ends reach the lower bound; one pair torn apart reaches the upper."""
    v = torch.tensor([1.0, 0.0], dtype=torch.float64)
    apart = torch.stack([v, -v, v, -v])
    assert_same(supcon_loss(apart, torch.tensor([0, 1, 0, 1])).item(), math.log(2) - 2 / 0.7)
    # Class 0 sits at v and -v; class 1 at v: anchor v of class 0 has its positive at -1, negatives at +1.
    torn = torch.stack([v, -v, v, v])
    terms = reference(torn, torch.tensor([0, 0, 1, 1]), 0.7, "negatives", True)
    assert_same(max(terms), math.log(2) + 2 / 0.7)
    assert_same(supcon_loss(torn, torch.tensor([0, 0, 1, 1])).item(), sum(terms) / 4)


def descend(normalize: bool, denominator: str, steps: int = 50) -> list[float]:
    z = vectors(32, 20).requires_grad_()
    labels = torch.arange(16).repeat(2)
    optimiser, history = torch.optim.SGD([z], lr=0.1), []
    for _ in range(steps):
        loss = supcon_loss(z, labels, 0.7, denominator, normalize, "sum")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    return history


def test_the_printed_form_without_unit_length_has_no_lower_bound():
    history = descend(normalize=False, denominator="negatives")
    assert history[0] > 0
    assert history[-1] < -1e9
    assert history[-1] < 10 * history[-11]  # and it speeds up


@pytest.mark.parametrize(
    ("normalize", "denominator", "bound"),
    [(True, "negatives", math.log(30) - 2 / 0.7), (True, "all", 0.0), (False, "all", 0.0)],
)
def test_the_other_forms_have_one(normalize, denominator, bound):
    history = descend(normalize, denominator)
    assert min(history) >= 32 * bound - HALF_THE_DIGITS
    assert history[-1] < history[0]


# ---------------------------------------------------------------------- precision and arguments


@denominators
def test_autocast_changes_nothing(denominator):
    """Similarities over tau = .07 in bf16 would be wrong in the second digit."""
    z, labels = vectors(16), torch.arange(8).repeat(2)
    for vector in (z.float(), z.bfloat16()):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = supcon_loss(vector, labels, 0.07, denominator)
        assert found.dtype == torch.float32
        exact = supcon_loss(vector.double(), labels, 0.07, denominator)
        # Numbers up to 2 / tau: sums of six products, and some ten roundings more.
        assert abs(found - exact) <= 16 * unit(torch.float32) * 2 / 0.07


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"denominator": "positives"}, "denominator must be .* got 'positives'"),
        ({"reduction": "none"}, "reduction must be .* got 'none'"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"got \(4, 6\) and \(3,\)"),
        ({"z": torch.zeros(4, 2, 3)}, r"got \(4, 2, 3\) and \(4,\)"),
    ],
)
def test_bad_arguments_are_named(arguments, message, unchecked_shapes):
    good = {"z": vectors(4), "labels": torch.tensor([0, 1, 0, 1])}
    with pytest.raises(ValueError, match=message):
        supcon_loss(**(good | arguments))


# ---------------------------------------------------------------------- eq. (7)-(10), (12)


def test_branch_loss_is_softmax_cross_entropy():
    logits, labels = vectors(5, 4), torch.tensor([0, 3, 1, 1, 2])
    expected = 0.0
    for row, c in zip(logits.tolist(), labels.tolist(), strict=True):
        expected -= math.log(math.exp(row[c]) / sum(map(math.exp, row))) / 5
    assert_same(branch_loss(logits, labels).item(), expected)
    assert_same(branch_loss(logits, labels), torch.nn.CrossEntropyLoss()(logits, labels))


def test_branch_loss_is_float32_under_autocast():
    logits, labels = vectors(5, 4).bfloat16(), torch.tensor([0, 3, 1, 1, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = branch_loss(logits, labels)
    assert loss.dtype == torch.float32
    exact = branch_loss(logits.double(), labels)
    assert (
        abs(loss - exact) <= 16 * unit(torch.float32) * exact
    )  # a sum of four exponentials, a mean of five terms


def test_totals_by_hand():
    raw, crop, drop, sup = (torch.tensor(v) for v in (1.0, 2.0, 5.0, 0.25))
    assert total_cross_entropy(raw).item() == 1
    assert total_cross_entropy(raw, crop).item() == 3
    assert total_cross_entropy(raw, drop=drop).item() == 2  # gamma = 0.2
    assert total_cross_entropy(raw, crop, drop).item() == 4
    assert total_cross_entropy(raw, crop, drop, gamma=0.5).item() == 5.5
    assert total_loss(total_cross_entropy(raw, crop, drop), sup).item() == 4.25
    assert total_loss(raw, sup, weight=2).item() == 1.5
    assert total_loss(raw, None).item() == 1


def test_the_mean_of_the_branches_divides_by_their_weights():
    raw, crop, drop = (torch.tensor(v) for v in (3.0, 5.0, 7.0))
    assert total_cross_entropy(raw, crop, drop, 0.5, 2.0).item() == 2 * 3 + 5 + 0.5 * 7
    mean = total_cross_entropy(raw, crop, drop, 0.5, 2.0, "mean").item()
    assert mean == pytest.approx((2 * 3 + 5 + 0.5 * 7) / 3.5)
    assert total_cross_entropy(raw, raw_weight=2.0).item() == 6
    assert total_cross_entropy(raw, crop, reduction="mean").item() == 4, "half of L_raw + L_crop"
    with pytest.raises(ValueError, match='reduction must be "sum" or "mean", got \'max\''):
        total_cross_entropy(raw, reduction="max")
