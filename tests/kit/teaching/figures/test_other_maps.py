"""Chapter 10's figures show what they are given."""

import numpy as np
import pytest
import torch

import gholm_lib as g
from gholm_kit.teaching.figures import other_maps as draw

CONFIG = g.load_config("mini", dataset="mini_birds")


def test_the_gallery_has_a_column_for_each_map_and_one_for_the_truth():
    images, where = torch.randn(2, 3, 112, 112), torch.zeros(2, 112, 112)
    where[:, 40:60, 40:60] = 1
    fig = draw.gallery(images, {"A": torch.rand(2, 7, 7), "B": torch.rand(2, 7, 7)}, where, CONFIG)
    pictures = [ax for ax in fig.axes if ax.images]
    assert len(pictures) == 6
    assert [ax.get_title() for ax in pictures[:3]] == ["truth", "A", "B"]


def test_the_bars_are_the_means_in_percent_and_those_that_do_not_look_are_grey():
    scores = {"GradCAM": np.array([0.2, 0.4]), "chance": np.array([0.1, 0.1])}
    (ax,) = draw.found_bars({"mini_birds": scores}, "found").axes
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([30, 10])
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()
    assert "2 images" in ax.get_title()


@pytest.mark.parametrize("families", [1, 2])
def test_the_first_map_stands_at_the_top_of_every_panel(families):
    scores = {"GradCAM": np.array([0.2, 0.4]), "chance": np.array([0.1, 0.1])}
    fig = draw.found_bars({f"family {k}": scores for k in range(families)}, "found")
    assert all(ax.yaxis_inverted() for ax in fig.axes)


def test_a_judge_stands_at_its_correlation():
    (ax,) = draw.judges({"ROAD": (0.5, 0.2, 0.8)}, {"ROAD": (-0.1, -0.6, 0.4)}, "mini_birds", 44).axes
    points = [c.lines[0].get_xdata().tolist() for c in ax.containers]
    assert points == [[0.5], [-0.1]]
    assert "44 images" in ax.get_title()


def test_places_begin_at_one_and_ties_share_the_better_one():
    scores = {"truth": {"A": np.array([3.0]), "B": np.array([2.0]), "C": np.array([2.0])}}
    (ax,) = draw.ranks(scores, ["A", "B", "C"], "mini_birds").axes
    assert [t.get_text() for t in ax.texts] == ["1", "2", "2"]
