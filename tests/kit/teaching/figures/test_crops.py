"""Chapter 02's pictures show what the method does, for odd heatmaps too."""

import matplotlib
import numpy as np
import pytest
import torch

from gholm_kit import style
from gholm_kit.teaching import deciding_parts
from gholm_kit.teaching.figures import crops
from tests.kit.teaching.figures.reading import words

matplotlib.use("Agg")


def test_threshold_steps_draw_the_librarys_box_and_count_components(small_study):
    net, study, heat, classes = small_study
    fig = crops.threshold_steps(net, study, heat, 1, [0.5, 1.7], classes)
    assert len(fig.axes) == 2 * 5 + 1
    assert words(fig).count("components: 2") == 2
    frame = fig.axes[3].patches[0]
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (15.5, 15.5, 12, 12)
    assert "drawn teaching data" in words(fig)
    assert style.png(fig)


def test_an_empty_mask_is_shown_as_the_whole_image(small_study):
    net, study, heat, classes = small_study
    fig = crops.threshold_steps(net, study, heat, 2, [1.7], classes)
    assert "empty mask" in words(fig)
    assert fig.axes[3].patches[0].get_width() == 32
    np.testing.assert_allclose(
        fig.axes[4].images[0].get_array(), crops.view_array(study, 2, net), atol=1e-5
    )  # the crop is the picture


def test_components_take_the_numbers_of_their_size():
    mask = np.zeros((9, 9), bool)
    mask[0:2, 0:2], mask[5:9, 5:9] = True, True
    _, ax = style.styled()
    assert crops.components(ax, np.zeros((9, 9, 3)), mask, 8) == 2
    placed = {t.get_text(): t.get_position() for t in ax.texts}
    assert placed["1"][0] >= 5
    assert placed["2"][0] < 2


def test_mask_components_show_both_readings():
    mask = np.eye(4, dtype=bool)
    fig = crops.mask_components(mask)
    assert "4 neighbours: 4 components" in words(fig)
    assert "8 neighbours: 1 component\n" in words(fig)


def test_mu_curves_draw_the_means_and_keep_the_paper_apart(small_study):
    net, study, heat, _ = small_study
    mus = [0.5, 1.7, 3.0]
    sweep = deciding_parts.crop_sweep(net, study, heat, mus)
    fig = crops.mu_curves(sweep, np.array([True, False, True]), "mini_birds")
    size_ax, _, right_ax, paper_ax = fig.axes
    np.testing.assert_allclose(size_ax.lines[0].get_ydata(), 100 * sweep.groupby("mu").box_area.mean())
    np.testing.assert_allclose(right_ax.lines[0].get_ydata(), 100 * sweep.groupby("mu").crop_right.mean())
    assert right_ax.lines[2].get_ydata()[0] == pytest.approx(200 / 3)
    assert paper_ax.lines[0].get_ydata().tolist() == [91.5, 91.8, 91.7, 91.6, 91.5, 91.4]
    assert "Table 4 (cited)" in paper_ax.get_title()


def test_mu_curves_leave_out_what_is_not_known(small_study):
    net, study, heat, _ = small_study
    sweep = deciding_parts.crop_sweep(net, study, heat, [1.7])
    sweep["iou"] = sweep["kept"] = np.nan
    fig = crops.mu_curves(sweep, np.array([True]), "cub")
    labels = [line.get_label() for line in fig.axes[0].lines + fig.axes[1].lines]
    assert not any("true box" in label or "deciding" in label for label in labels)
    assert "drawn teaching data" not in words(fig)


def test_wrong_gallery(small_study):
    net, study, heat, _ = small_study
    wrong = deciding_parts.wrong_components(study, heat, 1.7)
    fig = crops.wrong_gallery(net, study, heat, wrong, 1.7)
    assert "deciding parts in box 1:\n0 %" in words(fig)
    assert fig.axes[1].patches[-1].get_x() == 15.5


def test_a_verdict_says_right_or_wrong():
    logits = torch.tensor([0.0, 4.0])
    assert crops.verdict(logits, 1, ("a", "b")) == "✓ b 98 %"
    assert crops.verdict(logits, 0, ("a", "b")) == "✗ b 98 %"


def test_the_words_say_the_ends_of_the_curves_and_the_best(small_study):
    net, study, heat, _ = small_study
    sweep = deciding_parts.crop_sweep(net, study, heat, [0.5, 1.7])
    area = 100 * sweep[sweep.mu == 1.7].box_area.mean()
    assert f"at mu = 1.7 the box is {area:.0f} % of the image" in crops.curves_in_words(sweep)
