"""Masks, boxes, crops and erasures against scikit-image, F.interpolate and plain NumPy."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label, regionprops

from gholm_lib import masking
from gholm_lib.masking import adjust_boxes, crop, erase, heat_mean, largest_component_boxes, threshold
from tests.rounding import assert_same, unit

pytestmark = pytest.mark.numeric

quick = settings(max_examples=50, deadline=None, derandomize=True)
sides = st.integers(1, 14)
masks = st.tuples(sides, sides).flatmap(lambda s: hnp.arrays(bool, s))
connectivities = st.sampled_from([4, 8])
# Whole multiples of 1/8 whose sums are exact, so that no comparison hangs on rounding.
heats = st.tuples(sides, sides).flatmap(
    lambda s: hnp.arrays(np.float32, s, elements=st.integers(0, 64).map(lambda v: v / 8))
)


def box_of(mask, connectivity: int = 8) -> list[int]:
    mask = torch.as_tensor(np.ascontiguousarray(mask))
    return largest_component_boxes(mask[None], connectivity)[0].tolist()


def reference_box(mask: np.ndarray, connectivity: int) -> list[int]:
    """The documented rule in scikit-image: largest area, then highest, then leftmost box."""
    regions = regionprops(label(mask, connectivity=1 if connectivity == 4 else 2))
    if not regions:
        return [0, 0, mask.shape[1], mask.shape[0]]
    best = min(regions, key=lambda r: (-r.area, r.bbox[0], r.bbox[1]))
    y0, x0, y1, x1 = best.bbox
    return [x0, y0, x1, y1]


def drawing(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


# ---------------------------------------------------------------------- threshold, eq. (4) to (6)


@quick
@given(heats, st.floats(0.25, 3))
def test_threshold_is_a_strict_comparison_with_the_mean(heat, factor):
    ours = threshold(torch.from_numpy(heat)[None], factor)[0].numpy()
    bound = factor * heat.mean(dtype=np.float64)
    # The factor, the mean and their product are rounded to float32: within that, rounding decides.
    certain = np.abs(heat - bound) > 4 * unit(torch.float32) * bound
    assert np.array_equal((heat > bound)[certain], ours[certain])


def test_threshold_leaves_out_what_equals_it():
    heat = torch.tensor([[[0.0, 2.0], [1.0, 1.0]]])  # mean 1
    assert heat_mean(heat).tolist() == [1.0]
    assert threshold(heat, 1.0).tolist() == [[[False, True], [False, False]]]
    assert threshold(heat, 2.0).tolist() == [[[False, False], [False, False]]]
    assert threshold(heat, 0.5).tolist() == [[[False, True], [True, True]]]


def test_threshold_takes_one_factor_for_each_image():
    heat = torch.rand(4, 6, 9, generator=torch.Generator().manual_seed(0)).double()
    factors = torch.tensor([0.5, 1.0, 1.5, 2.5])
    together = threshold(heat, factors)
    for i, factor in enumerate(factors.tolist()):
        expected = heat[i].numpy() > factor * heat[i].numpy().mean()
        assert np.array_equal(together[i].numpy(), expected)


@pytest.mark.parametrize("factor", [1.0, 1.7, 0.1])
def test_an_all_zero_heatmap_gives_an_empty_mask_and_the_whole_image(factor):
    mask = threshold(torch.zeros(2, 5, 8), factor)
    assert not mask.any()
    assert largest_component_boxes(mask).tolist() == [[0, 0, 8, 5]] * 2


def test_a_constant_heatmap_is_nowhere_above_its_mean():
    assert not threshold(torch.full((1, 7, 7), 3.0), 1.7).any()


@quick
@given(heats, st.sampled_from([1.0, 1.25, 1.5, 2.0]), st.integers(-20, 20))
def test_threshold_does_not_depend_on_the_scale_of_the_heat(heat, factor, power):
    """Powers of two change no rounding, so not a single pixel may differ."""
    heat = torch.from_numpy(heat)[None]
    assert torch.equal(threshold(heat, factor), threshold(heat * 2.0**power, factor))


@quick
@given(heats, st.floats(0, 4), st.floats(0, 4))
def test_a_higher_factor_never_adds_a_pixel(heat, a, b):
    heat = torch.from_numpy(heat)[None]
    wide, narrow = threshold(heat, min(a, b)), threshold(heat, max(a, b))
    assert not (narrow & ~wide).any()


# ---------------------------------------------------------------------- largest component


@quick
@given(masks, connectivities)
def test_box_agrees_with_scikit_image(mask, connectivity):
    assert box_of(mask, connectivity) == reference_box(mask, connectivity)


@quick
@given(masks, connectivities)
def test_box_lies_inside_is_not_empty_and_holds_its_component(mask, connectivity):
    x0, y0, x1, y1 = box_of(mask, connectivity)
    height, width = mask.shape
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    if mask.any():  # tight: each side of the box touches the mask
        inside = mask[y0:y1, x0:x1]
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


@quick
@given(masks)
def test_eight_neighbours_never_shrink_the_largest_component(mask):
    def area(connectivity):
        found = regionprops(label(mask, connectivity=connectivity))
        return max((r.area for r in found), default=0)

    assert area(2) >= area(1)
    x0, y0, x1, y1 = box_of(mask, 8)
    assert mask[y0:y1, x0:x1].sum() >= area(2)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (1, 6), (6, 1), (1, 1)])
def test_empty_and_full(shape, connectivity):
    whole = [0, 0, shape[1], shape[0]]
    assert box_of(np.zeros(shape, bool), connectivity) == whole
    assert box_of(np.ones(shape, bool), connectivity) == whole


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize(("y", "x"), [(0, 0), (0, 8), (4, 0), (4, 8), (2, 3)])
def test_one_pixel(y, x, connectivity):
    mask = np.zeros((5, 9), bool)
    mask[y, x] = True
    assert box_of(mask, connectivity) == [x, y, x + 1, y + 1]


def test_diagonal_contact():
    mask = drawing(
        "##...#",
        "##....",
        "..#...",
        "...#..",
        "......",
    )
    assert box_of(mask, 4) == [0, 0, 2, 2]
    assert box_of(mask, 8) == [0, 0, 4, 4]


@pytest.mark.parametrize("connectivity", [4, 8])
def test_ties_go_to_the_highest_and_then_the_leftmost_box(connectivity):
    higher = drawing(
        ".....##",
        "##.....",
        ".......",
    )
    assert box_of(higher, connectivity) == [5, 0, 7, 1]
    side_by_side = drawing("##...##")
    assert box_of(side_by_side, connectivity) == [0, 0, 2, 1]
    later_is_larger = drawing(
        "##.....",
        ".......",
        "....###",
    )
    assert box_of(later_is_larger, connectivity) == [4, 2, 7, 3]


def test_area_counts_pixels_and_not_the_box():
    mask = drawing(
        "#####..",
        "#......",
        "#......",
        "#...###",
        "#...###",
        "....###",
        "....###",
    )
    assert box_of(mask) == [4, 3, 7, 7]  # 12 pixels; the hook has 9 in a larger box


def test_batch_keeps_its_order_type_and_device():
    batch = torch.zeros(3, 6, 8, dtype=torch.bool)
    batch[0, 1:3, 2:5] = True
    batch[2, 5, 7] = True
    boxes = largest_component_boxes(batch)
    assert boxes.dtype == torch.int64
    assert boxes.device == batch.device
    assert boxes.tolist() == [[2, 1, 5, 3], [0, 0, 8, 6], [7, 5, 8, 6]]
    turned = batch.permute(0, 2, 1)  # not contiguous
    assert largest_component_boxes(turned).tolist() == [[1, 2, 3, 5], [0, 0, 6, 8], [5, 7, 6, 8]]
    assert largest_component_boxes(batch[:0]).shape == (0, 4)


@pytest.mark.parametrize(
    ("side", "connectivity"), [(361, 4), (363, 4), (448, 4), (448, 8), (511, 8), (513, 8)]
)
def test_as_many_components_as_a_mask_can_hold(side, connectivity):
    """Single pixels apart from each other, more or fewer than 16 bits can number; one more pixel joins some."""
    row, column = np.indices((side, side))
    mask = (row + column) % 2 == 0 if connectivity == 4 else (row % 2 == 0) & (column % 2 == 0)
    y = x = (side - 4) // 2 * 2
    mask[y, x + 1] = True
    higher = connectivity == 4  # a cross of five, else three in a row
    assert box_of(mask, connectivity) == [x, y - higher, x + 3, y + 1 + higher]


def test_a_batch_large_enough_for_threads_gives_the_boxes_of_its_images(monkeypatch):
    mask = torch.rand(6, 40, 40, generator=torch.Generator().manual_seed(0)) < 0.5
    one_by_one = torch.cat([largest_component_boxes(m[None]) for m in mask])
    monkeypatch.setattr(masking, "THREADS_FROM", 1)
    assert torch.equal(largest_component_boxes(mask), one_by_one)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_has_threads_of_its_own(monkeypatch):
    monkeypatch.setattr(masking, "THREADS_FROM", 1)
    mask = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0)) < 0.5
    ours = largest_component_boxes(mask).tolist()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=lambda: answers.put(largest_component_boxes(mask).tolist()), daemon=True)
    child.start()
    assert answers.get(timeout=60) == ours
    child.join(60)


def test_bad_arguments_are_named(unchecked_shapes):
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="connectivity must be 4 or 8, got 6"):
        largest_component_boxes(mask, 6)
    with pytest.raises(ValueError, match=r"\(B, H, W\), got shape \(4, 4\)"):
        largest_component_boxes(mask[0])
    with pytest.raises(ValueError, match=r"fill must be one of mean, black, .* got 'grey'"):
        erase(torch.zeros(1, 3, 4, 4), mask, "grey")
    boxes = torch.tensor([[0, 0, 2, 2]])
    with pytest.raises(ValueError, match=r"padding must be 0 or more, got -0\.6"):
        adjust_boxes(boxes, (4, 4), padding=-0.6)
    with pytest.raises(ValueError, match=r"margin must be 0 or more, got -0\.1"):
        adjust_boxes(boxes, (4, 4), margin=-0.1)
    for share in (-0.1, 1.5):
        with pytest.raises(ValueError, match=f"min_size .* got {share}"):
            adjust_boxes(boxes, (4, 4), min_size=share)


# ---------------------------------------------------------------------- readings of the box


@st.composite
def boxes_in_images(draw):
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    box = [x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))]
    return torch.tensor([box]), (height, width)


paddings, shares = st.floats(0, 2), st.floats(0, 1)


def sides_of(boxes: torch.Tensor) -> list[int]:
    x0, y0, x1, y1 = boxes[0].tolist()
    return [x1 - x0, y1 - y0]


@quick
@given(boxes_in_images())
def test_the_defaults_change_no_box(case):
    boxes, size = case
    assert torch.equal(adjust_boxes(boxes, size), boxes)
    assert adjust_boxes(boxes, size).dtype == torch.int64


@quick
@given(boxes_in_images(), paddings, shares, st.booleans())
def test_any_reading_stays_inside_and_keeps_the_box(case, padding, min_size, square):
    boxes, (height, width) = case
    before = boxes[0].tolist()
    x0, y0, x1, y1 = adjust_boxes(boxes, (height, width), padding, min_size, square)[0].tolist()
    assert 0 <= x0 <= before[0]
    assert 0 <= y0 <= before[1]
    assert before[2] <= x1 <= width
    assert before[3] <= y1 <= height


@quick
@given(boxes_in_images(), paddings, shares)
def test_square_whenever_the_image_has_room(case, padding, min_size):
    boxes, size = case
    plain = sides_of(adjust_boxes(boxes, size, padding, min_size))
    squared = sides_of(adjust_boxes(boxes, size, padding, min_size, square=True))
    height, width = size
    w, h = sides_of(boxes)
    wanted = max(w * (1 + 2 * padding), h * (1 + 2 * padding), width * min_size, height * min_size)
    if wanted <= min(size):
        assert squared[0] == squared[1] == max(plain)
    else:
        assert squared == [min(round(wanted), width), min(round(wanted), height)]


@pytest.mark.parametrize("box", [[1, 1, 3, 4], [2, 1, 4, 4], [0, 5, 4, 6], [3, 2, 10, 6]])
def test_square_at_half_pixels(box):
    """Centres at x.5 once rounded to 4 x 3 and 2 x 3 boxes."""
    w, h = sides_of(adjust_boxes(torch.tensor([box]), (20, 20), square=True))
    assert w == h == max(box[2] - box[0], box[3] - box[1])


@quick
@given(boxes_in_images(), shares)
def test_min_size_is_a_share_of_the_image_to_the_nearest_pixel(case, share):
    boxes, (height, width) = case
    w, h = sides_of(boxes)
    after = sides_of(adjust_boxes(boxes, (height, width), min_size=share))
    assert after == [max(w, round(share * width)), max(h, round(share * height))]


@quick
@given(boxes_in_images(), paddings, paddings)
def test_padding_grows(case, a, b):
    boxes, size = case
    little = sides_of(adjust_boxes(boxes, size, padding=min(a, b)))
    much = sides_of(adjust_boxes(boxes, size, padding=max(a, b)))
    assert all(x <= y for x, y in zip(little, much, strict=True))


def test_padding_by_hand():
    boxes = torch.tensor([[40, 20, 60, 30]])
    assert adjust_boxes(boxes, (100, 100), padding=0.1).tolist() == [[38, 19, 62, 31]]
    assert adjust_boxes(boxes, (100, 100), padding=0.5, square=True).tolist() == [[30, 5, 70, 45]]
    # at the edge the box slides inside and keeps its size
    corner = torch.tensor([[0, 0, 10, 10]])
    assert adjust_boxes(corner, (100, 100), padding=0.5).tolist() == [[0, 0, 20, 20]]
    assert adjust_boxes(corner, (100, 100), min_size=0.3).tolist() == [[0, 0, 30, 30]]
    far = torch.tensor([[90, 95, 100, 100]])
    assert adjust_boxes(far, (100, 100), min_size=0.3).tolist() == [[70, 70, 100, 100]]


def test_a_margin_is_a_share_of_the_image_and_ends_at_its_edge():
    """By hand, and as WS-DAN's public code has it: the same margin for a small and a large box, cut off outside."""
    boxes = torch.tensor([[40, 20, 60, 30], [40, 20, 90, 40], [0, 3, 10, 13]])
    found = adjust_boxes(boxes, (50, 100), margin=0.1)
    assert found.tolist() == [[30, 15, 70, 35], [30, 15, 100, 45], [0, 0, 20, 18]]
    assert found.dtype == torch.int64


@quick
@given(boxes_in_images(), shares)
def test_a_margin_keeps_the_box_and_stays_inside(case, margin):
    boxes, (height, width) = case
    x0, y0, x1, y1 = adjust_boxes(boxes, (height, width), margin=margin)[0].tolist()
    before = boxes[0].tolist()
    across, down = round(margin * width), round(margin * height)
    assert [x0, y0] == [max(0, before[0] - across), max(0, before[1] - down)]
    assert [x1, y1] == [min(width, before[2] + across), min(height, before[3] + down)]


def test_the_other_readings_start_from_the_box_with_its_margin():
    box = torch.tensor([[45, 45, 55, 50]])
    assert adjust_boxes(box, (100, 100), margin=0.1, square=True).tolist() == [[35, 32, 65, 62]]


# ---------------------------------------------------------------------- crop


def off_position(side: int, dtype: torch.dtype = torch.float32) -> float:
    """How far rounding may shift a crop's positions, in pixels of an image of that side.

    A position is worked out in eight steps, goes through -1..1 and comes back in five, and F.interpolate's in three.
    No number on the way is larger than the image, so none of these roundings is worse than a unit of its side.
    """
    return 16 * side * unit(dtype)


def off_value(images: torch.Tensor) -> float:
    """What such a shift along both axes can make of a value: one pixel further it is another by the whole range."""
    contrast = float(images.max() - images.min())
    return (
        2 * off_position(max(images.shape[-2:]), images.dtype) * contrast + 8 * unit(images.dtype) * contrast
    )


def reference_crop(images: torch.Tensor, boxes, size: int) -> torch.Tensor:
    pieces = []
    for image, (x0, y0, x1, y1) in zip(images, boxes, strict=True):
        piece = image[None, :, y0:y1, x0:x1]
        pieces.append(F.interpolate(piece, (size, size), mode="bilinear", align_corners=False))
    return torch.cat(pieces)


@st.composite
def crops(draw):
    (first, (height, width)) = draw(boxes_in_images())
    one = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    boxes = [first[0].tolist(), [*one, one[0] + 1, one[1] + 1], [0, 0, width, height]]
    return (height, width), boxes, draw(st.integers(1, 48)), draw(st.integers(0, 2**16))


@quick
@given(crops())
def test_crop_is_interpolate_on_each_image(case):
    """A drawn box, one pixel and the whole image, in images of any shape."""
    (height, width), boxes, size, seed = case
    images = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 4 - 2
    ours = crop(images, torch.tensor(boxes), size)
    assert ours.shape == (3, 3, size, size)
    assert (ours - reference_crop(images, boxes, size)).abs().max() <= off_value(images)


@quick
@given(crops())
def test_crop_in_double_precision_is_interpolate_to_the_last_digits(case):
    """So what differs in float32 is rounding and nothing else."""
    (height, width), boxes, size, seed = case
    images = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(seed)).double()
    ours = crop(images, torch.tensor(boxes), size)
    assert (ours - reference_crop(images, boxes, size)).abs().max() <= off_value(images)


def test_crop_at_the_size_of_the_paper():
    """White noise is the worst case: neighbours may differ by the whole range."""
    images = torch.randn(4, 3, 448, 448, generator=torch.Generator().manual_seed(0))
    boxes = [[0, 0, 448, 448], [101, 37, 347, 410], [447, 0, 448, 1], [5, 300, 440, 307]]
    ours = crop(images, torch.tensor(boxes), 448)
    bound = off_value(images)
    assert bound < 0.01  # a thousandth of a pixel
    assert (ours - reference_crop(images.double(), boxes, 448)).abs().max() <= bound
    assert (ours - reference_crop(images, boxes, 448)).abs().max() <= bound
    assert (ours[0] - images[0]).abs().max() <= bound  # the whole image is the image


def test_a_one_pixel_crop_is_that_pixel_everywhere():
    images = torch.rand(1, 3, 9, 7)
    ours = crop(images, torch.tensor([[6, 8, 7, 9]]), 16)
    assert (ours - images[:, :, 8:9, 6:7]).abs().max() <= off_value(images)


def test_nothing_from_outside_the_box_bleeds_in():
    """The surroundings are bright, the box is dark; rounding of a position may let next to nothing of them in."""
    generator = torch.Generator().manual_seed(2)
    for _ in range(10):
        x0, y0 = (int(torch.randint(0, 200, (), generator=generator)) for _ in range(2))
        w, h = (int(torch.randint(1, 24, (), generator=generator)) for _ in range(2))
        images = torch.ones(1, 3, 224, 224)
        images[:, :, y0 : y0 + h, x0 : x0 + w] = 0.0
        box = torch.tensor([[x0, y0, x0 + w, y0 + h]])
        for bright in (images, images.double()):
            assert crop(bright, box, 64).max() <= off_value(bright)
    assert off_value(images) < 1e-3


def test_crop_passes_the_gradient_on_to_the_pixels_of_the_box():
    images = torch.rand(2, 3, 12, 12, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[1, 2, 5, 9], [0, 0, 12, 12]])
    (ours,) = torch.autograd.grad(crop(images, boxes, 8).square().sum(), images)
    (theirs,) = torch.autograd.grad(reference_crop(images, boxes.tolist(), 8).square().sum(), images)
    assert_same(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_crop_keeps_the_type(dtype):
    images = torch.rand(2, 3, 12, 12, dtype=dtype)
    boxes = torch.tensor([[1, 2, 5, 9], [0, 0, 12, 12]])
    ours = crop(images, boxes, 8)
    assert ours.dtype == dtype
    exact = reference_crop(images.double(), boxes.tolist(), 8)
    positions = images.to(torch.promote_types(dtype, torch.float32))
    assert (ours.double() - exact).abs().max() <= off_value(positions) + unit(dtype)  # of numbers up to 1


def test_crop_of_a_large_bf16_image_is_not_shifted():
    """Positions in bf16 would be off by a pixel at this size; a ramp shows it."""
    ramp = torch.linspace(0, 1, 448).expand(1, 3, 448, 448).contiguous()
    boxes = [[211, 211, 243, 243]]
    ours = crop(ramp.bfloat16(), torch.tensor(boxes), 64).float()
    exact = reference_crop(ramp.bfloat16().float(), boxes, 64)
    # The result is bf16; a pixel further the ramp is higher by 1 / 447.
    assert (ours - exact).abs().max() <= unit(torch.bfloat16) * exact.max() + off_position(448) / 447


# ---------------------------------------------------------------------- erase


@pytest.fixture
def picture() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(3, 3, 10, 14, generator=generator)
    mask = torch.rand(3, 10, 14, generator=generator) > 0.6
    mask[2] = False
    return images, mask


@pytest.mark.parametrize("fill", masking.FILLS)
def test_outside_the_mask_not_one_bit_changes(picture, fill):
    images, mask = picture
    before = images.clone()
    ours = erase(images, mask, fill)
    assert torch.equal(images, before)  # new images, the old ones stay
    assert ours.shape == images.shape
    assert ours.dtype == images.dtype
    outside = ~mask[:, None].expand_as(images)
    assert torch.equal(ours[outside].view(torch.int32), images[outside].view(torch.int32))
    assert torch.equal(ours[2], images[2])  # an empty mask erases nothing
    assert not torch.equal(ours[0], images[0])


def test_mean_fill_is_zero_after_normalisation(picture):
    images, mask = picture
    assert (erase(images, mask)[mask[:, None].expand_as(images)] == 0).all()
    assert torch.equal(erase(images, mask), erase(images, mask, "mean"))


def test_black_fill_is_zero_before_normalisation(picture):
    from torchvision.transforms.v2.functional import normalize

    images, mask = picture
    mean, std = [0.1, 0.5, 0.9], [0.2, 0.25, 0.5]
    ours = erase(images, mask, "black", tuple(mean), tuple(std))
    black = normalize(torch.zeros(3, 1, 1), mean, std)
    expected = torch.where(mask[:, None], black, images)
    torch.testing.assert_close(ours, expected)
    imagenet = normalize(torch.zeros(3, 1, 1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(erase(images, mask, "black"), torch.where(mask[:, None], imagenet, images))


def test_channel_mean_fill_is_the_images_own_colour(picture):
    images, mask = picture[0].double(), picture[1]
    ours = erase(images, mask, "channel_mean").numpy()
    for i in range(2):
        for c in range(3):
            erased = ours[i, c][mask[i].numpy()]
            assert_same(erased, np.full_like(erased, images[i, c].numpy().mean()))


def test_noise_fill_is_standard_normal_and_follows_the_seed():
    images, mask = torch.full((2, 3, 64, 64), 9.0), torch.ones(2, 64, 64, dtype=torch.bool)
    torch.manual_seed(1)
    first = erase(images, mask, "noise")
    torch.manual_seed(1)
    assert torch.equal(first, erase(images, mask, "noise"))
    assert not torch.equal(first, erase(images, mask, "noise"))
    assert abs(first.mean()) < 0.03  # 24576 numbers: standard error 0.006
    assert abs(first.std() - 1) < 0.03  # 0.005
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize("fill", masking.FILLS)
def test_everything_erased_is_still_finite(fill):
    images, mask = torch.randn(2, 3, 8, 8), torch.ones(2, 8, 8, dtype=torch.bool)
    assert torch.isfinite(erase(images, mask, fill)).all()


# ---------------------------------------------------------------------- WS-DAN's threshold, and boxes of controls


def test_a_threshold_in_maxima_against_numpy():
    heat = torch.rand(5, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    levels = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    found = masking.threshold(heat, levels, "max").numpy()
    for one, level, mask in zip(heat.numpy(), levels.tolist(), found, strict=True):
        assert np.array_equal(mask, one > level * one.max())
    assert not masking.threshold(torch.zeros(1, 4, 4), 0.5, "max").any()
    with pytest.raises(ValueError, match='times must be "mean" or "max", got \'median\''):
        masking.threshold(heat, 0.5, "median")


def test_moved_boxes_keep_their_size_and_reach_every_place_alike():
    """A box of 3 x 4 in 6 x 10 pixels has 4 places across and 7 down."""
    boxes = torch.tensor([[1, 2, 4, 6]]).repeat(7000, 1)
    place = torch.rand(7000, 2, generator=torch.Generator().manual_seed(0))
    moved = masking.move_boxes(boxes, (10, 6), place)
    assert (moved[:, 2:] - moved[:, :2] == torch.tensor([3, 4])).all()
    places, counts = moved[:, :2].unique(dim=0, return_counts=True)
    assert places.tolist() == [[x, y] for x in range(4) for y in range(7)]
    assert counts.min() > 180, "250 each are expected"
    assert counts.max() < 320


def test_moved_boxes_at_the_ends_and_in_the_centre():
    boxes = torch.tensor([[1, 2, 4, 6], [0, 0, 6, 10]])
    ends = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    assert masking.move_boxes(boxes, (10, 6), ends).tolist() == [[0, 6, 3, 10], [0, 0, 6, 10]]
    assert masking.move_boxes(boxes, (10, 6)).tolist() == [[1, 3, 4, 7], [0, 0, 6, 10]]
