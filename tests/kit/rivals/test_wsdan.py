"""WS-DAN against facts of its paper, closed forms and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import regionprops

from gholm_kit.rivals import wsdan
from gholm_lib.model import GHOLMNet

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def features_and_maps():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 5, 3, 4, generator=generator, dtype=torch.float64)
    return features, torch.rand(2, 6, 3, 4, generator=generator, dtype=torch.float64)


# ---------------------------------------------------------------------- eq. (2) to (4)


def test_bilinear_attention_pooling_is_the_mean_of_each_map_times_the_features(features_and_maps):
    features, maps = features_and_maps
    pooled = wsdan.bilinear_attention_pooling(features, maps)
    for k in range(6):  # eq. (2) and (3) as they stand, one map at a time
        part = (maps[:, k : k + 1] * features).mean((2, 3))
        torch.testing.assert_close(pooled[:, k], part)


def test_attention_of_one_everywhere_is_global_average_pooling(features_and_maps):
    features, _ = features_and_maps
    pooled = wsdan.bilinear_attention_pooling(features, torch.ones(2, 1, 3, 4, dtype=torch.float64))
    torch.testing.assert_close(pooled[:, 0], features.mean((2, 3)))


def test_the_pooled_vector_has_length_one_and_the_roots_of_its_parts(features_and_maps):
    parts = wsdan.bilinear_attention_pooling(*features_and_maps)
    vectors = wsdan.unit_vector(parts)
    assert vectors.shape == (2, 30)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2, dtype=torch.float64))
    flat = parts.flatten(1)
    assert torch.equal(vectors.sign(), flat.sign())
    # Squared, they stand to each other as the parts do, up to the 1e-6 under the root.
    ratio = vectors.square() / vectors.square().sum(1, keepdim=True)
    torch.testing.assert_close(ratio, (flat.abs() + 1e-6) / (flat.abs() + 1e-6).sum(1, keepdim=True))


def test_a_part_that_is_zero_has_a_finite_gradient():
    parts = torch.zeros(1, 2, 3, requires_grad=True)
    wsdan.unit_vector(parts).sum().backward()
    assert torch.isfinite(parts.grad).all()


# ---------------------------------------------------------------------- eq. (5) and (6)


def test_the_gradient_of_the_centre_loss_points_away_from_the_centre():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(4, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    centres = torch.randn(4, 7, generator=generator, dtype=torch.float64)
    wsdan.centre_loss(vectors, centres).backward()
    torch.testing.assert_close(vectors.grad, 2 * (vectors.detach() - centres) / 4)
    assert wsdan.centre_loss(centres, centres) == 0


def test_a_centre_nears_a_vector_that_stays_as_eq_6_says():
    vector = torch.tensor([[3.0, -1.0]], dtype=torch.float64)
    centres = torch.zeros(3, 2, dtype=torch.float64)
    for _ in range(20):
        centres = wsdan.updated_centres(centres, vector, torch.tensor([1]))
    torch.testing.assert_close(centres[1:2], (1 - 0.95**20) * vector)
    assert not centres[[0, 2]].any()  # classes that were not seen


def test_several_images_of_a_class_move_its_centre_by_their_mean():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 3.0], [8.0, 8.0]], dtype=torch.float64)
    start = torch.tensor([[0.5, 0.5], [0.0, 0.0]], dtype=torch.float64)
    moved = wsdan.updated_centres(start, vectors, torch.tensor([0, 0, 1]))
    expected = torch.stack([start[0] + 0.05 * (vectors[:2].mean(0) - start[0]), 0.05 * vectors[2]])
    torch.testing.assert_close(moved, expected)


def test_training_moves_the_centres_and_a_test_does_not(make, pictures):
    net, (images, labels) = make("wsdan"), pictures
    assert not net.centres.any()
    net.train()(images, labels)
    after = net.centres.clone()
    assert after.any(1).all()
    assert (after.norm(dim=1) <= wsdan.BETA + 1e-6).all()  # a step of BETA towards vectors of length 1
    net.eval().attend(images)
    assert torch.equal(net.centres, after)


# ---------------------------------------------------------------------- eq. (7) to (10)


def test_a_scaled_map_lies_in_0_to_1_and_a_constant_one_is_zero():
    maps = torch.stack([torch.arange(6.0).view(2, 3) + 4, torch.full((2, 3), 7.0)])
    assert wsdan.scaled_map(maps)[0].flatten().tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert not wsdan.scaled_map(maps)[1].any()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda s: hnp.arrays(bool, s)))
def test_a_covering_box_is_scikit_images(mask):
    box = wsdan.covering_boxes(torch.from_numpy(mask)[None])[0].tolist()
    if mask.any():
        y0, x0, y1, x1 = regionprops(mask.astype(np.uint8))[0].bbox
    else:
        y0, x0, (y1, x1) = 0, 0, mask.shape
    assert box == [x0, y0, x1, y1]


def one_hot_corner() -> torch.Tensor:
    """A map (1, 10, 10) of zeros with ones in rows 2 to 4 and columns 5 to 8; the image has the same size."""
    maps = torch.zeros(1, 10, 10)
    maps[0, 2:5, 5:9] = 1
    return maps


def test_the_crop_covers_what_is_above_the_threshold_and_a_tenth_of_the_side_more():
    images = torch.zeros(1, 3, 10, 10)
    found = wsdan._attention(images, one_hot_corner(), 0.5, 0.0)
    assert found.crop_boxes.tolist() == [[5, 2, 9, 5]]
    wider = wsdan._attention(images, one_hot_corner(), torch.tensor([0.5]), wsdan.MARGIN)
    assert wider.crop_boxes.tolist() == [[4, 1, 10, 6]]
    assert not found.fallback.any()


def test_a_map_without_anything_hot_gives_the_whole_image():
    found = wsdan._attention(torch.zeros(1, 3, 10, 10), torch.zeros(1, 10, 10), 0.5, 0.1)
    assert found.crop_boxes.tolist() == [[0, 0, 10, 10]]
    assert found.fallback.all()


def test_in_training_one_map_guides_crop_and_drop_within_the_thresholds(make, pictures, monkeypatch):
    net, (images, labels) = make("wsdan").train(), pictures
    seen = []
    look = net.look
    monkeypatch.setattr(net, "look", lambda batch: seen.append(batch) or look(batch))
    torch.manual_seed(3)
    out = net(images, labels)
    heat, erased = out.heat, out.drop_mask
    assert erased[heat > 0.5].all()
    assert not erased[heat < 0.2].any()
    for image, (x0, y0, x1, y1) in zip(heat, out.crop_boxes.tolist(), strict=True):
        hot = torch.ones_like(image, dtype=torch.bool)
        hot[y0:y1, x0:x1] = False
        assert not (image[hot] > 0.6).any()  # all that is hot lies in the box
    dropped = seen[1][6:]
    assert torch.equal(dropped == 0, erased[:, None].expand_as(dropped) | (images == 0))


def test_at_test_time_the_mean_of_all_maps_guides_and_both_answers_add(make, pictures, monkeypatch):
    """One map of 32 alone lights the first cell: 1/31 of the place that the others light, below the threshold."""
    net, images = make("wsdan").eval(), pictures[0]
    with torch.no_grad():
        look = net.look(images)
    assert (look.maps >= 0).all()
    assert look.maps.shape[1] == 32
    look.maps = torch.zeros(6, 32, 112, 112)
    look.maps[:, 0, 0, 0] = 1
    look.maps[:, 1:, 50:60, 20:40] = 1
    monkeypatch.setattr(net, "look", lambda batch: look)
    out = net.attend(images)
    margin = round(0.05 * 112)
    assert out.crop_boxes.tolist() == 6 * [[20 - margin, 50 - margin, 40 + margin, 60 + margin]]
    assert torch.equal(out.logits, out.raw_logits + out.crop_logits)


# ---------------------------------------------------------------------- loss and size


def test_the_loss_is_the_mean_of_three_cross_entropies_and_the_centre_loss(make, pictures):
    terms = make("wsdan").train()(*pictures).losses
    mean = (terms["raw"] + terms["crop"] + terms["drop"]) / 3
    torch.testing.assert_close(terms["total"], mean + terms["centre"])


def test_the_first_centre_loss_is_that_of_unit_vectors_to_the_origin(make, pictures):
    assert make("wsdan").train()(*pictures).losses["centre"].item() == pytest.approx(1, abs=1e-5)


def test_its_parameters_are_the_backbones_the_attentions_and_the_classifiers(make):
    net, plain = make("wsdan"), GHOLMNet("gholm_convnext_mini2", 3)
    own = plain.backbone.get_classifier()
    body = sum(p.numel() for p in plain.parameters()) - sum(p.numel() for p in own.parameters())
    channels = plain.backbone.num_features
    expected = body + 32 * channels + 2 * 32 + 3 * 32 * channels
    assert sum(p.numel() for p in net.parameters()) == expected
