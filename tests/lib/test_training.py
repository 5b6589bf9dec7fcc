"""The training loop: killed and resumed, stopped by a bad loss, shared by processes; and plain SGD underneath."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image

from gholm_lib import loading, losses, precision, progress, training
from gholm_lib.__main__ import main
from gholm_lib.config import Config, RunOptions, load_config
from gholm_lib.datasets import FineGrainedData, Sample, load_dataset
from gholm_lib.gradcam import NonFiniteError
from gholm_lib.loading import Batches, ImageView, loader
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import project_root, runs_folder
from gholm_lib.provenance import split_data
from gholm_lib.records import RecordError, load_record
from gholm_lib.runs import evaluate_run, load_network
from gholm_lib.training import _Run, _SlowSteps, learning_rate, train
from tests.rounding import assert_same, of_network, unit, use_float64

pytestmark = pytest.mark.usefixtures("one_thread")

PROJECT = project_root()
CONFIG = Config(
    dataset="cub",
    weights="none",
    image_size=64,
    resize=72,
    epochs=2,
    lr=0.01,
    lr_decay_epochs=(1,),
    batch_size=8,
    evaluate_every=1,
)
TRAIN, TEST = 12, 6  # images a class, three classes: four steps an epoch
# What may differ between two equal runs, and nothing else.
MAY_DIFFER = {"cost", "environment"}
FINISHED = {"data_root.json", "model.safetensors", "predictions.npz", "record.json"}


@pytest.fixture(scope="session")
def data_root(tmp_path_factory) -> Path:
    """A data root with a small set in the CUB layout: noise, each class with a colour of its own."""
    root = tmp_path_factory.mktemp("data")
    folder, rng = root / "CUB_200_2011", np.random.default_rng(0)
    lines = {"images": [], "image_class_labels": [], "train_test_split": []}
    for k in range(3 * (TRAIN + TEST)):
        label, number = divmod(k, TRAIN + TEST)
        name = f"00{label + 1}.Class/{number}.png"
        coarse = rng.integers(0, 200, (5, 5, 3), dtype=np.uint8)
        coarse[..., label] //= 2
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((80, 72), Image.Resampling.BICUBIC).save(folder / "images" / name)
        lines["images"].append(f"{k + 1} {name}")
        lines["image_class_labels"].append(f"{k + 1} {label + 1}")
        lines["train_test_split"].append(f"{k + 1} {int(number < TRAIN)}")
    lines["classes"] = [f"{i} 00{i}.Class" for i in (1, 2, 3)]
    for name, rows in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def options(data_root, tmp_path) -> RunOptions:
    return RunOptions(data_root=data_root, runs=tmp_path / "runs", device="cpu", quiet=True)


def alone(**changes: str) -> dict[str, str]:
    """Environment of a child process: one thread, this project, nobody's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GHOLM_")}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)} | changes


def command(*words, config: Config = CONFIG, runs: Path, data_root: Path) -> list[str]:
    """``gholm train`` with the data set, and every setting in which ``config`` departs from its defaults."""
    default = Config(dataset=config.dataset).to_dict() | {"dataset": None}
    given = {k: v for k, v in config.to_dict().items() if v != default[k]}
    args = [sys.executable, *words, "-m", "gholm_lib", "train", "--device", "cpu", "--quiet"]
    args += ["--runs", str(runs), "--data-root", str(data_root)]
    for name, value in given.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            args.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            args += [f"--{flag}", *map(str, value if isinstance(value, list) else [value])]
    return args


def comparable(run: Path) -> dict:
    values = json.loads((run / "record.json").read_text())
    assert values.keys() >= MAY_DIFFER
    return {k: v for k, v in values.items() if k not in MAY_DIFFER}


def assert_same_result(first: Path, second: Path) -> None:
    """Record, predictions and weights, bit for bit; and nothing else is left in the folder."""
    assert comparable(first) == comparable(second)
    for name in ("predictions.npz", "model.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    for folder in (first, second):
        assert {p.name for p in folder.iterdir()} == FINISHED


# ---------------------------------------------------------------------- killed and started again


@pytest.fixture(scope="session")
def killed(data_root, tmp_path_factory) -> Path:
    """The folder that killed_run.py fills."""
    if not hasattr(os, "fork"):
        pytest.skip("needs os.fork, which Windows does not have")
    folder = tmp_path_factory.mktemp("killed")
    script = PROJECT / "tests/killed_run.py"
    done = subprocess.run(
        [sys.executable, script, data_root, folder], env=alone(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_a_run_killed_at_six_moments_ends_as_one_never_killed(killed):
    straight, resumed = next((killed / "straight").iterdir()), next((killed / "killed").iterdir())
    assert straight.name == resumed.name
    assert_same_result(straight, resumed)
    record = load_record(resumed)
    assert [e["epoch"] for e in record.curve] == [1, 2, 3, 4]
    assert ["test" in e for e in record.curve] == [False, True, False, True]


@pytest.mark.slow
def test_a_checkpoint_is_whole_at_every_moment(killed):
    epochs = {}
    for folder in sorted((killed / "after").iterdir()):
        names = {p.name for p in folder.iterdir()}
        assert not names & {"record.json", "predictions.npz"}, folder.name
        if folder.name.startswith("half of"):
            assert any(n.startswith(".checkpoint.pt.") for n in names), "the half file has another name"
        state = None
        if "checkpoint.pt" in names:
            state = torch.load(folder / "checkpoint.pt", weights_only=True)
            assert all(torch.isfinite(v).all() for v in state["model"].values())
        epochs[folder.name] = len(state["curve"]) if state else 0
    assert epochs == {
        "epoch 1, step 2": 0,
        "half of checkpoint 1": 0,
        "epoch 2, step 1": 1,
        "evaluation after epoch 2": 1,
        "half of checkpoint 3": 2,
        "weights without record": 4,
    }


@pytest.mark.slow
def test_the_command_killed_from_outside_goes_on_and_says_so(data_root, tmp_path):
    """``kill -9`` as soon as a first checkpoint is seen; once more before there is one."""
    config = CONFIG.replace(epochs=8, crop=False, sup=False, drop=False)
    args = command(config=config, runs=tmp_path / "killed", data_root=data_root)
    run = tmp_path / "killed" / config.run_id
    for wait_for in (tmp_path, run / "checkpoint.pt"):  # the first is there at once
        child = subprocess.Popen(args, env=alone(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not wait_for.exists() and child.poll() is None:
            time.sleep(0.002)
        child.kill()
        assert child.wait() == -signal.SIGKILL
    assert not (run / "record.json").exists()
    again = subprocess.run(args, env=alone(), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "resuming after epoch" in again.stdout
    train(config, RunOptions(data_root, tmp_path / "straight", "cpu", quiet=True))
    assert_same_result(run, tmp_path / "straight" / config.run_id)


def test_a_finished_run_is_not_made_again(options, monkeypatch):
    config = CONFIG.replace(epochs=1)
    record = train(config, options)
    monkeypatch.setattr(
        training, "_Run", None
    )  # anything but reading the record and the data's lists would fail
    again = train(config, options)
    assert (again.config, again.data, again.results) == (record.config, record.data, record.results)
    assert (again.curve, again.cost) == (record.curve, record.cost)
    assert np.array_equal(again.predictions.both, record.predictions.both)


def test_another_seed_or_setting_is_another_run(options):
    folders = {
        (options.runs / c.run_id)
        for c in (CONFIG, CONFIG.replace(seed=1), CONFIG.replace(mu=1.8), CONFIG.replace(drop=False))
    }
    assert len(folders) == 4


def test_max_steps_stops_there_and_a_resumed_run_takes_no_further_step(options, monkeypatch):
    config = CONFIG.replace(epochs=5, max_steps=6, evaluate_every=5)
    with monkeypatch.context() as patched:  # die between the last checkpoint and the record
        patched.setattr(training._Run, "_finish", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(config, options)
    record = train(config, options)
    assert [e["epoch"] for e in record.curve] == [1, 2]
    straight = RunOptions(options.data_root, options.runs / "straight", "cpu", quiet=True)
    train(config, straight)
    assert_same_result(options.runs / config.run_id, straight.runs / config.run_id)


def test_a_trial_tests_a_few_images_and_says_so(options, capsys):
    config = CONFIG.replace(epochs=1, max_steps=2, batch_size=3, holdout=0.5)
    for step, data in enumerate((made_up_data(classes=3, test=20), made_up_data(classes=3, test=2))):
        trial = split_data(config, data)
        assert len(trial.test) == (2 * 2 * 3, 6)[step]
        assert {s.label for s in trial.test} == {0, 1, 2}, "spread over the classes"
        assert len(split_data(config.replace(max_steps=None), data).test) == len(data.test)
    args = command(config=config, runs=options.runs, data_root=options.data_root)[3:]
    assert main(args) == 0
    said = capsys.readouterr().out
    assert "a trial of 2 steps: accuracies on 12 test images are not meaningful" in said
    record = load_record(options.runs / config.run_id)
    assert (record.data["test"], len(record.predictions.label)) == (12, 12)
    assert f"training at {record.cost['images_per_second']:g} images/s" in said
    again = evaluate_run(options.runs / config.run_id, options)
    assert np.array_equal(again.predictions.both, record.predictions.both)


def test_the_pace_leaves_out_tests_and_the_first_step(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(training.time, "perf_counter", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    pace = training.Pace(8, torch.device("cpu"))
    assert pace.rate == 0
    for first in (100, 2):
        pace.begin()
        for seconds in (first, 2, 2):
            wait(seconds)
            pace.step()
        pace.end()
        wait(1000)  # a test
    assert pace.rate == 8 / 2
    short = training.Pace(8, torch.device("cpu"))
    short.begin()
    wait(400)
    short.step()
    short.end()
    assert short.rate == 8 / 400, "of one step there is nothing else, and it is not 0.0"


# ---------------------------------------------------------------------- what a run says before it starts


def test_the_start_says_what_was_taken_from_the_weights(options, tmp_path, capsys):
    net = GHOLMNet.from_config(CONFIG, 3)
    path = tmp_path / "wrapped.pth"
    torch.save({f"module.{k}": v for k, v in net.backbone.state_dict().items()}, path)
    config = CONFIG.replace(epochs=1, max_steps=1, weights=str(path), image_std=(0.5, 0.5, 0.5))
    train(config, dataclasses.replace(options, quiet=False))
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "wrapped.pth: the prefix 'module.' was taken off its names"
    assert second == (
        "input of gholm_convnext_mini2: mean 0.485 0.456 0.406 (of its pretrained weights), std 0.5 0.5 0.5 (as set)"
    )


@pytest.mark.parametrize(("able", "used"), [(True, "bf16"), (False, "float32")])
def test_bf16_on_a_cpu_that_would_emulate_it_becomes_float32(options, monkeypatch, capsys, able, used):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: able)
    config = CONFIG.replace(epochs=1, max_steps=1, precision="bf16")
    record = train(config, options)
    assert record.environment["precision"] == used
    assert record.config["precision"] == "bf16", "the same run, whatever the machine"
    note = "precision is float32 instead of bf16: this CPU has no bf16 instructions"
    assert capsys.readouterr().out.count(note) == (not able)
    evaluate_run(options.runs / config.run_id, options)
    assert capsys.readouterr().out.count(note) == (not able)


@pytest.mark.parametrize(
    ("flags", "able"),
    [
        ("avx2 avx512f avx512_bf16", True),
        ("avx2 amx_bf16 amx_tile", True),
        ("asimd svebf16 bf16", True),
        ("avx2 avx512f", False),
    ],
)
def test_a_cpus_bf16_instructions_are_read_from_its_flags(monkeypatch, flags, able):
    monkeypatch.setattr(Path, "read_text", lambda self, *_: f"processor : 0\nflags : fpu {flags} vme\n")
    assert precision.cpu_has_bf16.__wrapped__() is able


# ---------------------------------------------------------------------- a log


def test_without_a_terminal_a_line_comes_now_and_then_whatever_a_step_takes(options, monkeypatch, capsys):
    assert progress.EVERY <= 60
    monkeypatch.setattr(progress, "EVERY", 0.02)
    plain, calls = GHOLMNet.attend, []

    def slow(self, images):
        calls.append(1)
        time.sleep(0.2)
        return plain(self, images)

    monkeypatch.setattr(GHOLMNet, "attend", slow)
    config = CONFIG.replace(epochs=1)
    train(config, options)
    assert "so far" not in capsys.readouterr().out, "quiet"
    loud = dataclasses.replace(options, runs=options.runs / "loud", quiet=False)
    train(config, loud)
    said = capsys.readouterr().out
    assert re.search(rf"^{config.run_id}: epoch 1 of 1, step \d of 4, 0\.0 min so far$", said, re.M)
    assert re.search(r": testing after epoch 1, 0\.\d min so far$", said, re.M)
    evaluate_run(loud.runs / config.run_id, loud)
    assert ": testing 18 images, " in capsys.readouterr().out
    assert not [t for t in threading.enumerate() if "speak" in t.name]


# ---------------------------------------------------------------------- a loss that is not finite


def kept_failure(run: Path, said: str) -> dict:
    """What a run that stopped at a number that is not finite left, and named in its message."""
    left = {"checkpoint.pt", "failure.json", "failure.pt"}
    assert {p.name for p in run.iterdir()} == left
    assert all(name in said for name in left)
    failure = json.loads((run / "failure.json").read_text())
    assert len(failure["images"]) == 8
    return failure


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_state(options, monkeypatch):
    plain, calls = losses.supcon_loss, []

    def sometimes_nan(z, *args):
        calls.append(1)
        return plain(z, *args) * (float("nan") if len(calls) == 4 + 3 else 1)

    with monkeypatch.context() as patched:
        patched.setattr(losses, "supcon_loss", sometimes_nan)
        with pytest.raises(NonFiniteError, match=r"'sup'.* epoch 2, step 3") as error:
            train(CONFIG, options)
    run = options.runs / CONFIG.run_id
    failure = kept_failure(run, str(error.value))
    assert (failure["epoch"], failure["step"]) == (2, 3)
    assert np.isnan(failure["terms"]["sup"])
    assert np.isfinite([failure["terms"][k] for k in ("raw", "crop", "drop")]).all()
    ids = {s.image_id for s in load_dataset("cub", options.data_root).train}
    assert set(failure["images"]) <= ids

    state = torch.load(run / "failure.pt", weights_only=True)
    assert all(torch.isfinite(v).all() for v in state["model"].values()), "saved before the bad step"
    assert len(torch.load(run / "checkpoint.pt", weights_only=True)["curve"]) == 1

    # With the cause gone, the run ends as if nothing had happened.
    train(CONFIG, options)
    for name in ("failure.json", "failure.pt"):
        (run / name).unlink()
    straight = RunOptions(options.data_root, options.runs / "straight", "cpu", quiet=True)
    train(CONFIG, straight)
    assert_same_result(run, straight.runs / CONFIG.run_id)


def test_a_heatmap_that_is_not_finite_keeps_the_state_too(options, monkeypatch):
    """GradCAM meets broken weights before the loss does: every step, where a GPU looks at the loss only at some."""
    plain, calls = training.learning_rate, []

    def too_much(*args):
        calls.append(1)
        return plain(*args) if len(calls) < 2 else 1e30

    with monkeypatch.context() as patched:
        patched.setattr(training, "learning_rate", too_much)
        with pytest.raises(NonFiniteError, match=r"GradCAM met .* epoch 2, step \d") as error:
            train(CONFIG, options)
    failure = kept_failure(options.runs / CONFIG.run_id, str(error.value))
    assert (failure["epoch"], failure["terms"]) == (2, {})


def test_a_bad_image_ends_the_command_in_one_sentence_with_workers_too(data_root, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    bad = next((root / "CUB_200_2011/images").glob("*/3.png"))
    bad.write_bytes(bad.read_bytes()[:200])
    said = []
    for workers in ("0", "2"):
        words = command("-c", _FROM_FILES, runs=tmp_path / "runs", data_root=root)
        words[3:5] = []  # -m gholm_lib: what -c runs instead
        done = subprocess.run(
            [*words, "--workers", workers], env=alone(), capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 1
        said.append(done.stderr)
    assert said[0] == said[1]
    assert said[0].startswith(f"gholm train: {bad} is damaged or truncated (")
    assert said[0].count("\n") == 1


_FROM_FILES = """
import sys
from gholm_lib import __main__, loading
if __name__ == "__main__":
    loading.CACHE_LIMIT = 0  # as for a set too large to be kept in memory
    sys.exit(__main__.main())
"""


def test_answers_that_are_not_finite_stop_the_run_and_are_no_answers(options, monkeypatch):
    """In an evaluation, where there is no loss to look at: the first class would be taken for the answer."""
    plain, calls = GHOLMNet.attend, []

    def sometimes_nan(self, images):
        out = plain(self, images)
        calls.append(1)
        if len(calls) == 4:  # second epoch, second batch of the 18 test images
            out.crop_logits[0] = float("nan")
        return out

    with monkeypatch.context() as patched:
        patched.setattr(GHOLMNet, "attend", sometimes_nan)
        with pytest.raises(NonFiniteError, match="in the evaluation after epoch 2") as error:
            train(CONFIG, options)
    run = options.runs / CONFIG.run_id
    assert {p.name for p in run.iterdir()} == {"checkpoint.pt", "failure.json", "failure.pt"}
    assert "checkpoint.pt" in str(error.value)
    failure = json.loads((run / "failure.json").read_text())
    assert (failure["epoch"], failure["step"]) == (2, None)
    assert failure["images"] == [s.image_id for s in load_dataset("cub", options.data_root).test[16:]]
    assert len(torch.load(run / "failure.pt", weights_only=True)["curve"]) == 1
    assert train(CONFIG, options).curve[-1]["epoch"] == 2, "with the cause gone it goes on"


@pytest.mark.parametrize("branches", [{}, {"crop": False, "sup": False, "drop": False}])
def test_a_last_step_that_breaks_the_weights_is_not_saved_as_a_good_state(options, monkeypatch, branches):
    config = CONFIG.replace(epochs=1, **branches)
    plain = torch.optim.SGD.step

    def breaks(self, *args, **kwargs):
        plain(self, *args, **kwargs)
        steps.append(1)
        if len(steps) == 4:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(float("inf"))

    steps = []
    monkeypatch.setattr(torch.optim.SGD, "step", breaks)
    with pytest.raises(NonFiniteError, match=r"weights .* are not finite after epoch 1"):
        train(config, options)
    run = options.runs / config.run_id
    assert {p.name for p in run.iterdir()} == {"failure.json", "failure.pt"}
    assert json.loads((run / "failure.json").read_text())["step"] is None


# ---------------------------------------------------------------------- what the loop computes


def test_the_papers_learning_rates():
    paper = load_config("paper")
    rates = [learning_rate(paper, epoch) for epoch in range(paper.epochs)]
    assert rates == pytest.approx([1e-3] * 15 + [1e-4] * 15 + [1e-5] * (paper.epochs - 30), rel=1e-12)
    assert (paper.momentum, paper.weight_decay, paper.batch_size) == (0.9, 1e-4, 16)


@pytest.mark.numeric
def test_raw_alone_is_plain_sgd_on_cross_entropy(options, monkeypatch):
    """Two epochs by hand: momentum, weight decay and a lower rate in the second."""
    use_float64(monkeypatch.setattr)
    config = CONFIG.replace(crop=False, sup=False, drop=False)
    record = train(config, options)

    data = load_dataset("cub", options.data_root)
    torch.manual_seed(config.seed)
    net = GHOLMNet.from_config(config, 3).to(memory_format=torch.channels_last)
    view, batches = ImageView(data.train, config, train=True), Batches(len(data.train), 8, config.seed)
    speed = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    curve = []
    for epoch, rate in enumerate((0.01, 0.001)):
        batches.epoch, values = epoch, []
        for pixels, labels, _ in loader(view, batches, 0, pin_memory=False):
            loss = F.cross_entropy(net.backbone(pixels), labels)
            values.append(float(loss.detach()))
            slope = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for (name, p), g in zip(net.named_parameters(), slope, strict=True):
                    speed[name].mul_(0.9).add_(g + 1e-4 * p)
                    p.sub_(rate * speed[name])
        curve.append(np.mean(values))

    trained = safetensors.torch.load_file(options.runs / config.run_id / "model.safetensors")
    for name, p in net.named_parameters():
        assert_same(trained[name], p)
    assert_same([e["losses"]["raw"] for e in record.curve], curve)
    assert [e["lr"] for e in record.curve] == pytest.approx([0.01, 0.001])


def test_the_record_agrees_with_its_curve_and_its_predictions(options):
    config = CONFIG.replace(epochs=4, holdout=0.25, lr=0.02)
    record = train(config, options)
    curve, results = record.curve, record.results
    assert results["last"] == curve[-1]["test"] == record.predictions.summary()
    best = max(curve, key=lambda e: e["test"]["both"])  # the first of equals
    assert results["best_test"] == {"epoch": best["epoch"], **best["test"]}
    chosen = max(curve, key=lambda e: e["held_out"]["both"])
    assert results["held_out"] == {"epoch": chosen["epoch"], **chosen["test"]}, "chosen apart, tested on test"

    assert record.accuracy == 100 * np.mean(record.predictions.both == record.predictions.label)
    for entry in curve:
        terms = entry["losses"]
        parts = [terms["raw"], terms["crop"], 0.2 * terms["drop"], terms["sup"]]  # eq. (10) and (12)
        rounded = 4 * unit(torch.float32) * sum(map(abs, parts))  # one product and three sums
        assert terms["total"] == pytest.approx(sum(parts), abs=rounded)
        assert 0 <= entry["fallback_share"] <= 1
        assert 0 < entry["box_area"] <= 1
    # 12 a class, 3 of them apart; classes, training and test images
    assert [record.data[k] for k in ("classes", "train", "test")] == [3, 27, 18]
    assert record.settings == config
    assert record.environment["processes"] == 1
    assert record.cost["images_per_second"] > 0


@pytest.mark.numeric
def test_it_learns(options):
    """A colour tells the class. All seeds end at 94 to 100 %, so a run that rounds otherwise does too."""
    config = CONFIG.replace(epochs=8, lr_decay_epochs=(6,), crop=False, sup=False, drop=False)
    record = train(config.replace(evaluate_every=8), options)
    first, last = record.curve[0]["losses"]["total"], record.curve[-1]["losses"]["total"]
    assert last < 0.7 * first
    assert record.accuracy >= 60  # chance is 33


def test_reading_by_workers_and_memory_format_do_not_change_the_result(options, monkeypatch, tmp_path):
    config = CONFIG.replace(epochs=1)
    train(config, options)
    monkeypatch.setattr(loading, "CACHE_LIMIT", 0)
    with_workers = RunOptions(options.data_root, tmp_path / "read", "cpu", workers=2, quiet=True)
    train(config, with_workers)
    assert_same_result(options.runs / config.run_id, with_workers.runs / config.run_id)


# ---------------------------------------------------------------------- the split


def made_up_data(classes=4, train=10, test=3) -> FineGrainedData:
    def samples(kind, count):
        ids = [(f"{kind}/{c}/{n}.jpg", c) for c in range(classes) for n in range(count)]
        return tuple(Sample(Path("/nowhere") / i, c, i) for i, c in ids)

    names = tuple(f"class {c}" for c in range(classes))
    return FineGrainedData("made_up", Path("/nowhere"), names, samples("train", train), samples("test", test))


@pytest.mark.parametrize(("share", "apart"), [(0.2, 2), (0.25, 2), (0.01, 1), (0.5, 5)])
def test_held_out_images_are_a_share_of_each_class(share, apart):
    data = made_up_data()
    split = split_data(Config(holdout=share), data)
    assert [s.label for s in split.held_out] == sorted(list(range(4)) * apart)
    assert not {s.image_id for s in split.held_out} & {s.image_id for s in split.train}
    assert {s.image_id for s in (*split.held_out, *split.train)} == {s.image_id for s in data.train}
    assert split.test == list(data.test)


def test_held_out_images_depend_neither_on_the_seed_nor_on_their_order():
    data = made_up_data()
    shuffled = FineGrainedData(data.name, data.root, data.classes, data.train[::-1], data.test)
    first = split_data(Config(holdout=0.3, seed=0), data)
    second = split_data(Config(holdout=0.3, seed=7), shuffled)
    assert {s.image_id for s in first.held_out} == {s.image_id for s in second.held_out}
    numbers = {tuple(s.image_id.split("/")[-1] for s in first.held_out if s.label == c) for c in range(4)}
    assert len(numbers) > 1, "not the same places in every class"


def test_without_holdout_everything_is_trained_on():
    data = made_up_data()
    split = split_data(Config(holdout=0.0), data)
    assert (split.train, split.held_out) == (list(data.train), [])


def test_fewer_classes_keep_the_first():
    split = split_data(Config(classes=2, holdout=0.2), made_up_data())
    assert split.classes == ("class 0", "class 1")
    assert {s.label for part in (split.train, split.held_out, split.test) for s in part} == {0, 1}
    assert (len(split.train), len(split.held_out), len(split.test)) == (16, 4, 6)


# ---------------------------------------------------------------------- errors that a user can mend


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 4}, "classes is 4, but cub has only 3"),
        ({"batch_size": 40}, "36 training images do not fill one batch of 40"),
        ({"batch_size": 34, "holdout": 0.1}, "33 training images do not fill one batch of 34"),
        ({"backbone": "no_such_net"}, "no_such_net"),
    ],
)
def test_what_cannot_be_trained_is_said(options, changes, message):
    with pytest.raises(ValueError, match=message):
        train(CONFIG.replace(**changes), options)
    assert not (options.runs / CONFIG.replace(**changes).run_id).exists()


def test_a_device_that_is_not_there(options):
    odd = RunOptions(options.data_root, options.runs, "tpu", quiet=True)
    with pytest.raises(ValueError, match='"auto", "cpu" or "cuda", got \'tpu\''):
        train(CONFIG, odd)
    if not torch.cuda.is_available():
        gpu = RunOptions(options.data_root, options.runs, "cuda", quiet=True)
        with pytest.raises(ValueError, match="PyTorch sees no GPU"):
            train(CONFIG, gpu)


def test_half_precision_on_a_cpu_is_refused_and_not_taken_for_float32(options):
    with pytest.raises(ValueError, match='"fp16", which needs a GPU'):
        train(CONFIG.replace(precision="fp16"), options)


def test_one_process_may_take_another_precision_for_its_next_run(monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    cpu = RunOptions(device="cpu")
    kinds = [
        training.make_accelerator(CONFIG.replace(precision=p), cpu).mixed_precision
        for p in ("no", "bf16", "no")
    ]
    assert kinds == ["no", "bf16", "no"]


def test_a_date_is_a_seed(options):
    record = train(CONFIG.replace(epochs=1, max_steps=1, seed=20231124), options)
    assert record.config["seed"] == 20231124


def test_where_runs_go(monkeypatch, tmp_path):
    monkeypatch.setenv("GHOLM_RUNS", str(tmp_path))
    assert runs_folder() == RunOptions().runs == tmp_path
    monkeypatch.delenv("GHOLM_RUNS")
    assert runs_folder() == PROJECT / "runs"


# ---------------------------------------------------------------------- a busy machine


def warnings_of(*epochs: list[float]) -> list[str]:
    """What is said of steps that take so many seconds; a test of 100 seconds stands between two epochs."""
    now, said = [0.0], []
    pace = _SlowSteps(said.append, lambda: now[0])
    for seconds in epochs:
        now[0] += 100
        pace.start()
        for step in seconds:
            now[0] += step
            pace.step()
    return said


def test_steps_that_become_slow_are_told_once():
    (line,) = warnings_of([0.9, 0.1, 0.1, 0.1, 0.1, 0.1], [0.1, *[0.6] * 20])
    assert "A step now takes 0.6 s, the first ones took 0.1 s" in line
    assert "OMP_WAIT_POLICY=PASSIVE" in line
    assert "fewer threads" in line


@pytest.mark.parametrize(
    "seconds",
    [
        [0.1] * 5 + [0.4] * 20,  # slower, not by much
        [0.1] * 5 + [9.0, 9.0, 0.1, 0.1, 0.1] * 4,  # single slow steps
        [2.0, *[0.1] * 20],  # the first step warms up
        [0.1, 9.0, 9.0, 9.0],  # too few to tell
    ],
)
def test_other_steps_are_not_worth_a_word(seconds):
    assert warnings_of(seconds) == []


def test_a_run_times_its_steps_and_warns(data_root, tmp_path, monkeypatch, capsys):
    clock = iter([2.0**k for k in range(100)])  # each step takes twice as long as the one before
    monkeypatch.setattr("gholm_lib.training._SlowSteps", partial(_SlowSteps, clock=lambda: next(clock)))
    for name, quiet in (("loud", False), ("quiet", True)):
        train(CONFIG.replace(epochs=3), RunOptions(data_root, tmp_path / name, "cpu", quiet=quiet))
        assert capsys.readouterr().out.count("A step now takes") == (not quiet)


def test_the_bar_shows_the_time_left_of_the_whole_run(data_root, tmp_path, monkeypatch):
    """Two of eight steps in ten seconds, so thirty seconds are left."""
    run = _Run(CONFIG, RunOptions(data_root, tmp_path, "cpu"), load_dataset("cub", data_root), tmp_path)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bar = run._bar(4)
    bar.update(2)
    bar.start_t, bar._time = 0.0, lambda: 10.0
    bar.set_postfix({"total": "1.50"}, refresh=False)
    assert "2/8 steps, 00:30 left, total=1.50" in str(bar)
    bar.close()


# ---------------------------------------------------------------------- finished runs


@pytest.mark.numeric
def test_a_saved_network_says_again_what_the_record_says(options, monkeypatch):
    """In float64: loaded again, the weights lie otherwise in memory, for which convolutions have other code."""
    use_float64(monkeypatch.setattr)
    config = CONFIG.replace(epochs=1, lr=0.02)
    record = train(config, options)
    run = options.runs / config.run_id
    again = evaluate_run(run, options)
    for name in ("label", "raw", "crop", "both", "box", "fallback"):
        assert np.array_equal(getattr(again.predictions, name), getattr(record.predictions, name)), name
    assert again.results == record.results
    wide = evaluate_run(run, options, mu=0.5)
    assert wide.predictions.summary()["box_area"] > again.predictions.summary()["box_area"]
    assert np.array_equal(wide.predictions.raw, record.predictions.raw)
    assert wide.config["mu"] == 0.5
    assert load_record(run).config["mu"] == config.mu, "the run's own record stays"
    assert not load_network(run).training


def test_a_network_trained_in_fp16_is_tested_on_a_cpu_in_float32(options, capsys):
    config = CONFIG.replace(epochs=1, lr=0.02)
    record = train(config, options)
    run = options.runs / config.run_id
    text = (run / "record.json").read_text()
    (run / "record.json").write_text(text.replace('"precision": "no"', '"precision": "fp16"', 1))
    again = evaluate_run(run, options)
    assert again.config["precision"] == "fp16", "it says how the network was trained"
    assert np.array_equal(again.predictions.both, record.predictions.both)
    assert "tested here in float32" in capsys.readouterr().out


def test_a_network_trained_without_crop_can_be_tested_with_it(options):
    config = CONFIG.replace(epochs=1, crop=False, sup=False, drop=False)
    record = train(config, options)
    again = evaluate_run(options.runs / config.run_id, options)
    assert set(record.results["last"]) == {"raw"}
    assert {"raw", "crop", "both"} < set(again.results["last"])
    assert again.results["last"]["raw"] == record.results["last"]["raw"]
    assert again.settings.branches == "raw", "it says how the network was trained"
    assert again.accuracy == record.accuracy


def test_other_test_images_are_not_taken_for_those_of_the_record(options, tmp_path):
    config = CONFIG.replace(epochs=1, crop=False, sup=False, drop=False)
    train(config, options)
    other = shutil.copytree(options.data_root, tmp_path / "other")
    split = next(other.rglob("train_test_split.txt"))
    lines = split.read_text().splitlines()
    test = next(k for k, line in enumerate(lines) if line.endswith(" 0"))
    lines[test] = lines[test][:-1] + "1"
    split.write_text("\n".join(lines) + "\n")
    with pytest.raises(RecordError, match=r"from other data .*: other test images"):
        evaluate_run(options.runs / config.run_id, RunOptions(other, options.runs, "cpu", quiet=True))


def test_missing_weights_of_a_run_are_named(options):
    config = CONFIG.replace(epochs=1, crop=False, sup=False, drop=False)
    train(config, options)
    path = options.runs / config.run_id / "model.safetensors"
    path.unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_network(path.parent)


# ---------------------------------------------------------------------- several processes


@pytest.mark.slow
def test_two_processes_train_the_same_network_as_one(data_root, tmp_path):
    """Real processes under torchrun: one record, complete, and the weights of the one-process run.

    Thresholds are out of reach, so that every crop is the whole image, nothing is erased and no pixel hangs on
    rounding; test_distributed.py has the real ones, in float64.
    """
    config = CONFIG.replace(epochs=1, mu=100.0, theta_low=100.0, theta_high=100.0, precision="no")
    runs = tmp_path / "two"
    words = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    done = subprocess.run(
        command(*words, config=config, runs=runs, data_root=data_root),
        env=alone(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Raw + Crop") == 1, "only one of them speaks"
    assert [p.name for p in runs.iterdir()] == [config.run_id]
    run = runs / config.run_id
    assert {p.name for p in run.iterdir()} == FINISHED
    record = load_record(run)
    assert record.environment["processes"] == 2
    assert np.isfinite(record.accuracy)
    for name in ("raw", "crop", "both"):
        assert (getattr(record.predictions, name) >= 0).all(), "every image was seen"

    straight = train(config, RunOptions(data_root, tmp_path / "one", "cpu", quiet=True))
    one = safetensors.torch.load_file(tmp_path / "one" / config.run_id / "model.safetensors")
    two = safetensors.torch.load_file(run / "model.safetensors")
    torch.manual_seed(config.seed)
    net = GHOLMNet.from_config(config, 3)
    off = of_network(net, passes=3 * 4)  # forward and backward in four steps
    for name, start in net.state_dict().items():
        learnt = (one[name] - start).abs().max()
        assert (two[name] - one[name]).abs().max() <= off * learnt + 4 * unit(
            torch.float32
        ) * start.abs().max(), name
    assert np.array_equal(record.predictions.label, straight.predictions.label)
    for first, second in zip(record.curve, straight.curve, strict=True):
        assert first["losses"] == pytest.approx(second["losses"], rel=off)
        assert first["train_accuracy"] == pytest.approx(second["train_accuracy"])
        assert first["box_area"] == second["box_area"] == 1


# ---------------------------------------------------------------------- fresh layers


def test_fresh_layers_learn_at_their_own_rate():
    """One step of plain SGD moves the classifier and the projection head ten times as far, and nothing else."""
    moved = []
    for factor in (1.0, 10.0):
        torch.manual_seed(0)
        config = CONFIG.replace(z="projection", fresh_rate=factor, drop=False)
        net = GHOLMNet.from_config(config, 3)
        groups, factors = training.parameter_groups(net)
        assert sum(len(g["params"]) for g in groups) == len(list(net.parameters()))
        before = {k: v.detach().clone() for k, v in net.named_parameters()}
        optimiser = torch.optim.SGD(groups, 1.0)
        for group, own in zip(optimiser.param_groups, factors, strict=True):
            group["lr"] = own * 0.01
        images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        net(images, torch.tensor([0, 1, 2, 0])).losses["total"].backward()
        optimiser.step()
        moved.append({k: (v.detach() - before[k]) for k, v in net.named_parameters()})
    for name, once in moved[0].items():
        fresh = name.startswith(("backbone.head.fc", "projection"))
        assert torch.allclose(moved[1][name], (10 if fresh else 1) * once, rtol=1e-3, atol=1e-6), name


def test_a_run_with_fresh_layers_decays_both_rates(options):
    seen = []

    class Watched(training._Run):
        def _epoch(self, *args):
            entry = super()._epoch(*args)
            seen.append([g["lr"] for g in self.optimiser.param_groups])
            return entry

    config = CONFIG.replace(fresh_rate=10.0, crop=False, sup=False, drop=False)
    data = load_dataset(config.dataset, options.data_root)
    Watched(config, options, data, options.runs / config.run_id).run()
    assert seen == [pytest.approx([0.01, 0.1]), pytest.approx([0.001, 0.01])]


@pytest.mark.parametrize("box", ["random", "centre", "whole"])
def test_a_control_trains_and_is_tested_alike_again(options, box):
    """A run of each control, whose network, tested again, gives its answers again."""
    config = CONFIG.replace(crop_box=box, epochs=1, lr_decay_epochs=())
    record = train(config, options)
    again = evaluate_run(options.runs / config.run_id, options)
    assert np.array_equal(record.predictions.both, again.predictions.both)
    assert np.array_equal(record.predictions.box, again.predictions.box)


def test_a_control_without_its_boxes_stops_before_it_starts(options):
    config = CONFIG.replace(crop_box="object")
    with pytest.raises(ValueError, match='crop_box="object" needs a box for each image, but cub has none'):
        train(config, options)
    assert not (options.runs / config.run_id).exists()


# ---------------------------------------------------------------------- a watcher


def test_a_watcher_sees_every_step_and_epoch_and_changes_nothing(options, monkeypatch, tmp_path):
    """Four steps and a test an epoch; each look at the clock is a second later."""
    now = iter(range(10_000))
    monkeypatch.setattr(training.time, "perf_counter", lambda: float(next(now)))
    seen = []

    def watch(progress: training.Progress) -> None:
        so_far = progress.so_far() if progress.so_far else None
        seen.append((len(progress.curve), progress.done, progress.total, progress.seconds, so_far))

    record = train(CONFIG, options, watch=watch)
    epoch = [(0, n, 8) for n in range(1, 5)] + [(1, 4, 8)]
    assert [s[:3] for s in seen] == [*epoch, *((e + 1, n + 4, t) for e, n, t in epoch)]
    assert [s[4] is None for s in seen] == 2 * [False, False, False, False, True]
    assert seen[3][4]["losses"] == pytest.approx(record.curve[0]["losses"])
    assert seen[3][4]["train_accuracy"] == record.curve[0]["train_accuracy"]
    assert all(s[3] > 0 for s in seen if s[1] < 8)
    assert seen[-1][3] == 0
    monkeypatch.undo()
    alone = dataclasses.replace(options, runs=tmp_path / "alone")
    train(CONFIG, alone)
    assert_same_result(options.runs / CONFIG.run_id, alone.runs / CONFIG.run_id)


def test_a_watcher_of_a_resumed_run_counts_on_and_a_finished_run_is_silent(options):
    def stop(progress: training.Progress) -> None:
        if progress.done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, options, watch=stop)
    done: list[int] = []
    train(CONFIG, options, watch=lambda progress: done.append(progress.done))
    assert done == [5, 6, 7, 8, 8]
    train(CONFIG, options, watch=lambda progress: pytest.fail("nothing is trained"))
