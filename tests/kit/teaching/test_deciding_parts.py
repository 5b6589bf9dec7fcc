"""Boxes and masks against ground truth: closed forms, the kit's own pictures, and the network's own crop path."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gholm_kit.drawn import load_truth, write
from gholm_kit.teaching import deciding_parts
from gholm_lib import masking
from gholm_lib.config import Config
from gholm_lib.datasets import Sample, load_dataset
from gholm_lib.loading import to_input, to_picture
from tests.rounding import assert_same, unit

pytestmark = pytest.mark.numeric

STRETCHED = Config(image_size=112, random_crop=False, resize=112)
CENTRE = Config(image_size=112, resize=128)


@pytest.mark.parametrize("config", [STRETCHED, CENTRE])
@pytest.mark.parametrize("size", [(224, 224), (300, 200)])
def test_a_box_in_the_view_frames_the_same_pixels_as_in_the_file(config, size):
    """A white rectangle is painted, sent through the test transform, and looked for."""
    box = (60, 70, 150, 130)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    seen = to_picture(to_input(Image.fromarray(pixels), config), config)[0] > 0.5
    rows, columns = seen.nonzero().T
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(deciding_parts.view_box(box, size, config), found, atol=0.75)


def test_a_box_is_cut_off_where_the_view_ends():
    assert deciding_parts.view_box((0, 0, 224, 224), (224, 224), CENTRE) == [0, 0, 112, 112]


def test_iou():
    a = torch.tensor([[0, 0, 4, 2], [0, 0, 4, 2], [0, 0, 4, 2], [1, 1, 1, 1]])
    b = torch.tensor([[0, 0, 4, 2], [2, 0, 6, 2], [4, 0, 6, 2], [3, 3, 3, 3]])
    assert_same(deciding_parts.iou(a, b), np.array([1, 4 / 12, 0, 0]))


def test_box_masks_are_half_open():
    (mask,) = deciding_parts.box_masks(torch.tensor([[1, 2, 4, 3]]), 5)
    assert mask.sum() == 3
    assert mask[2, 1:4].all()


# ---------------------------------------------------------------------- deciding maps

TRAITS = {
    "a": {"beak": 0, "eye": 0, "tail": 0},
    "b": {"beak": 1, "eye": 0, "tail": 0},
    "c": {"beak": 1, "eye": 1, "tail": 1},
}
DISCS = {"beak": (50.0, 60.0, 20.0), "eye": (150.0, 60.0, 10.0), "tail": (-90.0, 60.0, 10.0)}
TRUTH = SimpleNamespace(
    parts=("beak", "eye", "tail"),
    classes=("a", "b", "c"),
    differing_parts=lambda a, b: tuple(p for p in TRAITS[a] if TRAITS[a][p] != TRAITS[b][p]),
    part_map=lambda image_id: np.zeros((224, 224), np.uint8),
    regions=lambda image_id: DISCS,
)


def test_the_parts_of_a_class_are_those_against_its_nearest_classes():
    assert deciding_parts.nearest_classes(TRUTH, "a") == {"b": ("beak",)}
    assert deciding_parts.class_parts(TRUTH, "c") == ("eye", "tail")


@pytest.mark.parametrize("config", [STRETCHED, CENTRE])
def test_a_deciding_map_lies_on_the_discs(config):
    found = deciding_parts.deciding_map(TRUTH, Sample(None, 0, "x"), config)
    assert found.double().sum() == pytest.approx(
        1, abs=2 * unit(torch.float32)
    )  # each pixel is rounded by itself
    y, x = np.mgrid[0:224, 0:224]
    disc = np.uint8(255 * ((x - 50) ** 2 + (y - 60) ** 2 <= 400))
    seen = to_picture(to_input(Image.fromarray(disc).convert("RGB"), config), config)[0] > 0.5
    assert ((found > 0) != seen).sum() <= 0.1 * seen.sum()  # they differ by rim pixels only


def test_parts_outside_the_view_are_left_out():
    """Class c is told by eye and tail, and the tail's disc lies outside the picture."""
    found = deciding_parts.deciding_map(TRUTH, Sample(None, 2, "x"), STRETCHED)
    assert found.double().sum() == pytest.approx(1, abs=2 * unit(torch.float32))
    assert (found.nonzero()[:, 1] > 60).all()
    gone = SimpleNamespace(**{**vars(TRUTH), "regions": lambda _: dict.fromkeys(DISCS, (-90.0, 0.0, 5.0))})
    assert deciding_parts.deciding_map(gone, Sample(None, 0, "x"), STRETCHED).sum() == 0


def test_share_does_not_mind_the_scale():
    weights = torch.tensor([[[1.0, 3.0]], [[0.0, 0.0]]])
    mask = torch.tensor([[[True, False]], [[True, True]]])
    torch.testing.assert_close(deciding_parts.share(weights, mask), torch.tensor([0.25, 0.0]))
    torch.testing.assert_close(deciding_parts.share(7 * weights, mask), torch.tensor([0.25, 0.0]))


# ---------------------------------------------------------------------- crops


def test_component_boxes_agree_with_the_librarys_choice():
    generator = np.random.default_rng(0)
    for _ in range(40):
        mask = generator.random((12, 14)) < 0.4
        for connectivity in (4, 8):
            labels, boxes, areas = deciding_parts.component_boxes(mask, connectivity)
            library = masking.largest_component_boxes(torch.from_numpy(mask)[None], connectivity)[0]
            assert boxes[0].tolist() == library.tolist()
            assert list(areas) == sorted(areas, reverse=True)
            assert [int((labels == k + 1).sum()) for k in range(len(areas))] == list(areas)
            assert np.array_equal(labels > 0, mask)


def test_crop_sweep_says_what_the_networks_own_path_says(small_study):
    net, study, _, _ = small_study
    heat = deciding_parts.heat_of(net, study.images)
    assert_same(heat, net.heatmap(study.images))
    sweep = deciding_parts.crop_sweep(net, study, heat, [1.1, 1.7])
    out = net.attend(study.images)
    rows = sweep[sweep.mu == 1.7]
    np.testing.assert_allclose(rows.box_area, out.attention.box_area)
    assert rows.crop_right.tolist() == (out.crop_logits.argmax(1) == study.labels).tolist()
    assert rows.both_right.tolist() == (out.logits.argmax(1) == study.labels).tolist()
    assert rows.image.tolist() == [0, 1, 2]


def test_crop_sweep_measures_area_overlap_and_places(small_study):
    net, study, heat, _ = small_study
    sweep = deciding_parts.crop_sweep(net, study, heat, [1.7])
    np.testing.assert_allclose(sweep.box_area, [96 / 1024, 144 / 1024, 1])
    np.testing.assert_allclose(sweep.iou, [1, 0, 1])
    assert_same(sweep.kept.to_numpy(), [96 / 256, 0, 1])


def test_what_the_data_set_does_not_know_is_nan(small_study):
    net, study, heat, _ = small_study
    unknown = replace(study, boxes=None, deciding=None)
    sweep = deciding_parts.crop_sweep(net, unknown, heat, [1.7])
    assert sweep.iou.isna().all()
    assert sweep.kept.isna().all()
    assert deciding_parts.erasure_sweep(net, unknown, heat, [1.5]).removed.isna().all()
    assert deciding_parts.after_erasure(net, unknown, heat, 1.5)[0].deciding_after.isna().all()
    with pytest.raises(ValueError, match="ground truth"):
        deciding_parts.wrong_components(unknown, heat, 1.7)


def test_a_wrong_component_is_found(small_study):
    """Picture 1: the largest component lies off the deciding parts, the small one on them."""
    _, study, heat, _ = small_study
    found = deciding_parts.wrong_components(study, heat, 1.7)
    assert found.image.tolist() == [1]
    assert found.components.tolist() == [2]
    assert_same(found[["largest", "other", "missed"]].to_numpy(), [[0, 4 / 256, 4 / 256]])


def test_best_mu_counts_right_answers_on_the_same_images():
    import pandas as pd

    right = {1.0: [True] * 8 + [False] * 2, 2.0: [True] * 2 + [False] * 8}
    sweep = pd.DataFrame([{"mu": mu, "crop_right": r} for mu, rows in right.items() for r in rows])
    found = deciding_parts.best_mu(sweep, 2.0)
    assert (found["best"], found["best_accuracy"], found["accuracy"]) == (1.0, 80, 20)
    assert found["p"] == pytest.approx(2 * 0.5**6)
    with pytest.raises(ValueError, match="not in the sweep"):
        deciding_parts.best_mu(sweep, 1.7)


# ---------------------------------------------------------------------- erasure


def test_level_masks_by_mean_and_by_max(small_study):
    _, _, heat, _ = small_study
    assert torch.equal(deciding_parts.level_masks(heat, 1.5), masking.threshold(heat, 1.5))
    assert deciding_parts.level_masks(heat, 0.5, "max")[1].sum() == 4  # only the hot patch
    each = torch.tensor([0.5, 0.1, 0.5])
    assert deciding_parts.level_masks(heat, each, "max").sum((1, 2)).tolist() == [96, 148, 0]
    with pytest.raises(ValueError, match="mean"):
        deciding_parts.level_masks(heat, 0.5, "median")


def test_moved_masks_keep_shape_and_area():
    masks = torch.zeros(50, 20, 30, dtype=torch.bool)
    masks[:, 3:6, 25:30] = True
    found = deciding_parts.moved(masks, seed=1)
    assert (found.sum((1, 2)) == 15).all()
    # A rectangle moved round the edges still has 3 full rows and 5 full columns.
    assert (found.any(2).sum(1) == 3).all()
    assert (found.any(1).sum(1) == 5).all()
    assert torch.equal(found, deciding_parts.moved(masks, seed=1))
    assert not torch.equal(found, deciding_parts.moved(masks, seed=2))
    assert len({tuple(m.nonzero()[0].tolist()) for m in found}) > 30  # each image by an offset of its own


def test_erasure_sweep_against_the_parts_by_hand(small_study):
    net, study, heat, _ = small_study
    sweep = deciding_parts.erasure_sweep(net, study, heat, [1.5], fill="black")
    mask = masking.threshold(heat, 1.5)
    said = deciding_parts.logits_of(net, study.images).argmax(1)
    logits = deciding_parts.logits_of(net, masking.erase(study.images, mask, "black"))
    rows = sweep[sweep.place == "attended"]
    np.testing.assert_allclose(rows.erased, [96 / 1024, 148 / 1024, 0])
    assert_same(rows.removed.to_numpy(), [96 / 256, 4 / 256, 0])
    assert_same(rows.confidence.to_numpy(), logits.softmax(1)[range(3), said])
    assert rows.right.tolist() == (logits.argmax(1) == study.labels).tolist()
    np.testing.assert_allclose(sweep[sweep.place == "moved"].erased, rows.erased)


def test_noise_is_drawn_from_the_seed_and_leaves_other_draws_alone(small_study):
    net, study, heat, _ = small_study
    mask = masking.threshold(heat, 1.5)
    torch.manual_seed(5)
    first = deciding_parts.erased(net, study.images, mask, "noise", seed=1)
    assert torch.equal(first, deciding_parts.erased(net, study.images, mask, "noise", seed=1))
    assert not torch.equal(first, deciding_parts.erased(net, study.images, mask, "noise", seed=2))
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_after_erasure_looks_again_on_the_erased_images(small_study):
    net, study, heat, _ = small_study
    table, second = deciding_parts.after_erasure(net, study, heat, 1.5)
    images = masking.erase(study.images, masking.threshold(heat, 1.5))
    assert_same(second, net.heatmap(images))
    inside = deciding_parts.share(second, masking.threshold(heat, 1.5))
    assert_same(table.heat_in_hole.to_numpy(), inside)
    assert not table.changed[2]  # nothing was erased there
    assert table.heat_in_hole[2] == 0


def test_a_study_of_the_kits_own_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "TRAIN", 1)
    monkeypatch.setattr(write, "TEST", 1)
    in_this_process = SimpleNamespace(map=lambda function, *rows, chunksize: map(function, *rows))
    monkeypatch.setattr(write, "worker_pool", lambda: nullcontext(in_this_process))
    write.draw_family("mini_birds", tmp_path / "mini_birds", progress=False)
    data = load_dataset("mini_birds", tmp_path)
    truth = load_truth(data.root)
    study = deciding_parts.study_images(data, CENTRE, truth, count=11)
    assert len(study) == 11
    assert study.images.shape == (11, 3, 112, 112)
    assert study.labels.tolist() == [s.label for s in study.samples]
    # Means over parts of means over pixels, each rounded by itself.
    assert (study.deciding.double().sum((1, 2)) - 1).abs().max() <= 4 * unit(torch.float32)
    # A visible deciding part lies on the deciding map: the discs hold every variant of it.
    sample, parts = study.samples[0], truth.part_map(study.samples[0].image_id)
    names = deciding_parts.class_parts(truth, truth.classes[sample.label])
    visible = np.isin(parts, [2 + truth.parts.index(p) for p in names])
    seen = (
        to_picture(to_input(Image.fromarray(np.uint8(255 * visible)).convert("RGB"), CENTRE), CENTRE)[0] > 0.5
    )
    assert seen.any()
    assert (study.deciding[0] > 0)[seen].float().mean() > 0.95
    assert deciding_parts.iou(study.boxes, study.boxes).min() == 1
