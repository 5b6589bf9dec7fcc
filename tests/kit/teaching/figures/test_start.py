"""Chapter 00's pictures can be read, and their alt texts say what they show."""

from __future__ import annotations

import matplotlib
import pytest
import torch
from matplotlib.text import Text

from gholm_kit.teaching.figures import start
from gholm_lib.config import Config
from gholm_lib.datasets import load_dataset
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import records_folder
from gholm_lib.records import load_records

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def data():
    return load_dataset("mini_birds")


@pytest.fixture(scope="module")
def net(data):
    torch.manual_seed(0)
    return GHOLMNet.from_config(Config(weights="none"), len(data.classes)).eval()


def test_the_paths_are_legible_on_a_page(net, data):
    fig = start.network_paths(net, data.test[:2], data.classes)
    fig.canvas.draw()
    pixel = 1024 / fig.get_tightbbox().width / 72  # of a point, where the figure is as wide as the page
    small = {t.get_text(): t.get_fontsize() * pixel for t in fig.findobj(Text) if t.get_text()}
    assert min(small.values()) >= 14, small
    titles = [[ax.title for ax in fig.axes[5 * row : 5 * row + 5]] for row in range(2)]
    for row in titles:
        boxes = [t.get_window_extent() for t in row]
        assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def test_the_paths_in_words_say_both_answers(net, data):
    sample = data.test[0]
    said = start.paths_in_words(net, [sample], data.classes)
    path = start.to_input(start.load_image(sample.path), net.config)[None]
    with torch.no_grad():
        out = net.attend(path)
    for logits in (out.raw_logits[0], out.crop_logits[0]):
        k = int(logits.argmax())
        assert f"{data.classes[k]} {100 * float(logits.softmax(0)[k]):.0f} %" in said


def test_a_curve_in_words_ends_where_the_run_ended():
    record = next(r for r in load_records(records_folder()) if r.curve and "crop" in r.curve[0]["losses"])
    said = start.curve_in_words(record)
    assert (
        f"Raw from {record.curve[0]['losses']['raw']:.2f} to {record.curve[-1]['losses']['raw']:.2f}" in said
    )
    assert f"{record.results['last']['both']:.1f} %" in said
