"""A dry run writes nothing, and its numbers are those of the run: steps, images, disk, a time that was measured."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from gholm_lib import rehearsal
from gholm_lib.__main__ import main
from gholm_lib.config import Config, RunOptions
from gholm_lib.model import GHOLMNet
from gholm_lib.rehearsal import rehearse
from gholm_lib.training import train
from tests.noise import noise_in_cubs_layout

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = Config(
    dataset="cub",
    weights="none",
    image_size=32,
    resize=36,
    epochs=7,
    lr_decay_epochs=(),
    batch_size=4,
    evaluate_every=3,
    holdout=0.34,
)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory) -> Path:
    """Two classes, six training and four test pictures of each."""
    return noise_in_cubs_layout(tmp_path_factory.mktemp("data"))


@pytest.fixture
def options(data_root, tmp_path, monkeypatch) -> RunOptions:
    monkeypatch.setattr(rehearsal, "TRAINING", 0.2)
    monkeypatch.setattr(rehearsal, "TESTING", 0.1)
    return RunOptions(data_root, tmp_path / "runs", "cpu", quiet=True)


def test_steps_images_and_disk_are_those_of_the_run(options):
    said = rehearse(CONFIG, options)
    assert not options.runs.exists(), "nothing is written"
    assert "images: 8 for training (4 more held out), 8 for testing, 2 classes" in said
    assert "steps: 2 per epoch, 4 images each, 14 in total; 3 tests" in said
    assert "a new run" in said
    train(CONFIG.replace(epochs=1), RunOptions(options.data_root, options.runs, "cpu", quiet=True))
    kept = options.runs / CONFIG.replace(epochs=1).run_id / "model.safetensors"
    assert f"disk: {kept.stat().st_size / 2**20:.0f} MiB for the finished run" in said
    assert "already finished" in rehearse(CONFIG.replace(epochs=1), options)
    assert "9 in total; 2 tests" in rehearse(CONFIG.replace(max_steps=9), options)


def test_the_times_are_measured(options, monkeypatch):
    """A network made slower by 200 ms a step of 4 images and by 80 ms a test of 8; 14 steps, 3 tests of 12."""
    forward, attend = GHOLMNet.forward, GHOLMNet.attend
    monkeypatch.setattr(GHOLMNet, "forward", lambda *a: time.sleep(0.2) or forward(*a))
    monkeypatch.setattr(GHOLMNet, "attend", lambda *a: time.sleep(0.08) or attend(*a))
    said = rehearse(CONFIG, options)
    training, testing = (float(v) for v in re.findall(r"([\d.e+]+) ms", said))
    assert training >= 200 / 4
    assert testing >= 80 / 8
    minutes = float(re.search(r"total: about ([\d.]+) min", said)[1])
    seconds = 14 * 4 * training / 1000 + 3 * (8 + 4) * testing / 1000
    assert minutes == pytest.approx(seconds / 60, abs=0.06)


def test_the_command_makes_no_run(options, capsys):
    args = [
        "train",
        "--dry-run",
        "--dataset",
        "cub",
        "--weights",
        "none",
        "--image-size",
        "32",
        "--resize",
        "36",
    ]
    args += ["--batch-size", "4", "--device", "cpu", "--data-root", str(options.data_root)]
    assert main([*args, "--runs", str(options.runs)]) == 0
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines()][1:] == [
        "images",
        "steps",
        "time",
        "total",
        "memory",
        "disk",
    ]
    assert not options.runs.exists()
