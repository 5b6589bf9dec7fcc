"""Chapter 01's pictures show the numbers that they are given, for odd maps too."""

import matplotlib
import numpy as np
import pytest
import torch

from gholm_kit import style
from gholm_kit.teaching.figures import heatmaps
from tests.kit.teaching.figures.reading import words

matplotlib.use("Agg")


@pytest.fixture
def config(small_study):
    return small_study[0].config


def test_the_channels_with_the_largest_weights_are_shown_and_marked(config):
    a, weights = torch.randn(9, 4, 4), torch.zeros(9)
    weights[7], weights[2], weights[5] = 0.5, -0.75, 0.25
    fig = heatmaps.channels_and_weights(torch.zeros(3, 32, 32), a, weights, config, count=3)
    shown = [ax.images[-1].get_array() for ax in fig.axes[1:4]]
    for value, k in zip(shown, (2, 7, 5), strict=True):
        np.testing.assert_allclose(value, a[k].numpy())
    assert "k = 2\n$a_k^c$ = -0.750" in words(fig)
    bars = next(ax for ax in fig.axes if len(ax.patches) >= 9)
    assert [b.get_height() for b in bars.patches][:9] == pytest.approx(weights.tolist())
    assert {t.get_text() for t in bars.texts} == {"2", "5", "7"}
    assert "drawn teaching data" in words(fig)


def test_numbers_below_zero_carry_a_minus_so_that_grey_print_shows_them(config):
    summed = torch.tensor([[1.0, -2.0], [0.0, -0.5]])
    fig = heatmaps.sum_relu_upsample(torch.zeros(3, 32, 32), summed, summed.relu(), config)
    before, after = fig.axes[1], fig.axes[2]
    marks = before.lines[0].get_xydata().tolist()
    assert marks == [[1, 0], [1, 1]]
    assert len(after.lines[0].get_xydata()) == 0
    assert before.images[-1].get_clim() == after.images[-1].get_clim() == (-2, 2)
    assert "32×32" in words(fig)


def test_a_grid_marks_the_hottest_pixel_and_names_an_empty_map(small_study):
    net, study, heat, _ = small_study
    regions = [{"beak": (4.0, 5.0, 3.0)}, {}, {"beak": (9.0, 9.0, 2.0), "eye": (1.0, 2.0, 1.0)}]
    titles = ["a name that is much too long for one line", "b", "c"]
    fig = heatmaps.map_grid(study.images, {"GradCAM": heat, "nothing": heat * 0}, net.config, titles, regions)
    axes = np.array(fig.axes[:9]).reshape(3, 3)
    assert [len(ax.patches) for ax in axes[0]] == [2, 0, 4]  # a black and a white ring each
    assert axes[1, 1].lines[0].get_xydata().tolist() == [[2, 2]]
    assert axes[1, 1].lines[0].get_clip_on()  # a cross at an edge stays in its own panel
    assert [ax.texts[0].get_text() for ax in axes[2]] == ["empty"] * 3
    assert axes[1, 2].texts[0].get_text() == "empty"
    assert axes[0, 0].get_title().count("\n") == 2
    assert "nothing" in words(fig)
    assert style.png(fig)


def test_share_bars_stand_at_their_values_with_baselines_hollow():
    rows = {"GradCAM": (0.5, 0.4, 0.6), "chance (area)": (0.1, 0.05, 0.15)}
    fig = heatmaps.share_bars(
        {"pointing game": rows, "part hits": {"GradCAM": (0.7, 0.6, 0.8)}}, "mini_birds"
    )
    first, second = fig.axes
    assert [t.get_text() for t in first.get_yticklabels()] == list(rows)
    lines = [line for line in first.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in lines] == [50, 10]
    assert [line.get_markerfacecolor() for line in lines] == ["black", "white"]
    assert second.lines[0].get_xdata() == pytest.approx([60, 80])
    assert first.get_ylim()[0] > first.get_ylim()[1]  # the first name on top
    assert "drawn teaching data" in words(fig)
    assert "drawn" not in words(heatmaps.share_bars({"pointing game": rows}, "cub"))


def test_cost_bars_are_multiples_of_the_first():
    fig = heatmaps.cost_bars({"plain forward": 0.02, "this kit": 0.021, "other": 0.05}, "title")
    assert [b.get_width() for b in fig.axes[0].patches] == pytest.approx([1, 1.05, 2.5])
    assert "2.50 ×   (50 ms)" in words(fig)


def test_a_cost_that_cannot_be_is_said_and_not_drawn():
    """torch-cam runs the forward pass itself: .36 of one was measured while other programs ran."""
    fig = heatmaps.cost_bars({"plain forward": 0.02, "this kit": 0.0199, "torch-cam": 0.0072}, "title")
    assert [b.get_width() for b in fig.axes[0].patches] == pytest.approx([1, 0.995, 0])
    assert "not drawn: 0.36 × is less than its forward pass" in words(fig)
    fig.draw_without_rendering()
    (said,) = [t for t in fig.axes[0].texts if "not drawn" in t.get_text()]
    assert said.get_window_extent().x1 <= fig.axes[0].get_window_extent().x1


def test_forgetting_curves_name_each_step():
    steps = {"trained": (1.0, 1.0, 1.0), "head": (0.1, 0.0, 0.2), "stem": (0.0, -0.1, 0.1)}
    fig = heatmaps.forgetting_curves({"GradCAM": steps, "unweighted": steps}, (0.2, 0.1, 0.3), "mini_birds")
    (ax,) = fig.axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["trained", "+ head", "+ stem"]
    assert ax.lines[0].get_ydata() == pytest.approx([1, 0.1, 0])
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    assert "two different images" in words(fig)


def test_the_names_of_a_grids_rows_lie_inside_the_figure(small_study):
    net, study, heat, _ = small_study
    images, heat = study.images.repeat(2, 1, 1, 1)[:5], heat.repeat(2, 1, 1)[:5]
    names = ("trained", "head has forgotten", "all have forgotten")
    fig = heatmaps.map_grid(images, dict.fromkeys(names, heat), net.config)
    fig.draw_without_rendering()
    assert fig.get_tightbbox().x0 >= 0


def test_the_words_say_the_hottest_pixels_and_the_shares():
    heat = torch.zeros(2, 4, 4)
    heat[0, 1, 3] = 1.0  # row 1, column 3; the other map is empty
    assert (
        heatmaps.maps_in_words({"a": heat})
        == "Hottest point, image by image: a: upper right; none, the map is empty."
    )
    said = heatmaps.shares_in_words({"hits": {"GradCAM": (0.62, 0.5, 0.7), "chance": (0.1, 0.1, 0.1)}})
    assert said == "hits: GradCAM 62, chance 10"


def test_the_words_name_the_part_under_the_hottest_point():
    heat = torch.zeros(2, 9, 9)
    heat[0, 1, 1] = heat[1, 4, 4] = 1.0
    regions = [{}, {"beak": (4.0, 6.0, 1.0), "wing_bar": (5.0, 4.0, 1.0)}, {"beak": (1.0, 2.0, 0.5)}]
    assert heatmaps.maps_in_words({"a": heat}, regions, [2, 1]) == (
        "Hottest point, image by image: a: upper left (on no deciding part); on the wing bar (deciding)."
    )
