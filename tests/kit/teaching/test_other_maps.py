"""Chapter 10's measures: each map against its closed form or a library, each judge against a planted answer."""

import types

import numpy as np
import pytest
import torch
from pytorch_grad_cam import HiResCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy import stats

import gholm_lib as g
from gholm_kit.teaching import heatmap_tests
from gholm_kit.teaching import other_maps as om

POOLED_WEIGHT = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))


def pooled(a):
    """A head that pools first and is linear."""
    return a.mean((2, 3)) @ POOLED_WEIGHT.T


def late(a):
    """A head that pools after a nonlinearity."""
    return a.tanh().mean((2, 3)) @ POOLED_WEIGHT.T


@pytest.fixture
def a():
    return torch.randn(3, 8, 4, 5, generator=torch.Generator().manual_seed(1))


TARGET = torch.tensor([0, 3, 4])


@pytest.fixture
def net():
    config = g.load_config("mini", dataset="mini_birds")
    torch.manual_seed(0)
    return g.GHOLMNet.from_config(config, 5).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(2))


def test_hirescam_is_gradcam_where_the_head_pools_first_and_only_there(a):
    torch.testing.assert_close(om.hirescam(pooled, a, TARGET), g.gradcam(pooled, a, TARGET))
    assert not torch.allclose(om.hirescam(late, a, TARGET), g.gradcam(late, a, TARGET), rtol=0.05)


@pytest.mark.parametrize("head", [pooled, late])
def test_hirescam_is_that_of_pytorch_grad_cam(a, head):
    seam = om._Seam(head, a)
    with HiResCAM(seam, [seam.features]) as make:
        wanted = [ClassifierOutputTarget(c) for c in TARGET.tolist()]
        theirs = torch.from_numpy(make(a.clone().requires_grad_(), wanted))
    ours = heatmap_tests.min_max(om.hirescam(head, a, TARGET))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_ablation_of_a_pooled_linear_head_weighs_a_channel_by_its_share_of_the_logit(a):
    share = POOLED_WEIGHT[TARGET] * a.mean((2, 3))  # y^c falls by exactly this without the channel
    closed = torch.einsum("nc,nchw->nhw", share, a).relu()
    torch.testing.assert_close(om.ablation_cam(pooled, a, TARGET), closed, atol=1e-5, rtol=1e-4)


def test_occlusion_is_hot_where_the_logit_reads_the_picture(images):
    reads = types.SimpleNamespace(
        classify=lambda x: x[:, :, 16:32, 48:64].sum((1, 2, 3))[:, None].repeat(1, 2)
    )
    found = om.occlusion(reads, images.abs(), torch.zeros(2, dtype=torch.long), (7, 7))
    assert found.shape == (2, 7, 7)
    assert found.flatten(1).argmax(1).tolist() == [7 + 3] * 2
    assert (found > 0).sum() == 2


def test_every_map_is_one_value_a_cell_never_negative_and_knows_its_class(net, images):
    maps = om.maps_of(net, images, slow=False)
    assert {tuple(m.shape) for m in maps.values()} == {(2, 7, 7)}
    assert all((m >= 0).all() and not m.requires_grad for m in maps.values())
    said = net.classify(images).argmax(1)
    other = om.maps_of(net, images, (said + 1) % 5, slow=False)
    same = {n for n in maps if torch.equal(maps[n], other[n])}
    assert same == {"EigenCAM", *om.BLIND}, "these three do not ask for a class"


def test_making_maps_leaves_the_network_as_it_was(net, images):
    before = {k: v.clone() for k, v in net.state_dict().items()}
    om.maps_of(net, images, slow=False)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not net.training


def test_nearest_leaves_the_class_itself_out():
    logits = torch.tensor([[5.0, 1.0, 4.0, 8.0]])
    assert om.nearest(logits, torch.tensor([0]), 2).tolist() == [[2, 3]]
    assert om.nearest(logits[:, :2], torch.tensor([0])).tolist() == [[1]], "two classes have one neighbour"


# ---------------------------------------------------------------------- the truth


def test_the_hottest_tenth_is_as_large_in_a_flat_map_as_in_a_peaked_one():
    flat, peaked = torch.zeros(1, 10, 10), torch.rand(1, 10, 10) ** 9
    assert om.hottest(torch.cat([flat, peaked]), 0.1).sum((1, 2)).tolist() == [10, 10]
    assert om.hottest(peaked, 0.1)[0].flatten().nonzero().flatten().tolist() == sorted(
        peaked.flatten().topk(10).indices.tolist()
    )


def test_found_is_one_for_the_truth_itself_and_the_area_for_chance():
    where = torch.zeros(200, 20, 20)
    where[:, 3:9, 4:10] = 1  # 36 of 400 pixels
    assert (om.found(where, where, 0.09) == 1).all()
    chance = om.found(torch.rand(200, 20, 20, generator=torch.Generator().manual_seed(0)), where, 0.3)
    assert abs(chance.mean() - 0.3) < 5 * (0.3 * 0.7 / 36 / 200) ** 0.5
    assert np.isnan(om.found(where[:1], torch.zeros(1, 20, 20)))


def test_the_ceiling_keeps_the_sum():
    deciding = torch.rand(2, 112, 112)
    cells = om.ceiling(deciding, (7, 7))
    torch.testing.assert_close(cells.sum((1, 2)) * 16**2, deciding.sum((1, 2)))


# ---------------------------------------------------------------------- the judges


def sees_a_corner(config):
    """A network whose class 1 is the brightness of the top left corner."""
    return types.SimpleNamespace(
        config=config,
        classify=lambda x: torch.stack([torch.zeros(len(x)), x[:, :, :20, :20].mean((1, 2, 3)) * 4 - 2], 1),
    )


@pytest.mark.parametrize("judge", [om.deletion, om.insertion, om.road])
def test_a_judge_prefers_the_map_of_what_the_network_reads(judge):
    net = sees_a_corner(g.load_config("mini", dataset="mini_birds"))
    images = torch.zeros(3, 3, 60, 60)
    images[:, :, :20, :20] = 2.0
    right, wrong = torch.zeros(3, 60, 60), torch.zeros(3, 60, 60)
    right[:, :20, :20], wrong[:, 40:, 40:] = 1, 1
    assert (judge(net, images, right) > judge(net, images, wrong) + 0.05).all()


def test_the_sanity_check_fails_what_does_not_change_and_passes_the_opposite():
    m = torch.rand(4, 7, 7)
    told = om.sanity({"same": m, "opposite": m, "empty": m}, {"same": m, "opposite": -m, "empty": 0 * m})
    np.testing.assert_allclose([told[n].mean() for n in told], [0, 2, 1], atol=1e-9)


def scores(means, noise=0.0, count=30):
    random = np.random.default_rng(0)
    return {n: m + noise * random.normal(size=count) for n, m in means.items()}


def test_agreement_is_spearmans_and_its_interval_widens_with_noise():
    judge, truth = {"a": 3.0, "b": 1.0, "c": 2.0, "d": 9.0}, {"d": 0.4, "c": 0.5, "b": 0.1, "a": 0.3}
    value, low, high = om.agreement(scores(judge), scores(truth))
    wanted = stats.spearmanr([3, 1, 2, 9], [0.3, 0.1, 0.5, 0.4]).statistic
    np.testing.assert_allclose([value, low, high], wanted)
    value, low, high = om.agreement(scores(judge, 9.0), scores(truth, 1.0))
    assert high - low > 0.5
    assert low <= value <= high


def test_agreement_leaves_out_images_without_truth():
    truth = scores({"a": 1.0, "b": 2.0, "c": 3.0})
    truth["c"][0] = np.nan
    assert om.agreement(scores({"a": 1.0, "b": 2.0, "c": 3.0}), truth)[0] == pytest.approx(1)


# ---------------------------------------------------------------------- the short cut


def test_the_mark_is_put_where_it_is_said_to_be(images):
    changed = (om.marked(images) != images).any(1)
    assert torch.equal(changed, om.mark_places(images) > 0)


@pytest.mark.slow
def test_a_network_learns_the_mark_where_the_picture_says_nothing():
    """On noise, only the mark tells class 0 from the others."""
    config = g.load_config("mini", dataset="mini_birds")
    images = 0.5 * torch.randn(64, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(64) % 4
    net = om.learn_short_cut(config, images, labels)
    with torch.no_grad():
        assert (net.classify(om.marked(images)).argmax(1) == 0).float().mean() > 0.9
        assert (net.classify(images).argmax(1) == 0).float().mean() < 0.5
