"""The drawing engine: coverage against plain geometry, who hides whom, and shapes that leave the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gholm_kit.drawn.scene import (
    BACKGROUND,
    BODY,
    FIRST_PART,
    SIZE,
    Scene,
    fractal,
    lighter,
    mix,
    noise,
    smooth_curve,
)

quick = settings(max_examples=40, deadline=None, derandomize=True)
RED, BLUE, WHITE, BLACK = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
A, B = FIRST_PART, FIRST_PART + 1
YY, XX = np.mgrid[0:SIZE, 0:SIZE]


def new_scene(seed: int = 0) -> Scene:
    """100 pixels a unit, the origin in the middle, at pixel 112."""
    scene = Scene(np.random.default_rng(seed), ("a", "b"))
    scene.pose(100 / SIZE)
    return scene


def square(x: float, y: float, half: float) -> list[tuple[float, float]]:
    return [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return (first & second).sum() / (first | second).sum()


# ---------------------------------------------------------------------- coverage


def test_a_rectangle_covers_its_pixels():
    scene = new_scene()
    scene.polygon([(-0.30, -0.20), (0.31, -0.20), (0.31, 0.21), (-0.30, 0.21)], RED)
    covered = scene.part_map == BODY
    expected = (XX >= 82) & (XX <= 143) & (YY >= 92) & (YY <= 133)
    assert overlap(covered, expected) > 0.95
    inside = (XX > 83) & (XX < 142) & (YY > 93) & (YY < 132)
    assert (scene.image[inside] == RED).all()
    assert (scene.image[~expected & ((XX < 80) | (XX > 145))] == 0).all()


@pytest.mark.parametrize(("rx", "ry", "angle"), [(0.6, 0.3, 0), (0.5, 0.2, 35), (0.04, 0.03, 0)])
def test_an_ellipse_covers_its_pixels(rx, ry, angle):
    scene = new_scene()
    scene.ellipse((0.2, -0.1), (rx, ry), RED, angle=angle)
    a = np.deg2rad(angle)
    x, y = (XX - 132) / 100, (YY - 102) / 100
    u, v = x * np.cos(a) + y * np.sin(a), -x * np.sin(a) + y * np.cos(a)
    expected = (u / rx) ** 2 + (v / ry) ** 2 <= 1
    assert overlap(scene.part_map == BODY, expected) > (0.95 if rx > 0.1 else 0.6)


def test_a_stroke_has_its_width_and_may_taper():
    scene = new_scene()
    scene.stroke([(-0.8, 0), (0, 0), (0.8, 0)], (0.40, 0.10), RED, smooth=False)
    widths = (scene.part_map == BODY).sum(0)
    assert widths[36] == pytest.approx(39, abs=2)
    assert widths[112] == pytest.approx(25, abs=2)
    assert widths[188] == pytest.approx(11, abs=2)


def test_edges_are_smooth_and_opacity_mixes():
    scene = new_scene()
    scene.image[:] = WHITE
    scene.ellipse((0, 0), (0.5, 0.5), RED, opacity=0.25)
    assert scene.image[112, 112] == pytest.approx((1, 0.75, 0.75))
    edge = scene.image[112, 58:66, 1]
    assert ((edge > 0.76) & (edge < 0.99)).any()


def test_a_curve_goes_through_its_points():
    points = [(0.0, 0.0), (1.0, 0.5), (2.0, 0.0), (1.0, -1.0)]
    for closed in (True, False):
        curve = smooth_curve(points, closed=closed)
        for p in points:
            assert np.abs(curve - p).max(1).min() < 1e-6
    assert np.allclose(smooth_curve(points, closed=False)[-1], points[-1])
    straight = smooth_curve([(0, 0), (1, 1), (2, 2)], closed=False)
    assert np.allclose(straight[:, 0], straight[:, 1])


# ---------------------------------------------------------------------- places


def test_pose_by_hand():
    scene = Scene(np.random.default_rng(0), ())
    scene.pose(0.5, angle=90, centre=(0.25, 0.75))
    half = SIZE / 2
    assert np.allclose(
        scene.to_pixels([(0, 0), (1, 0), (0, 1)]), [(56, 168), (56, 168 + half), (56 - half, 168)]
    )
    scene.pose(0.5, flip=True)
    assert np.allclose(scene.to_pixels([(0.5, 0.5)]), [(112 - 56, 112 + 56)])
    scene.pose(0.5, squash=(0.5, 2.0))
    assert np.allclose(scene.to_pixels([(1, 1)]), [(112 + 56, 112 + 224)])
    assert scene.unit == pytest.approx(half)


def test_local_frames_nest_and_end():
    scene = new_scene()
    outside = scene.matrix.copy()
    with scene.local((0.5, 0.0), angle=90, scale=0.5):
        assert np.allclose(scene.to_pixels([(0, 0), (1, 0)]), [(162, 112), (162, 162)])
        assert scene.unit == pytest.approx(50)
        with scene.local((1.0, 0.0), squash=(2.0, 1.0)):
            assert np.allclose(
                scene.to_pixels([(0, 0), (0.5, 0), (0, 1)]), [(162, 162), (162, 212), (112, 162)]
            )
    assert np.array_equal(scene.matrix, outside)
    with pytest.raises(ZeroDivisionError), scene.local((1, 1)):
        raise ZeroDivisionError
    assert np.array_equal(scene.matrix, outside)


def test_region_is_in_pixels_of_the_picture():
    scene = new_scene()
    with scene.local((0.5, 0.0), scale=0.5):
        scene.region("a", (0.2, 0.4), 0.6)
    assert scene.regions == {"a": pytest.approx((172, 132, 30))}


# ---------------------------------------------------------------------- what is visible


def test_the_truth_is_what_is_visible_in_the_end():
    scene = new_scene()
    scene.polygon(square(0, 0, 0.5), RED)
    scene.polygon(square(-0.2, 0, 0.1), RED, part="a")
    scene.polygon(square(-0.1, 0, 0.1), BLUE, part="b")  # hides the right half of a
    truth = scene.truth()
    assert set(np.unique(truth.part_map)) == {BACKGROUND, BODY, A, B}
    assert truth.part_map[112, 97] == B
    assert truth.points["a"] == pytest.approx((87 - 0.5, 112), abs=1.5)
    assert truth.points["b"] == pytest.approx((102, 112), abs=1)
    assert truth.box == pytest.approx((62, 62, 163, 163), abs=1)
    left = 60 / SIZE
    scene.cover([(0, 0), (left + 0.15, 0), (left + 0.15, 1), (0, 1)], WHITE)  # a post before the left side
    after = scene.truth()
    assert after.points["a"] is None
    assert after.points["b"] is not None
    assert after.box[0] > truth.box[0]
    assert after.box[1:] == truth.box[1:]
    assert (truth.part_map != after.part_map).any(), "an earlier truth does not change"


def test_the_box_holds_every_pixel_of_the_object_and_no_wider():
    scene = new_scene()
    scene.ellipse((0.1, 0.2), (0.5, 0.3), RED, angle=20)
    x0, y0, x1, y1 = scene.truth().box
    rows, columns = np.nonzero(scene.part_map)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x0, y0, x1, y1)


def test_paint_shadow_and_background_are_no_object():
    scene = new_scene()
    scene.backdrop(RED, BLUE)
    scene.behind([(0, 0), (1, 0), (1, 1)], WHITE)
    scene.shadow((0, 0), (0.5, 0.2))
    scene.polygon(square(0, 0, 0.2), WHITE, solid=False, part="a")
    assert (scene.part_map == BACKGROUND).all()
    with pytest.raises(ValueError, match="nothing of the object is visible"):
        scene.truth()


def test_glazing_keeps_the_parts_below():
    scene = new_scene()
    scene.polygon(square(0, 0, 0.3), RED, part="a")
    scene.polygon(square(0.3, 0, 0.3), WHITE, keep_parts=True, opacity=0.5)
    assert scene.part_map[112, 130] == A
    assert scene.part_map[112, 165] == BODY


def test_clip_paints_only_inside():
    scene = new_scene()
    body = scene.polygon(square(0, 0, 0.2), RED)
    before = scene.image.copy()
    scene.polygon(square(0.2, 0.2, 0.1), BLUE, part="a", clip=body)
    where = scene.part_map == A
    assert 60 < where.sum() < 140  # a quarter of 20 x 20 pixels, and edges
    assert where.sum() == where[110:134, 110:134].sum()
    changed = (scene.image != before).any(-1)
    assert not changed[:, 135:].any()
    far = scene.polygon(square(-0.8, -0.8, 0.05), BLUE, part="b", clip=body)
    assert far.alpha.size == 0
    assert not (scene.part_map == B).any()


# ---------------------------------------------------------------------- shading


def test_a_bulge_is_brighter_towards_the_light():
    scene = new_scene()
    scene.light = np.array([-1.0, 0.0])
    scene.ellipse((0, 0), (0.6, 0.6), (0.5, 0.5, 0.5), round=1.0)
    left, middle, right = (scene.image[112, x, 0] for x in (62, 112, 162))
    assert left > middle > right
    assert middle == pytest.approx(0.5, abs=0.03)


def test_gradient_runs_from_top_to_bottom_and_texture_averages_out():
    scene = new_scene()
    scene.polygon(square(0, 0, 0.8), WHITE, gradient=BLACK)
    column = scene.image[40:184, 112, 0]
    assert (np.diff(column) <= 0).all()
    assert column[72] == pytest.approx(0.5, abs=0.02)
    scene.polygon(square(0, 0, 0.8), (0.5, 0.5, 0.5), texture=0.4)
    patch = scene.image[40:184, 40:184, 0]
    assert patch.std() > 0.02
    assert patch.mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("make", [noise, fractal])
def test_noise_is_smooth_in_range_and_the_same_each_time(make):
    field = make(3, 8)
    assert field.shape == (2 * SIZE, 2 * SIZE)
    assert field.min() >= 0
    assert field.max() <= 1
    assert field.std() > 0.05
    assert np.abs(np.diff(field, axis=0)).max() < 0.2
    make.cache_clear()
    assert np.array_equal(make(3, 8), field)
    assert not np.array_equal(make(4, 8), field)


def test_colours():
    assert mix(BLACK, WHITE, 0.25) == (0.25, 0.25, 0.25)
    assert lighter(RED, 0.5) == (1, 0.5, 0.5)
    assert lighter(RED, -0.5) == (0.5, 0, 0)
    assert lighter(RED, 0) == RED


def test_backdrop_and_mottle():
    scene = new_scene()
    scene.backdrop(WHITE, BLACK)
    assert scene.image[0, 5] == pytest.approx(WHITE)
    assert scene.image[-1, 5] == pytest.approx(BLACK)
    scene.backdrop(WHITE, BLACK, horizon=0.5)
    assert scene.image[40, 5, 0] > 0.99
    assert scene.image[184, 5, 0] < 0.01
    before = scene.image.copy()
    scene.mottle([RED, BLUE], 5, rows=(0.5, 1.0))
    assert np.array_equal(scene.image[:112], before[:112])
    assert np.allclose(scene.image[112:].sum(-1), 1, atol=1e-5)  # between red and blue
    scene.mottle([RED, BLUE], 5, rows=(0.5, 0.5))  # no rows, nothing to do


def test_finish_without_effects_is_the_picture():
    scene = new_scene()
    scene.image[:] = np.linspace(-0.2, 1.2, SIZE)[None, :, None]
    picture = scene.finish(grain=0.0)
    assert (picture.dtype, picture.shape) == (np.uint8, (SIZE, SIZE, 3))
    expected = np.round(np.clip(np.linspace(-0.2, 1.2, SIZE), 0, 1) * 255)
    assert np.abs(picture[0, :, 0] - expected).max() <= 1
    warm = scene.finish(grain=0.0, warmth=0.1)[0, 112]
    assert warm[0] > warm[1] > warm[2]
    assert np.array_equal(new_scene(1).finish(), new_scene(1).finish())
    assert not np.array_equal(new_scene(1).finish(), new_scene(2).finish())


# ---------------------------------------------------------------------- outside the picture

STYLE = {"round": 0.5, "gradient": BLUE, "texture": 0.3, "part": "a"}
numbers = st.one_of(st.floats(-1.5, 1.5), st.floats(-400, 400))
outlines = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=8)


@quick
@given(outlines, st.booleans())
def test_no_polygon_is_refused_wherever_it_lies(points, smooth):
    scene = new_scene()
    scene.polygon(points, RED, smooth=smooth, **STYLE)
    scene.cover(np.asarray(points) / 4, WHITE, smooth=smooth)
    assert np.isfinite(scene.image).all()
    assert scene.part_map.max() <= A


@quick
@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=6), st.floats(0.001, 3))
def test_no_stroke_is_refused_wherever_it_runs(points, width):
    scene = new_scene()
    scene.stroke(points, width, RED, **STYLE)
    assert np.isfinite(scene.image).all()


@pytest.mark.parametrize("at", [(-3, 0), (3, 0), (0, -3), (0, 3), (-300, 300)])
def test_what_lies_outside_leaves_no_trace(at):
    scene = new_scene()
    scene.polygon(square(*at, 0.5), RED, **STYLE)
    scene.ellipse(at, (0.5, 0.3), RED, clip=scene.polygon(square(0, 0, 0.1), BLACK, solid=False), **STYLE)
    assert (scene.image == 0).all()
    assert (scene.part_map == BACKGROUND).all()


def test_what_reaches_over_the_edge_is_cut_there():
    scene = new_scene()
    scene.ellipse((-1.12, 0), (0.5, 0.5), RED)  # its centre on the left edge
    expected = XX**2 + (YY - 112) ** 2 <= 50**2
    assert overlap(scene.part_map == BODY, expected) > 0.95
    assert scene.truth().box[0] == 0


def test_points_on_one_line_and_in_one_place():
    scene = new_scene()
    scene.polygon([(0, 0), (0.5, 0.5), (0.2, 0.2)], RED, **STYLE)
    scene.polygon([(0, 0)] * 3, RED, smooth=True, **STYLE)
    scene.stroke([(0.1, 0.1), (0.1, 0.1)], 0.1, RED, **STYLE)
    assert np.isfinite(scene.image).all()
