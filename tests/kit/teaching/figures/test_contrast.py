"""Chapter 04's numbers against closed forms; its pictures show what they are given."""

import matplotlib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

import gholm_lib as g
from gholm_kit.teaching.figures import contrast
from tests.rounding import assert_same

pytestmark = pytest.mark.numeric

matplotlib.use("Agg")
LABELS = torch.tensor([4, 9, 4, 7])


def test_pair_kinds_agree_with_the_sets_of_eq_11():
    kinds = contrast.pair_kinds(LABELS)
    both = LABELS.repeat(2)
    assert kinds.shape == (8, 8)
    assert torch.equal(kinds == contrast.OTHER, both[:, None] != both[None])
    assert torch.equal(kinds.diagonal(), torch.full((8,), contrast.ITSELF))
    own = (kinds == contrast.OWN).nonzero()
    assert torch.equal((own[:, 0] - own[:, 1]).abs(), torch.full((8,), 4))
    assert int((kinds[0] == contrast.SAME).sum()) == 2


@pytest.mark.parametrize(
    ("images", "per_class", "batch"), [(5994, 30, 16), (440, 40, 16), (10, 2, 3), (8, 8, 4)]
)
def test_chance_of_a_partner_is_hypergeometric(images, per_class, batch):
    none = stats.hypergeom(images - 1, per_class - 1, batch - 1).pmf(0)
    assert contrast.chance_of_a_partner(images, per_class, batch) == pytest.approx(1 - none)


def test_partners_of_the_kits_own_batches_come_as_often_as_the_closed_form_says():
    found = contrast.partners(np.arange(6000) % 200, batch=16, epochs=40, seed=3)
    assert len(found) == 40 * 6000
    assert (found > 0).mean() == pytest.approx(contrast.chance_of_a_partner(6000, 30, 16), abs=0.004)


def test_partners_counts_the_others():
    assert sorted(contrast.partners([7, 7, 8, 9, 9, 9], batch=6, epochs=1)) == [0, 1, 1, 2, 2, 2]


def test_negative_shares_are_the_gradient_with_respect_to_the_products():
    z = F.normalize(torch.randn(8, 5, generator=torch.Generator().manual_seed(0)))
    labels, tau = LABELS.repeat(2), 0.3
    s = (z @ z.T).requires_grad_()
    same = labels[:, None] == labels[None]
    positives = same & ~torch.eye(8, dtype=torch.bool)
    below = (s / tau).masked_fill(same, -torch.inf).logsumexp(1, keepdim=True)
    loss = -((s / tau - below) * positives).sum(1) / positives.sum(1)
    (slope,) = torch.autograd.grad(loss.sum(), s)
    torch.testing.assert_close(contrast.negative_shares(3 * z, labels, tau), (tau * slope).where(~same, 0.0))


def test_only_free_vectors_under_the_printed_form_pass_every_bound():
    labels = LABELS.repeat(2)
    found = {
        (unit, form): contrast.free_descent(labels, 60, normalize=unit, denominator=form)
        for unit in (True, False)
        for form in ("negatives", "all")
    }
    assert found[False, "negatives"][-1] < -1e4
    assert min(found[False, "all"]) >= 0
    assert min(found[True, "negatives"]) >= -2 / 0.7 + np.log(4)
    assert found[True, "all"][-1] < found[True, "all"][0]


def test_a_descent_that_overflows_ends_there():
    losses = contrast.free_descent(LABELS.repeat(2), 3000, normalize=False)
    assert len(losses) < 3000
    assert not np.isfinite(losses[-1])
    assert np.isfinite(losses[:-1]).all()


def test_the_plane_keeps_what_lies_in_a_plane():
    flat = torch.randn(20, 2, generator=torch.Generator().manual_seed(1)).double()
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(2)).double()).Q
    points, share = contrast.plane(flat @ turn[:2] + 3)
    assert_same(share, 1.0)
    assert_same(np.linalg.norm(points[0] - points[1]), (flat[0] - flat[1]).norm().item())


def test_mean_cosines_sort_pairs_by_kind():
    raw = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, -1]])
    cosines = contrast.mean_cosines(torch.cat([raw, raw]), LABELS)
    assert cosines[contrast.KINDS[contrast.OWN]] == pytest.approx(1)
    assert cosines[contrast.KINDS[contrast.SAME]] == pytest.approx(1)
    assert cosines[contrast.KINDS[contrast.OTHER]] < 0


def test_loss_scales_are_those_of_the_networks_own_losses():
    config = g.Config(image_size=64, resize=64, theta_low=1.5, theta_high=1.5)
    torch.manual_seed(0)
    net = g.GHOLMNet.from_config(config, 10).double().eval()
    images = torch.randn(4, 3, 64, 64).double()
    found = contrast.loss_scales(net, images, LABELS)
    losses = net(images, LABELS).losses
    values = found["loss"].values()
    names = list(found["loss"])
    assert len(names) == 3
    ce, mean, total = values
    assert_same(mean, losses["sup"].item())
    assert_same(total, 8 * mean)
    assert_same(ce, (losses["total"] - losses["sup"]).item())
    slopes = list(found["push on the logits"].values())
    assert_same(slopes[2], 8 * slopes[1])


def pictures():
    return torch.rand(8, 6, 6, 3, generator=torch.Generator().manual_seed(0))


def test_the_matrix_shows_every_vector_and_says_that_it_is_drawn():
    fig = contrast.pair_matrix(pictures(), LABELS, "mini_birds")
    # Two halves of the matrix, 8 thumbnails above, 4 at the left.
    assert len(fig.axes[0].images) == 2 + 8 + 4
    raw, crops = (image.get_array() for image in fig.axes[0].images[:9:5])
    assert raw.shape == crops.shape == (4, 4)
    assert (np.diag(raw) == contrast.ITSELF).all()
    assert (np.diag(crops) == contrast.OWN).all()
    assert raw[0, 1] == contrast.SAME  # the two of one class stand together
    assert any("drawn" in t.get_text() for t in fig.axes[0].texts)
    plain = contrast.pair_matrix(pictures(), LABELS, "cub")
    assert not any("drawn" in t.get_text() for t in plain.axes[0].texts)


def test_one_anchor_shows_as_many_pictures_as_it_has_partners():
    fig = contrast.anchor_pairs(pictures(), LABELS, 0, [f"class {k}" for k in range(10)], "mini_birds")
    titles = [ax.get_title() for ax in fig.axes]
    assert "class 4" in titles[0]
    assert titles[1].startswith("3 positives")
    assert titles[2].startswith("4 negatives")


def test_embeddings_join_each_raw_with_its_crop():
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    fig = contrast.embeddings({"a": z, "b": 2 * z}, torch.tensor([0, 1, 0, 2]), ["x", "y", "w"], "mini_birds")
    assert len(fig.axes) == 2
    joined = [line for line in fig.axes[0].lines if len(line.get_xdata()) == 2]
    assert len(joined) == 4
    points, _ = contrast.plane(z)
    np.testing.assert_allclose(joined[1].get_xdata(), points[[1, 5], 0])


def test_partner_curves_end_where_the_set_ends():
    fig = contrast.partner_curves({"small": (11, 440)}, 16, {"small": 0.7})
    line, ring = fig.axes[0].lines[:2]
    assert max(line.get_xdata()) <= 440
    assert list(ring.get_ydata()) == pytest.approx([70])


def test_bars_curves_and_arrows_are_drawn_to_their_values():
    bars = contrast.scale_bars({"loss": {"a": 1.0, "b": 100.0}}).axes[0].patches
    assert [bar.get_width() for bar in bars] == [1.0, 100.0]
    fig = contrast.pull_curves(
        [0, 1], {"printed": [3, 2], "all": [3, 2.5]}, {"printed": [1, 1], "all": [1, 0.5]}
    )
    assert list(fig.axes[1].lines[2].get_ydata()) == [1, 0.5]
    shares = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.5, 0.5]])
    line = contrast.hard_negatives({0.1: shares}).axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [0, 60, 100, 100], rtol=1e-5)
    z = torch.eye(2)
    fig = contrast.circle({"now": (z, 0.5 * z), "later": (z, 0 * z)}, torch.tensor([0, 1]), ["a", "b"])
    arrows = [[t for t in ax.texts if getattr(t, "arrow_patch", None)] for ax in fig.axes]
    assert [len(a) for a in arrows] == [2, 0]
    curves = {name: [5.0, 1.0, -200.0] for name in "abcd"}
    near_zero = contrast.descent(curves, floor=0.5, simplex=1.25).axes[1]
    assert {0.5, 1.25} <= {line.get_ydata()[0] for line in near_zero.lines if len(line.get_ydata()) == 2}


def test_the_words_give_the_angles_on_the_circle():
    z = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    said = contrast.circle_in_words({"now": (z, z), "later": (-z, z)}, ["a", "b"])
    assert said == "Their angles: now: a 0°, b 270°; later: a 180°, b 90°."


def test_the_words_count_the_pairs():
    kinds = contrast.pair_kinds(LABELS)[: len(LABELS)]
    positive = int(((kinds == contrast.OWN) | (kinds == contrast.SAME)).sum())
    assert contrast.matrix_in_words(LABELS).startswith(
        f"Of {2 * len(LABELS) ** 2} pairs, {positive} are positive"
    )
    said = contrast.pairs_in_words(LABELS, 0, [f"class {k}" for k in range(10)])
    assert "class 4, with 3 positives" in said
    assert "and 4 negatives" in said


def test_thumbnails_are_twice_as_large_as_a_cell_and_cover_neither_each_other_nor_the_matrix():
    fig = contrast.pair_matrix(pictures(), LABELS, "cub")
    small = [im.get_extent() for im in fig.axes[0].images if im.get_array().ndim == 3]
    assert all(right - left > 1.8 for left, right, *_ in small)
    for k, (left, right, low, high) in enumerate(small):
        assert right <= 0 or low <= 0  # left of the matrix, or above it
        for other in small[:k]:
            apart = other[1] <= left or right <= other[0] or other[2] <= high or low <= other[3]
            assert apart
