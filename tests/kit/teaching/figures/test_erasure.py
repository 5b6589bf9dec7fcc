"""Chapter 03's pictures show what eq. (6) does."""

import matplotlib
import numpy as np
import pytest
import torch

from gholm_kit import style
from gholm_kit.teaching import deciding_parts
from gholm_kit.teaching.figures import erasure
from gholm_lib import masking
from gholm_lib.loading import to_picture
from tests.kit.teaching.figures.reading import words

matplotlib.use("Agg")


def test_erasure_steps_show_the_librarys_erasure_and_a_moved_one_of_the_same_area(small_study):
    net, study, heat, classes = small_study
    fig = erasure.erasure_steps(net, study, heat, 0, [1.5], "black", classes)
    gone = masking.erase(study.images[:1], masking.threshold(heat[:1], 1.5), "black")
    shown = [fig.axes[k].images[0].get_array() for k in (2, 4)]
    np.testing.assert_allclose(shown[0], to_picture(gone[0], net.config).permute(1, 2, 0), atol=1e-6)
    black = [int((picture < 1e-6).all(-1).sum()) for picture in shown]
    assert black[0] == black[1] == 96
    assert f"erased ({100 * 96 / 1024:.0f} %)" in words(fig)
    assert style.png(fig)


@pytest.mark.parametrize("corner", [(0, 0), (7, 9), (20, 18)])
def test_the_moved_shape_stays_whole_and_leaves_its_place(corner):
    y, x = corner
    shape = torch.ones(12, 14, dtype=torch.bool)
    shape[:5, :6] = False  # an L, so that a part that wrapped would show
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[y : y + 12, x : x + 14] = shape
    away, how = erasure.moved_in_sight(mask)
    rows, columns = (away.any(k).nonzero().flatten() for k in (1, 0))
    found = away[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert torch.equal(found, shape)
    assert not (away & mask).any()
    assert how == "same shape moved"


def test_a_shape_from_edge_to_edge_wraps_and_the_picture_says_so():
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[0, :] = mask[:, 0] = mask[-1, :] = mask[:, -1] = True
    away, how = erasure.moved_in_sight(mask, seed=3)
    assert torch.equal(away, deciding_parts.moved(mask[None], 3)[0])
    assert "round the edges" in how
    nothing = torch.zeros(8, 8, dtype=torch.bool)
    assert torch.equal(erasure.moved_in_sight(nothing)[0], nothing)


def test_a_row_for_each_theta(small_study):
    net, study, heat, classes = small_study
    fig = erasure.erasure_steps(net, study, heat, 1, [1.0, 2.0], "mean", classes)
    assert len(fig.axes) == 2 * 5 + 1
    assert "contour θ = 2" in words(fig)


def test_four_fills(small_study):
    net, study, heat, classes = small_study
    fig = erasure.four_fills(net, study, heat, 0, 1.5, classes)
    pictures = [ax.images[0].get_array() for ax in fig.axes[:4]]
    assert all(f'fill="{fill}"' in words(fig) for fill in masking.FILLS)
    inside = [p[4:12, 2:14] for p in pictures]
    assert not any(np.allclose(a, b) for k, a in enumerate(inside) for b in inside[:k])
    assert all(np.array_equal(p[12:], pictures[0][12:]) for p in pictures)  # the rest stays


def test_theta_curves_draw_the_means_of_both_places(small_study):
    net, study, heat, _ = small_study
    sweep = deciding_parts.erasure_sweep(net, study, heat, [1.0, 1.5, 2.0])
    fig = erasure.theta_curves(sweep, 0.8, 0.6, "mini_birds")
    attended = sweep[sweep.place == "attended"].groupby("level")
    np.testing.assert_allclose(fig.axes[0].lines[0].get_ydata(), 100 * attended.confidence.mean())
    np.testing.assert_allclose(fig.axes[2].lines[0].get_ydata(), 100 * attended.removed.mean())
    assert [ax.lines[2].get_ydata()[0] for ax in fig.axes[:2]] == [80, 60]


def test_two_rules_erase_what_they_say():
    """A map with one value on a quarter: both rules take just that quarter, whatever is drawn."""
    heat = torch.zeros(3, 8, 8)
    heat[:, :4, :4] = 5
    for low, high, by in ((*erasure.PAPER, "mean"), (*erasure.WS_DAN, "max")):
        np.testing.assert_allclose(erasure.erased_shares(heat, low, high, by, draws=4), np.full(12, 0.25))
    slope = torch.linspace(0, 1, 1000).view(1, 1, 1000)  # share above t times the mean: 1 - t / 2
    found = erasure.erased_shares(slope, *erasure.PAPER, "mean", draws=4000)
    assert found.mean() == pytest.approx(1 - 1.5 / 2, abs=0.01)
    fig = erasure.two_rules(heat, "mini_birds", draws=4)
    assert words(fig).count("25 % on average") == 2


def test_the_words_say_the_ends_of_the_curves(small_study):
    net, study, heat, classes = small_study
    sweep = deciding_parts.erasure_sweep(net, study, heat, [1.0, 2.0])
    right = 100 * sweep[(sweep.place == "moved") & (sweep.level == 2.0)].right.mean()
    said = erasure.curves_in_words(sweep)
    assert said.endswith(f"accuracy {right:.0f} %")
    assert "Attended region erased: θ = 1:" in said
    fills = erasure.fills_in_words(net, study, heat, 0, 1.5, classes)
    assert [one.split(":")[0] for one in fills.split("; ")] == list(masking.FILLS)
