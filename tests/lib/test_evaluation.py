"""Accuracy, interval and paired test against formulas typed here; the test-time pass against a plain loop."""

from __future__ import annotations

from math import comb, sqrt
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from gholm_lib.config import Config
from gholm_lib.datasets import Sample
from gholm_lib.evaluation import predict_all
from gholm_lib.loading import Batches, ImageView, loader
from gholm_lib.model import GHOLMNet
from gholm_lib.predictions import Predictions, accuracy
from gholm_lib.uncertainty import accuracy_interval, mcnemar
from tests.rounding import assert_same, use_float64

pytestmark = [pytest.mark.numeric, pytest.mark.usefixtures("one_thread")]

quick = settings(max_examples=50, deadline=None, derandomize=True)
answers = hnp.arrays(bool, st.integers(1, 60))
Z95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(right: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson (1927), solved for the two bounds."""
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def binomial_p(a: int, b: int) -> float:
    """Two-sided p of a fair coin: twice the smaller tail, counted term by term."""
    n, k = a + b, min(a, b)
    return min(1.0, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n)


# ---------------------------------------------------------------------- numbers


@quick
@given(answers)
def test_accuracy_is_right_over_all(correct):
    assert accuracy(correct) == sum(map(int, correct)) / len(correct)


@quick
@given(answers)
def test_interval_is_wilsons(correct):
    assert_same(accuracy_interval(correct), wilson(int(correct.sum()), len(correct)))


def test_interval_of_another_confidence_and_of_a_perfect_score():
    low, high = accuracy_interval(np.array([True] * 90 + [False] * 10), 0.99)
    assert_same((low, high), wilson(90, 100, 2.5758293035489004))
    low, high = accuracy_interval(np.ones(50, bool))
    assert high == pytest.approx(1)
    assert 0.9 < low < 1  # unlike the textbook's p ± z s, not of width zero


@quick
@given(hnp.arrays(bool, st.tuples(st.integers(1, 60), st.just(2))))
def test_mcnemar_is_a_coin_toss_over_the_disagreements(pair):
    first, second = pair.T
    a, b = int((first & ~second).sum()), int((second & ~first).sum())
    assert mcnemar(first, second) == pytest.approx(binomial_p(a, b) if a + b else 1.0)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_mcnemar_by_hand():
    first = np.array([True] * 9 + [False] * 1 + [True] * 30)
    second = np.array([False] * 9 + [True] * 1 + [True] * 30)
    assert mcnemar(first, second) == pytest.approx(2 * (1 + 10) / 2**10)  # 1 against 9


def test_mcnemar_wants_the_same_images():
    with pytest.raises(ValueError, match="same images"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


def test_summary_of_known_predictions():
    found = Predictions.empty(4, 10)
    found.label[:] = [0, 1, 2, 1]
    found.raw[:] = [0, 1, 0, 0]
    found.crop[:] = [0, 1, 2, 0]
    found.both[:] = [0, 1, 2, 1]
    found.box[:] = [(0, 0, 10, 10), (0, 0, 5, 10), (2, 3, 4, 8), (9, 9, 10, 10)]
    found.fallback[0] = True
    assert found.summary() == {
        "raw": 50.0,
        "crop": 75.0,
        "both": 100.0,
        "fallback_share": 0.25,
        "box_area": pytest.approx((100 + 50 + 10 + 1) / 4 / 100),
    }


def test_summary_leaves_out_branches_that_were_not_run():
    found = Predictions.empty(3, 10)
    found.label[:] = found.raw[:] = [0, 1, 2]
    assert found.summary() == {"raw": 100.0}
    assert not found.correct("crop").any()


def test_big_boxes_do_not_overflow_their_16_bits():
    found = Predictions.empty(1, 448)
    found.label[:] = found.raw[:] = found.crop[:] = found.both[:] = 0
    found.box[:] = (0, 0, 448, 448)  # 200 704 pixels
    assert found.summary()["box_area"] == 1.0


# ---------------------------------------------------------------------- the pass over a data set


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    """So that neither an answer nor a box hangs on the order in which a batch is added up."""
    use_float64(monkeypatch.setattr)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Eleven noisy pictures, their view and a network with random weights."""
    torch.manual_seed(0)
    config = Config(weights="none", image_size=64, resize=72)
    folder, rng, samples = tmp_path_factory.mktemp("images"), np.random.default_rng(0), []
    for k in range(11):
        path = folder / f"{k}.png"
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((80, 70), Image.Resampling.BICUBIC).save(path)
        samples.append(Sample(path, k % 3, path.name))
    net = GHOLMNet.from_config(config, 3).double()
    return SimpleNamespace(config=config, net=net, view=ImageView(samples, config, train=False))


def a_loader(view, batch_size=4):
    return loader(view, Batches(len(view), batch_size), workers=0, pin_memory=False)


def test_predict_all_is_a_plain_loop_over_predict(scene):
    found = predict_all(scene.net, a_loader(scene.view), Accelerator(cpu=True))
    scene.net.eval()
    for k in range(len(scene.view)):
        pixels = scene.view[k, None][0][None]
        with torch.no_grad():
            raw, crop = scene.net.predict(pixels)[:2]
            box = scene.net.attend(pixels).crop_boxes
        said = [int(t.argmax()) for t in (raw, crop, raw + crop)]
        assert [found.raw[k], found.crop[k], found.both[k]] == said
        assert found.box[k].tolist() == box[0].tolist()
        assert found.label[k] == k % 3
    assert found.image_size == 64


def test_predictions_do_not_depend_on_the_batch_size(scene):
    first, second = (predict_all(scene.net, a_loader(scene.view, b), Accelerator(cpu=True)) for b in (3, 11))
    assert np.array_equal(first.both, second.both)
    assert np.array_equal(first.box, second.box)


def test_without_crop_only_raw_is_filled_in(scene):
    everything = predict_all(scene.net, a_loader(scene.view), Accelerator(cpu=True))
    found = predict_all(scene.net, a_loader(scene.view), Accelerator(cpu=True), with_crop=False)
    assert np.array_equal(found.raw, everything.raw)
    assert (found.crop == -1).all()
    assert (found.both == -1).all()
    assert set(found.summary()) == {"raw"}


@pytest.mark.parametrize("training", [True, False])
def test_the_pass_leaves_mode_and_weights_as_they_were(scene, training):
    scene.net.train(training)
    before = {k: v.clone() for k, v in scene.net.state_dict().items()}
    predict_all(scene.net, a_loader(scene.view), Accelerator(cpu=True))
    assert scene.net.training is training
    assert scene.net.backbone.training is training
    assert all(torch.equal(v, before[k]) for k, v in scene.net.state_dict().items())
    assert all(p.grad is None for p in scene.net.parameters())
