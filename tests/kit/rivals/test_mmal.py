"""MMAL against facts of its paper, scikit-image, and suppression written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label, regionprops

from gholm_kit.rivals import mmal
from gholm_lib.config import ConfigError
from gholm_lib.model import GHOLMNet

pytestmark = pytest.mark.usefixtures("one_thread")

quick = settings(max_examples=50, deadline=None, derandomize=True)
# Whole numbers, whose sums are exact, so that no comparison hangs on rounding.
two_maps = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda s: st.tuples(*2 * [hnp.arrays(np.float64, s, elements=st.integers(0, 8).map(float))])
)


# ---------------------------------------------------------------------- AOLM, eq. (1) to (4)


def test_the_activation_map_is_the_sum_of_what_is_positive():
    features = torch.tensor([[[[1.0, -2.0]], [[3.0, 4.0]]]])  # two channels of 1 x 2
    assert mmal.activation_map(features).tolist() == [[[4.0, 4.0]]]


def test_the_object_of_a_map_made_by_hand():
    """Mean 1.5: two regions lie above it, the larger one is kept, and of it what the map before agrees to."""
    last = torch.tensor(
        [
            [0.0, 9.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 4.0, 4.0],
            [0.0, 0.0, 4.0, 4.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0],
        ]
    )
    before = torch.ones(4, 5)
    before[:, 4] = 0  # mean 0.8
    found = mmal.object_mask(last[None], before[None])[0]
    assert found.nonzero().tolist() == [[1, 3], [2, 2], [2, 3]]


@quick
@given(two_maps)
def test_the_object_is_the_largest_component_where_both_maps_agree(maps):
    last, before = maps
    regions = regionprops(label(last > last.mean(), connectivity=2))
    found = mmal.object_mask(*(torch.from_numpy(m)[None] for m in maps))[0].numpy()
    if not regions:
        assert not found.any()
        return
    size = max(r.area for r in regions)
    candidates = []  # of several that are largest, any will do
    for region in regions:
        mask = np.zeros(last.shape, bool)
        mask[tuple(region.coords.T)] = True
        candidates.append(mask & (before > before.mean()))
    assert any(np.array_equal(found, c) for c, r in zip(candidates, regions, strict=True) if r.area == size)


def test_a_map_that_is_the_same_everywhere_shows_no_object():
    flat = torch.ones(1, 4, 4)
    assert not mmal.object_mask(flat, flat).any()


def test_the_map_before_is_the_input_of_the_last_block(make, pictures, monkeypatch):
    """In the paper's ResNet: conv5_b, the output of the block before the last."""
    net = make("mmal", backbone="resnet50", weights="none").eval()
    caught = []
    net.backbone.layer4[1].register_forward_hook(lambda _, __, out: caught.append(out))
    given = []
    plain = mmal.object_mask
    monkeypatch.setattr(mmal, "object_mask", lambda *maps: given.append(maps) or plain(*maps))
    net.attend(pictures[0][:2])
    last, before = given[0]
    torch.testing.assert_close(before, caught[0].sum(1))  # after a ReLU there is nothing but positive parts
    with torch.no_grad():
        torch.testing.assert_close(last, net.features(pictures[0][:2]).sum(1))


def test_a_backbone_whose_last_block_is_not_known_is_refused(make):
    with pytest.raises(
        ConfigError, match=r"mmal needs a timm ConvNeXt or ResNet.* this backbone is MobileNetV3"
    ):
        make("mmal", backbone="mobilenetv3_small_050", weights="none")


# ---------------------------------------------------------------------- APPM, eq. (5)


def test_windows_at_448_pixels_are_the_papers():
    assert mmal.windows(14, 14) == list(mmal.WINDOWS)


def test_windows_on_the_mini_map_have_half_the_sides_and_none_twice():
    scales = mmal.windows(7, 7)
    assert [scale[0] for scale in scales] == [(2, 2), (3, 3), (4, 4)]
    assert scales[0] == ((2, 2), (2, 3), (3, 2))
    assert all(len(set(scale)) == len(scale) for scale in scales)


def test_a_window_scores_the_mean_inside_it():
    activation = torch.rand(2, 7, 6, generator=torch.Generator().manual_seed(0))
    boxes, scores = mmal._scored(activation, ((2, 3), (4, 1)))
    assert len(boxes) == 6 * 4 + 4 * 6
    for n, (x0, y0, x1, y1) in enumerate(boxes.long().tolist()):
        torch.testing.assert_close(scores[:, n], activation[:, y0:y1, x0:x1].mean((1, 2)))


def iou(a: list[int], b: list[int]) -> float:
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / (sum(area) - width * height)


def greedy(boxes: list[list[int]], scores: list[float], number: int) -> list[list[int]]:
    """Non-maximum suppression as the paper tells it."""
    left = sorted(zip(scores, boxes, strict=True), key=lambda pair: -pair[0])
    kept: list[list[int]] = []
    while left and len(kept) < number:
        kept.append(left[0][1])
        left = [pair for pair in left if iou(pair[1], kept[-1]) <= 0.25]
    return kept + (number - len(kept)) * kept[-1:]


def test_parts_are_the_best_windows_of_each_scale_that_hardly_overlap():
    activation = torch.rand(3, 7, 7, generator=torch.Generator().manual_seed(1))
    found = mmal.part_boxes(activation)
    assert found.shape == (3, 4, 4)
    for image, parts in zip(activation, found.tolist(), strict=True):
        expected = []
        for shapes, number in zip(mmal.windows(7, 7), (2, 1, 1), strict=True):
            boxes, scores = mmal._scored(image[None], shapes)
            expected += greedy(boxes.long().tolist(), scores[0].tolist(), number)
        assert parts == expected


def test_on_a_map_with_room_for_one_window_it_is_repeated():
    parts = mmal.part_boxes(torch.rand(1, 2, 2, generator=torch.Generator().manual_seed(0)))[0].tolist()
    assert len(parts) == 4
    assert mmal.part_boxes(torch.ones(1, 1, 1))[0].tolist() == 4 * [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("cells", "size", "expected"),
    [((7, 7), (112, 112), [16, 32, 48, 112]), ((7, 7), (100, 100), [14, 28, 43, 100])],
)
def test_cells_become_pixels_and_none_is_cut(cells, size, expected):
    assert mmal.in_pixels(torch.tensor([[1, 2, 3, 7]]), cells, size).tolist() == [expected]


# ---------------------------------------------------------------------- branches and loss


def test_the_answer_is_the_objects(make, pictures):
    out = make("mmal").eval().attend(pictures[0])
    assert torch.equal(out.logits, out.crop_logits)
    assert not torch.equal(out.raw_logits, out.crop_logits)


def test_the_loss_is_the_sum_of_whole_object_and_parts(make, pictures):
    terms = make("mmal").train()(*pictures).losses
    assert set(terms) == {"raw", "object", "parts", "total"}
    torch.testing.assert_close(terms["total"], terms["raw"] + terms["object"] + terms["parts"])


def test_the_loss_of_parts_takes_each_ones_own_class_and_their_mean(make, pictures, monkeypatch):
    net, (images, labels) = make("mmal").train(), pictures
    answers = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(net.plain, "classify", lambda parts: answers)
    terms = net(images, labels).losses
    chances = answers.softmax(1).view(6, 4, 3)
    own = torch.stack([chances[k, :, labels[k]] for k in range(6)])
    torch.testing.assert_close(terms["parts"], -own.log().mean())


def test_parts_of_one_object_follow_each_other(make, pictures, monkeypatch):
    """As their labels do in the loss."""
    net, images = make("mmal").train(), pictures[0]
    boxes = torch.tensor([[0, 0, 7, 7]]).repeat(6, 4, 1)  # every part the whole object
    monkeypatch.setattr(mmal, "part_boxes", lambda activation: boxes)
    parts = net._parts(images, torch.zeros(6, 4, 7, 7))
    assert parts.shape == (24, 3, 56, 56)
    for k in range(6):
        for part in parts[4 * k : 4 * k + 4]:
            torch.testing.assert_close(
                part, torch.nn.functional.interpolate(images[k : k + 1], 56, mode="bilinear")[0]
            )


def test_one_network_without_a_parameter_more_sees_everything(make):
    count = sum(p.numel() for p in make("mmal").parameters())
    assert count == sum(p.numel() for p in GHOLMNet("gholm_convnext_mini2", 3).parameters())
