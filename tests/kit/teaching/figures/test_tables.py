"""Pictures of tables: dots and intervals lie where the numbers are, and what was not run says so."""

from __future__ import annotations

import numpy as np
import pytest

from gholm_kit.teaching.figures import tables
from gholm_lib.uncertainty import Difference, images_needed


def points(ax) -> list[tuple[float, float]]:
    """Middle of every drawn interval."""
    return [(float(x), float(y)) for c in ax.containers for x, y in zip(*c.lines[0].get_data(), strict=True)]


def words(ax) -> str:
    return "\n".join(t.get_text() for t in ax.texts)


def test_steps_beside_the_papers():
    delta = Difference(6.0, 3.0, 9.0, 3)
    unstable = "unstable: 1 of 3 runs at chance"
    fig = tables.steps({"mini_birds": {"Crop": (0.8, delta), "Sup": (0.2, None), "Drop": (0.2, unstable)}})
    ax = fig.axes[0]
    assert [y for _, y in points(ax)] == [6.0]
    low, high = ax.containers[0].lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((3.0, 9.0))
    assert [float(line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "D"] == [0.8, 0.2, 0.2]
    assert [t.strip() for t in words(ax).split("\n")] == ["not run", unstable]
    assert "drawn" in fig.get_supxlabel()


def test_photographs_are_not_called_drawn():
    fig = tables.steps({"cub": {"Crop": (0.8, None)}})
    assert not fig.get_supxlabel()


def test_mu_has_a_series_trained_and_a_series_tested():
    paper = {1.6: -0.3, 1.7: 0.0, 1.8: -0.1}
    delta = Difference(-1.0, -2.0, 0.0, 1)
    fig = tables.mu_steps(paper, {1.6: delta, 1.8: None}, {1.6: None, 1.8: None}, "mini_birds")
    ax = fig.axes[0]
    assert [y for _, y in points(ax)] == [-1.0]
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert "trained with μ" in labels
    assert "tested with μ only: not run" in labels


def test_readings_are_lines_with_the_largest_gain_on_top():
    lines = [
        ("erased pixels: black", Difference(-0.5, -2.0, 1.0, 3), "not distinguishable"),
        ("temperature: 0.1", Difference(2.0, 1.0, 3.0, 3), "better"),
    ]
    ax = tables.readings({"a block": lines}, "mini_birds")["a block"].axes[0]
    assert points(ax) == [(2.0, 0.0), (-0.5, 1.0)]
    assert ax.get_title() == "a block"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["temperature: 0.1", "erased pixels: black"]
    faces = [c.lines[0].get_markerfacecolor() for c in ax.containers]
    assert faces[0] != "white"
    assert faces[1] == "white"


def test_a_reading_far_away_is_an_arrow_and_leaves_the_scale_to_the_others():
    near = ("temperature: 0.1", Difference(-2.0, -3.0, -1.0, 3), "worse")
    far = ("length of z: unnormalised", Difference(-78.0, -80.0, -76.0, 3), "worse")
    alone, both = (tables.readings({"a": e}, "mini_birds")["a"].axes[0] for e in ([near], [far, near]))
    assert points(both) == points(alone)
    assert both.get_xlim() == alone.get_xlim()
    assert words(both).strip() == "−78.0"
    (arrow,) = (line for line in both.lines if line.get_marker() == "<")
    assert arrow.get_ydata()[0] == 1


def test_a_very_wide_interval_runs_off_the_chart_and_all_blocks_have_one_scale():
    near = ("temperature: 0.1", Difference(-2.0, -3.0, -1.0, 3), "worse")
    wide = ("vector z: unnormalised", Difference(-11.0, -54.0, 30.0, 3), "not distinguishable")
    figures = tables.readings({"a": [near], "b": [wide]}, "mini_birds")
    ends = [fig.axes[0].get_xlim() for fig in figures.values()]
    assert ends == [(-tables.FAR - 1, tables.FAR + 1)] * 2


def test_the_curve_of_images_is_the_formula():
    ax = tables.images_for(0.9, 0.1, {"a set": 5794}).axes[0]
    unpaired, paired = ax.lines[0], ax.lines[1]
    for k in (0, 30):
        x = unpaired.get_xdata()[k]
        assert unpaired.get_ydata()[k] == images_needed(x, 0.9)
        assert paired.get_ydata()[k] == images_needed(x, 0.9, max(0.1, x / 100))
    assert np.any([5794 in line.get_ydata() for line in ax.lines])
    assert len(tables.images_for(0.9, None, {}).axes[0].get_legend().get_texts()) == 1


def test_the_words_say_the_numbers_of_the_pictures():
    delta = Difference(6.0, 3.0, 9.0, 3)
    said = tables.steps_in_words({"mini_birds": {"Crop": (0.8, delta), "Sup": (0.2, None)}})
    assert said == "mini_birds: Crop +0.8 in the paper, +6.0 measured; Sup +0.2 in the paper, not run"
    assert tables.mu_in_words({"retrained": {1.6: delta, 1.8: None}, "only tested": {}}) == (
        "retrained: 1.6 +6.0 measured, 1.8 not run; only tested: not run"
    )
    lines = [
        ("erased pixels:\nblack", Difference(-4.0, -5.0, -3.0, 3), "worse"),
        ("jitter: none", delta, "better"),
    ]
    assert tables.readings_in_words(lines) == "jitter: none: +6.0, better; erased pixels: black: −4.0, worse"
