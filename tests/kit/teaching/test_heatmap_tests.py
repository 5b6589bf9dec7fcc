"""Measures of a heatmap against independent facts: scipy, parts placed by hand, a network that has forgotten."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr

from gholm_kit.teaching import deciding_parts
from gholm_kit.teaching import heatmap_tests as hq
from gholm_lib.config import Config
from gholm_lib.datasets import Sample
from gholm_lib.gradcam import gradcam, upsample
from gholm_lib.loading import to_input, to_picture
from tests.rounding import assert_same, by_pytorch_grad_cam

pytestmark = pytest.mark.numeric

STRETCHED = Config(image_size=112, resize=112, random_crop=False)
CENTRE = Config(image_size=112, resize=128)


# ---------------------------------------------------------------------- how alike are two maps?


def test_rank_correlation_is_spearmans_with_ties():
    generator = torch.Generator().manual_seed(0)
    # Half of the numbers tie at 0.
    a, b = (torch.randn(4, 6, 7, generator=generator).double().relu() for _ in "ab")
    expected = [spearmanr(x.flatten(), y.flatten()).statistic for x, y in zip(a, b, strict=True)]
    assert_same(hq.rank_correlation(a, b), expected)
    assert_same(hq.rank_correlation(a, 3 * a**3), np.ones(4))


def test_a_constant_map_has_no_order():
    a = torch.rand(2, 3, 3)
    b = a.clone()
    b[1] = 0
    found = hq.rank_correlation(a, b)
    assert found[0] == pytest.approx(1)
    assert np.isnan(found[1])


def test_mean_interval_of_a_proportion_is_close_to_the_normal_one():
    half = 1.96 * np.sqrt(0.3 * 0.7 / 400)
    for values in (np.arange(400) < 120, np.float64(np.arange(400) < 120)):  # Wilson, bootstrap
        mean, low, high = hq.mean_interval(values)
        assert mean == pytest.approx(0.3)
        assert (low, high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.008)
        assert hq.mean_interval(values) == (mean, low, high)


def test_ten_misses_of_ten_do_not_prove_that_there_is_never_a_hit():
    mean, low, high = hq.mean_interval(np.zeros(10, bool))
    assert (mean, low) == (0, 0)
    assert high > 0.2


def test_mean_interval_leaves_out_what_is_undefined():
    assert hq.mean_interval(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0, 1.0)
    assert np.isnan(hq.mean_interval(np.array([np.nan]))).all()


# ---------------------------------------------------------------------- other libraries


@pytest.fixture
def net(small_study):
    return small_study[0]


def test_other_libraries_draw_the_same_maps_and_leave_the_network_alone(small_study):
    net, study, *_ = small_study
    net.train()
    before = [p.clone() for p in net.parameters()]
    with torch.no_grad():
        ours = gradcam(net.head, net.backbone.forward_features(study.images))
    assert (ours.amax((1, 2)) > 0).all()
    others = hq.other_libraries(net.backbone)
    assert set(others) == {"captum", "torch-cam", "pytorch-grad-cam"}
    if others["torch-cam"] is None:
        others.pop("torch-cam")  # has no release for Python 3.10
    for name, run in others.items():
        theirs = run(study.images.clone())
        if name == "pytorch-grad-cam":  # scaled and enlarged, in float32
            assert (theirs - hq.min_max(upsample(ours, 32))).abs().max() <= by_pytorch_grad_cam(ours)
        else:
            assert_same(theirs, ours)
    assert net.training
    assert all(p.grad is None for p in net.parameters())
    assert all(map(torch.equal, net.parameters(), before))


def test_a_library_that_is_not_installed_is_none(net, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)  # importing it raises ImportError
    others = hq.other_libraries(net.backbone)
    assert others["captum"] is None
    assert others["pytorch-grad-cam"] is not None


def test_min_max():
    heat = torch.tensor([[[1.0, 3.0], [2.0, 1.0]], [[4.0, 4.0], [4.0, 4.0]]])
    assert hq.min_max(heat).tolist() == [[[0, 1], [0.5, 0]], [[0, 0], [0, 0]]]


# ---------------------------------------------------------------------- forgetting


def test_forgetting_goes_from_the_head_to_the_stem_and_keeps_the_numbers(net):
    names, state = [], {k: v.clone() for k, v in net.backbone.state_dict().items()}
    for name, shuffled in hq.shuffled_from_the_top(net.backbone):
        names.append(name)
        changed = {
            k.split(".")[0] if not k.startswith("stages") else ".".join(k.split(".")[:2])
            for k, v in shuffled.state_dict().items()
            if not torch.equal(v, state[k])
        }
        assert changed == set(names)  # it and those before, nothing else
    assert names == ["head", "stages.3", "stages.2", "stages.1", "stages.0", "stem"]
    for key, value in shuffled.state_dict().items():
        assert torch.equal(value.flatten().sort()[0], state[key].flatten().sort()[0])
    assert all(torch.equal(v, state[k]) for k, v in net.backbone.state_dict().items())


def test_the_unweighted_map_does_not_see_the_head_and_gradcam_does(small_study):
    net, study, *_ = small_study
    kept = {w: hq.forgetting(net.backbone, study.images, study.labels, w) for w in (True, False)}
    assert list(kept[True])[:2] == ["trained", "head"]
    assert_same(kept[False]["head"], np.ones(3))
    assert np.nanmax(kept[True]["head"]) < 0.999
    assert_same(kept[True]["trained"], np.ones(3))


def test_a_map_that_vanishes_counts_as_nothing_left_and_one_that_never_was_does_not_count(monkeypatch):
    maps = iter(torch.tensor([[[[1.0, 2.0]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[1.0, 2.0]]]]))
    monkeypatch.setattr(hq, "_maps", lambda *_: next(maps))
    monkeypatch.setattr(hq, "shuffled_from_the_top", lambda *_: [("head", None)])
    kept = hq.forgetting(None, None, None)
    np.testing.assert_array_equal(kept["trained"], [1, np.nan])
    np.testing.assert_array_equal(kept["head"], [0, np.nan])


# ---------------------------------------------------------------------- where the parts are


def truth_with(discs):
    return SimpleNamespace(
        classes=("a", "b"),
        parts=tuple(discs),
        differing_parts=lambda a, b: tuple(discs),
        regions=lambda _: discs,
        part_map=lambda _: np.zeros((224, 224), np.uint8),
    )


@pytest.mark.parametrize("config", [STRETCHED, CENTRE], ids=["stretched", "centre crop"])
def test_regions_lie_where_the_test_image_shows_them(config):
    truth = truth_with({"beak": (50.0, 60.0, 20.0), "tail": (170.0, 150.0, 12.0)})
    regions = hq.deciding_regions(truth, [Sample(None, 0, "x")], config)
    (found,) = hq.region_masks(regions, 112).numpy()
    y, x = np.mgrid[0:224, 0:224]
    discs = ((x - 50) ** 2 + (y - 60) ** 2 <= 400) | ((x - 170) ** 2 + (y - 150) ** 2 <= 144)
    seen = (
        to_picture(to_input(Image.fromarray(np.uint8(255 * discs)).convert("RGB"), config), config)[0] > 0.5
    )
    assert (found != seen.numpy()).sum() <= 0.1 * seen.sum()  # rim pixels only
    deciding = deciding_parts.deciding_map(truth, Sample(None, 0, "x"), config) > 0
    assert (
        found != deciding.numpy()
    ).sum() <= 0.05 * deciding.sum()  # chapters 02 and 03 measure on the same discs


def test_a_part_that_the_crop_cuts_off_is_left_out():
    truth = truth_with({"beak": (4.0, 100.0, 20.0), "tail": (150.0, 100.0, 20.0)})
    assert list(hq.deciding_regions(truth, [Sample(None, 0, "x")], CENTRE)[0]) == ["tail"]
    assert list(hq.deciding_regions(truth, [Sample(None, 0, "x")], STRETCHED)[0]) == ["beak", "tail"]


@pytest.mark.parametrize("config", [STRETCHED, CENTRE], ids=["stretched", "centre crop"])
def test_object_masks_lie_where_the_test_image_shows_the_object(config):
    truth = truth_with({})
    truth.part_map = lambda image_id: np.uint8(2 * (np.arange(224)[None, :] >= 168) * np.ones((224, 1)))
    (found,) = hq.object_masks(truth, [Sample(None, 0, "x")], config)
    scale = (config.resize if config.random_crop else config.image_size) / 224
    cut = ((config.resize - config.image_size) / 2) if config.random_crop else 0
    assert found.all(0).nonzero()[0].item() == pytest.approx(168 * scale - cut, abs=1)
    assert torch.equal(found.any(0), found.all(0))


REGIONS = [{"beak": (2.0, 3.0, 1.0), "eye": (6.0, 6.0, 1.5)}, {"eye": (0.0, 0.0, 1.0)}, {}]


def test_region_masks_hold_the_discs():
    masks = hq.region_masks(REGIONS, 8)
    assert masks.sum((1, 2)).tolist() == [5 + 9, 3, 0]
    assert masks[0, 3, 2]
    assert not masks[0, 2, 3]  # x comes first in a disc, y first in a mask


def test_the_pointing_game():
    heat = torch.zeros(3, 8, 8)
    heat[0, 3, 2] = heat[0, 7, 0] = 1
    heat[0, 3, 2] += 1e-3
    heat[1, 7, 7] = 1  # the third map stays empty
    assert hq.hottest_pixels(heat).tolist() == [[2, 3], [7, 7], [-1, -1]]
    everywhere = torch.ones(3, 8, 8, dtype=torch.bool)
    assert hq.points_into(heat, hq.region_masks(REGIONS, 8)).tolist() == [True, False, False]
    assert hq.points_into(heat, everywhere).tolist() == [True, True, False]


def test_part_hits_count_centres():
    masks = torch.zeros(3, 8, 8, dtype=torch.bool)
    masks[0, 3, 2] = masks[1, 1, 1] = True
    np.testing.assert_array_equal(hq.part_hits(masks, REGIONS), [0.5, 0, np.nan])


def test_a_random_mask_hits_by_its_area():
    """The baseline "chance" of the part hits, by drawing."""
    masks = torch.rand(4000, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.3
    hits = hq.part_hits(masks, [REGIONS[0]] * 4000)
    assert hits.mean() == pytest.approx(0.3, abs=0.02)


def test_centred_discs_have_the_masks_area_and_stand_in_the_middle():
    masks = torch.zeros(3, 10, 10, dtype=torch.bool)
    masks[0, 0, :4] = True
    masks[1, :8, :] = True
    discs = hq.centred_discs(masks)
    assert discs.sum((1, 2)).tolist() == [4, 80, 0]
    assert discs[0, 4:6, 4:6].all()
    assert not discs[1, 0, 0]


def test_another_reading_of_the_layer_leaves_the_network_as_it_is(small_study):
    net, study, *_ = small_study
    plain = net.heatmap(study.images)
    by_layer = {k: hq.heat_by(net, study.images, cam_layer=k) for k in ("features", "depthwise", "norm")}
    assert_same(by_layer["features"], plain)
    assert not torch.allclose(by_layer["norm"], plain)
    assert not torch.allclose(by_layer["depthwise"], plain)
    assert net.config.cam_layer == "features"
    assert_same(net.heatmap(study.images), plain)


def test_heat_by_goes_through_the_images_in_pieces(small_study, monkeypatch):
    net, study, *_ = small_study
    whole = hq.heat_by(net, study.images, study.labels)
    monkeypatch.setattr(hq, "BATCH", 2)
    assert_same(hq.heat_by(net, study.images, study.labels), whole)
    assert_same(whole, net.heatmap(study.images, study.labels))
    assert len(hq.heat_by(net, study.images)) == len(study.images)


def test_the_hottest_share_is_that_share_of_the_pixels_and_hotter_than_the_rest():
    heat = torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(0))
    for share in (0.0, 0.15, 0.5, 1.0):
        mask = hq.hottest_share(heat, share)
        assert mask.sum((1, 2)).tolist() == [round(100 * share)] * 3
        if 0 < share < 1:
            assert all(h[m].min() > h[~m].max() for h, m in zip(heat, mask, strict=True))


def test_no_share_contains_what_a_map_leaves_cold():
    heat = torch.zeros(1, 10, 10)
    heat[0, 2, 3:6] = 1.0
    assert hq.hottest_share(heat, 0.2).sum() == 3


def test_the_ceiling_of_a_map_is_the_truth_at_its_resolution():
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, :4, :4] = True  # exactly one of 2 x 2 cells, half of each side of one of 1 x 1
    assert hq.ceiling_map(masks, 8).equal(masks.float())
    assert hq.ceiling_map(masks, 1).unique().tolist() == [0.25]
    fine, coarse = (float(deciding_parts.share(hq.ceiling_map(masks, n), masks)) for n in (4, 2))
    assert 1 > fine > coarse > 0.25
