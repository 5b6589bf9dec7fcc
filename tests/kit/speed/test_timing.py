"""The bench measures what it says: structure and sums, never a time that somebody expects."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import partial

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from gholm_kit import style
from gholm_kit.__main__ import main
from gholm_kit.speed import cases, growth, peers, timing
from gholm_kit.speed.growth import growth_curves
from gholm_kit.speed.timing import EVALUATION, FLOOR, OURS, PEER, STAGES, TRAINING
from gholm_lib import masking
from gholm_lib.config import Config
from gholm_lib.datasets import Sample
from gholm_lib.gradcam import gradcam, upsample
from gholm_lib.masking import crop, erase, largest_component_boxes, threshold
from gholm_lib.model import GHOLMNet
from tests.rounding import assert_same, enlarged_by_opencv

pytestmark = pytest.mark.usefixtures("one_thread")

matplotlib.use("Agg")
TINY = Config(weights="none", image_size=64, resize=64, batch_size=4)


@pytest.fixture(scope="module")
def measured() -> timing.Measurement:
    return timing.measure(TINY, num_classes=5, repeats=2)


# ---------------------------------------------------------------------- interleaved


def test_tasks_take_turns_in_changing_order():
    calls = []
    found = timing.interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 20)
    rounds = ["".join(calls[k : k + 2]) for k in range(0, len(calls), 2)]
    assert len(rounds) == 21
    assert set(rounds) == {"ab", "ba"}  # neither always follows the other
    assert found.keys() == {"a", "b"}


def test_only_measured_rounds_count(monkeypatch):
    clock = iter([0, 1, 10, 12])
    monkeypatch.setattr(timing, "_now", lambda: next(clock))
    calls = []
    assert timing.interleaved({"task": lambda: calls.append(1)}, 2) == {"task": 1.5}
    assert len(calls) == 3


def test_training_and_evaluation_are_timed_apart(monkeypatch):
    together = []

    def timed(tasks, repeats):
        together.append({which for which, _ in tasks})
        for task in tasks.values():
            task()
            task()  # the clocks of the stages want two runs
        return dict.fromkeys(tasks, 1.0)

    monkeypatch.setattr(timing, "interleaved", timed)
    timing.measure(TINY, num_classes=5, repeats=1, with_peer=False)
    assert together == [{timing.TRAINING}, {timing.EVALUATION}]


def test_the_median_is_taken(monkeypatch):
    clock = iter([0, 1, 10, 15, 20, 22])  # begin and end of three runs: 1, 5 and 2
    monkeypatch.setattr(timing, "_now", lambda: next(clock))
    assert timing.interleaved({"task": lambda: None}, 3) == {"task": 2}


def test_the_shortest_is_taken_where_asked(monkeypatch):
    clock = iter([0, 1, 10, 15, 20, 22])
    monkeypatch.setattr(timing, "_now", lambda: next(clock))
    assert timing.interleaved({"task": lambda: None}, 3, of=min) == {"task": 1}


# ---------------------------------------------------------------------- stages


def test_columns_and_rows(measured):
    table = measured.stages
    assert list(table) == ["pass", "stage", "milliseconds", "share of step", "ratio to floor"]
    training = table[table["pass"] == TRAINING]["stage"].tolist()
    evaluation = table[table["pass"] == EVALUATION]["stage"].tolist()
    assert training == [*STAGES, "whole", "floor"]
    without = {"erase", "losses", "backward", "optimiser"}
    assert evaluation == [s for s in STAGES if s not in without] + ["whole", "floor"]


def test_shares_are_a_whole_and_ratios_are_of_the_floor(measured):
    for _, rows in measured.stages.groupby("pass"):
        rows = rows.set_index("stage")
        parts = rows.drop(index=["whole", "floor"])
        assert parts["share of step"].sum() == pytest.approx(1)
        assert (parts["milliseconds"] > 0).all()
        assert rows.at["floor", "ratio to floor"] == 1
        expected = rows["milliseconds"] / rows.at["floor", "milliseconds"]
        pd.testing.assert_series_equal(rows["ratio to floor"], expected, check_names=False)


def test_every_stage_is_charged_for_its_own_time(monkeypatch):
    """A clock that only the parts move: each then takes as many seconds as it is called, or as often as it says."""
    clock, case = [0.0], timing.Case(TINY, 5, "cpu")
    monkeypatch.setattr(timing, "_now", lambda: clock[0])

    def slowed(owner, name, seconds):
        plain = getattr(owner, name)

        def slow(*args, **kwargs):
            clock[0] += seconds
            return plain(*args, **kwargs)

        monkeypatch.setattr(owner, name, slow)

    slowed(case.net.backbone, "forward_features", 1.0)  # twice: Raw; Crop and Drop
    slowed(timing.model, "unchecked_gradcam", 10.0)
    slowed(masking, "threshold", 100.0)  # theta and mu
    slowed(masking, "crop", 1000.0)
    slowed(masking, "erase", 1e4)
    slowed(timing.model.losses, "supcon_loss", 1e5)
    slowed(torch.Tensor, "backward", 1e6)
    slowed(case.optimiser, "step", 1e7)
    watch = timing._Watch()
    watch.run(case.step)
    expected = dict.fromkeys(STAGES, 0.0) | {"raw forward": 1.0, "second forward": 1.0, "heatmap": 10.0}
    expected |= {"threshold and boxes": 200.0, "crop": 1000.0, "erase": 1e4, "losses": 1e5}
    assert watch.runs == [expected | {"backward": 1e6, "optimiser": 1e7}]


def test_the_spans_are_the_profilers_again_after_a_run():
    case, before = timing.Case(TINY, 5, "cpu"), timing.model.record_function
    timing._Watch().run(case.step)
    assert timing.model.record_function is before


@pytest.mark.parametrize("branches", [{"drop": False}, {"sup": False, "crop": False}])
def test_fewer_branches_have_a_lower_floor_and_fewer_stages(branches):
    config = TINY.replace(**branches)
    table = timing.stages(config, num_classes=5, repeats=1)
    stages = set(table[table["pass"] == TRAINING]["stage"])
    assert ("crop" in stages) == config.crop
    assert ("erase" in stages) == config.drop
    case = timing.Case(config, 5, "cpu")
    assert len(case.extra) == config.batch_size


def test_the_floor_sees_as_many_images_as_the_method():
    case, seen = timing.Case(TINY, 5, "cpu"), []
    for net in (case.net, case.tested):
        net.backbone.stem.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    for method, floor in ((case.step, case.floor_step), (case.evaluate, case.floor_evaluate)):
        seen.clear()
        method()
        ours = list(seen)
        seen.clear()
        floor()
        assert seen == ours


def test_the_bench_takes_real_steps():
    case = timing.Case(TINY, 5, "cpu")
    for task in (case.step, case.floor_step):
        before = [p.detach().clone() for p in case.net.parameters()]
        task()
        assert all(not torch.equal(p, b) for p, b in zip(case.net.parameters(), before, strict=True))


# ---------------------------------------------------------------------- memory


def test_peak_memory_of_a_known_task():
    def task():
        a = torch.empty(1000, 1000)  # 4 MB
        b = torch.empty(2000, 1000)  # 8 MB more
        del a, b
        torch.empty(500, 1000)  # 2 MB, after the others are gone

    assert timing.peak_bytes(task, "cpu") == 12_000_000


def test_checkpointing_saves_memory():
    peaks = []
    for checkpointing in (False, True):
        case = timing.Case(TINY.replace(checkpointing=checkpointing), 5, "cpu")
        case.step()
        case.forget()
        peaks.append(timing.peak_bytes(case.step, "cpu"))
    assert peaks[1] < peaks[0]


# ---------------------------------------------------------------------- peers


@pytest.mark.numeric
def test_peers_take_the_same_step():
    """Where both agree on the numbers: heat, boxes, crop and erasure; so that times compare like with like."""
    torch.manual_seed(0)
    net = GHOLMNet("gholm_convnext_mini", 5, True, TINY.replace(channels_last=False)).eval()
    nn.init.normal_(net.backbone.get_classifier().weight, std=0.3)
    net, images = net.double(), torch.randn(4, 3, 64, 64).double()
    _, heat = peers.hooked_heat(net.backbone, images)
    features = net.backbone.forward_features(images)
    cam = gradcam(net.head, features)
    bound = enlarged_by_opencv(cam) * cam.amax((1, 2)).view(-1, 1, 1)
    assert ((torch.from_numpy(heat) - upsample(cam, 64)).abs() <= bound).all()
    boxes = largest_component_boxes(threshold(torch.from_numpy(heat), 1.7))
    assert_same(peers.crop_loop(images, heat, 1.7), crop(images, boxes, 64))
    theta = torch.tensor([1.1, 1.5, 1.7, 1.9])
    erased = erase(images, threshold(torch.from_numpy(heat), theta))
    assert torch.equal(peers.erase_loop(images, heat, theta), erased)
    for theirs, answer in zip(peers.evaluate(net.backbone, images, TINY), net.predict(images), strict=True):
        assert_same(theirs, answer)


@pytest.mark.numeric
def test_a_peers_training_step_has_our_loss():
    """theta fixed, so that nothing is drawn."""
    config = TINY.replace(channels_last=False, theta_low=1.5, theta_high=1.5)
    torch.manual_seed(0)
    net = GHOLMNet("gholm_convnext_mini", 5, True, config).double().train()
    images, labels = torch.randn(4, 3, 64, 64).double(), torch.tensor([0, 1, 1, 4])
    ours = net(images, labels).losses["total"]
    ours.backward()
    gradient = net.backbone.head.fc.weight.grad.clone()
    optimiser = torch.optim.SGD(net.backbone.parameters(), lr=1.0)
    before = net.backbone.head.fc.weight.detach().clone()
    theirs = peers.training_step(net.backbone, optimiser, images, labels, config)
    assert_same(theirs, ours)
    assert_same(before - net.backbone.head.fc.weight.detach(), gradient)


def test_ways(measured):
    ways = measured.ways.set_index(["pass", "way"])
    assert set(ways.index) == {(p, w) for p in (TRAINING, EVALUATION) for w in (OURS, FLOOR, PEER)}
    assert (ways > 0).all(axis=None)
    assert (ways.xs(FLOOR, level="way")["ratio to floor"] == 1).all()


def test_a_peer_that_does_not_fit_leaves_an_empty_row(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(peers, "training_step", full)
    found = timing.measure(TINY, num_classes=5, repeats=1)
    ways = found.ways.set_index(["pass", "way"])
    assert math.isnan(ways.at[(TRAINING, PEER), "milliseconds"])
    assert ways.at[(EVALUATION, PEER), "milliseconds"] > 0
    assert "out of memory" in cases.report(found)


# ---------------------------------------------------------------------- loader


def test_rates_of_the_loader_are_over_every_image(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    samples = []
    for i in range(11):
        path = tmp_path / f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (70, 80, 3), dtype=np.uint8)).save(path)
        samples.append(Sample(path, i % 3, path.name))
    seconds = {"kept in memory": 1.0, "from files": 4.0, "from files, 1 workers": 2.0, "step": 8.0}

    def timed(tasks, repeats):
        for task in tasks.values():
            task()
        return {name: seconds[name] for name in tasks}

    monkeypatch.setattr(timing, "interleaved", timed)
    table = timing.loader_rates(TINY, samples, workers=1, repeats=1).set_index("way")["images a second"]
    # Eleven images fill two batches of four.
    assert table.tolist() == [8.0, 2.0, 4.0, 0.5]
    assert table.index[-1] == "training step"


@pytest.mark.slow
def test_the_loader_is_held_against_the_step_that_is_asked_for(monkeypatch, tmp_path, capsys):
    seen = {}

    def rates(config, samples, device, workers, repeats):
        seen.update(config=config, workers=workers)
        return pd.DataFrame({"way": ["from files", "training step"], "images a second": [90.0, 80.0]})

    monkeypatch.setattr(cases, "loader_rates", rates)
    words = [
        "bench",
        "--loader",
        "--model",
        "test_convnext",
        "--size",
        "64",
        "--batch",
        "4",
        "--workers",
        "3",
    ]
    assert main([*words, "--out", str(tmp_path)]) == 0
    config = seen["config"]
    assert (config.backbone, config.image_size, config.resize, config.batch_size) == (
        "test_convnext",
        64,
        73,
        4,
    )
    assert seen["workers"] == 3
    assert "1.12   goal: at least 1.2, NOT met" in capsys.readouterr().out
    assert (tmp_path / "loader-cpu-test_convnext-64-mini_birds.csv").exists()


# ---------------------------------------------------------------------- suites, files, command


def test_the_gpu_suite_is_the_papers_setting():
    found = list(cases.settings("gpu"))
    assert {c.backbone for c in found} == {"convnext_tiny", "convnext_small"}
    assert {(c.image_size, c.batch_size) for c in found} == {(448, 16), (448, 64)}
    assert {c.precision for c in found} == {"bf16"}
    assert {c.checkpointing for c in found} == {False, True}
    assert all(c.crop and c.drop and c.sup for c in found)


def test_what_is_given_replaces_the_suites_own():
    found = list(cases.settings("gpu", model="test_convnext", size=64, batch=2, precision="no"))
    assert [(c.backbone, c.image_size, c.batch_size, c.checkpointing) for c in found] == [
        ("test_convnext", 64, 2, False),
        ("test_convnext", 64, 2, True),
    ]
    with pytest.raises(ValueError, match="one of cpu, gpu"):
        list(cases.settings("tpu"))


def test_a_result_says_machine_and_versions(measured, tmp_path):
    path = cases.save(measured, tmp_path)
    kept = pd.read_csv(path)
    for name in ("model", "size", "batch", "precision", "device", "processor", "threads", "torch", "timm"):
        assert kept[name].nunique() == 1
        assert kept[name].notna().all()
    assert kept["torch"].iloc[0] == torch.__version__
    whole = kept[kept["stage"] == f"whole, {OURS}"].set_index("pass")["ratio to floor"]
    ratio = measured.ways.set_index(["pass", "way"])["ratio to floor"]
    assert whole[TRAINING] == pytest.approx(ratio[TRAINING, OURS], abs=1e-4)
    assert len(kept) == len(measured.stages) - 4 + len(measured.ways)


def test_the_summary_has_a_row_for_each_kept_result_and_is_what_they_give(measured, tmp_path):
    cases.save(measured, tmp_path)
    for name, model in (("checkpointing", True), ("precision", "bf16")):
        cases.save(
            timing.Measurement(measured.stages, measured.ways, measured.about | {name: model}), tmp_path
        )
    rows = [line for line in cases.summary(tmp_path).splitlines() if line.startswith(f"| {TINY.backbone}")]
    assert [("checkpointing" in r, "bf16" in r) for r in rows].count((False, False)) == 1
    assert len(rows) == 3
    # The files keep four decimals, and rounding twice may give another third one.
    ratio = measured.ways.set_index(["pass", "way"])["ratio to floor"].round(4)
    assert all(f"| {ratio[TRAINING, OURS]:.3f}, " in r for r in rows)


def test_the_committed_summary_is_what_the_committed_results_give():
    folder = cases.results_folder()
    assert (folder / cases.SUMMARY).read_text(encoding="utf-8") == cases.summary(folder)


def test_verdicts_say_what_was_measured(measured):
    stages, ways = measured.stages.copy(), measured.ways.copy()
    stages.loc[(stages["pass"] == EVALUATION) & (stages["stage"] == "raw forward"), "milliseconds"] = 100.0
    stages.loc[(stages["pass"] == EVALUATION) & (stages["stage"] == "heatmap"), "milliseconds"] = 1.5
    ways.loc[ways["way"] == OURS, "ratio to floor"] = 1.07
    found = cases.verdicts(timing.Measurement(stages, ways, measured.about))
    assert [line.split()[-2:] == ["NOT", "met"] for line in found] == [False, False, True]
    assert ["0.015" in found[0], "1.070" in found[1], "1.070" in found[2]] == [True] * 3
    on_gpu = timing.Measurement(stages, ways, measured.about | {"device": "Some GPU"})
    assert cases.verdicts(on_gpu)[1].endswith("NOT met")  # 1.05 there


@pytest.mark.slow
def test_the_command_runs_the_gpu_suite_on_a_tiny_network(tmp_path, capsys):
    words = ["bench", "--suite", "gpu", "--device", "cpu", "--model", "test_convnext", "--size", "64"]
    assert main([*words, "--batch", "2", "--repeats", "1", "--classes", "3", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.count("training step by stages") == 2
    assert len(list(tmp_path.glob("cpu-test_convnext-64x2-bf16-t1*.csv"))) == 2
    assert "aten::" in (tmp_path / "trace-cpu.txt").read_text()


def test_a_profile_shows_the_stages():
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        timing.Case(TINY, 5, "cpu").step()
    assert set(STAGES) - {"rest"} <= {event.key for event in seen.key_averages()}


def test_where_nothing_fits_nothing_is_summed_up(monkeypatch, tmp_path, capsys):
    def full(*_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(cases, "measure", full)
    assert main(["bench", "--suite", "gpu", "--device", "cpu", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "convnext_small, 64 x 448, bf16, checkpointing: out of memory" in said
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there(capsys):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert main(["bench", "--device", "cuda"]) == 1
    assert "PyTorch sees no GPU" in capsys.readouterr().err


# ---------------------------------------------------------------------- growth


def test_operations_of_the_papers_network():
    """ConvNeXt-S at 224: 8.7 G multiply-adds (Liu et al., 2022, Table 1), two operations each."""
    found = growth.operations("convnext_small", 224, 1000)
    assert found["forward"] == pytest.approx(2 * 8.7e9, rel=0.01)
    assert found["training step"] == 9 * found["forward"]
    # Backward through the classifier, its forward, and the weighted sum of 768 maps of 7 x 7.
    assert found["heatmap"] == 2 * (2 * 768 * 1000) + 2 * 768 * 49


def test_operations_grow_with_the_area_and_not_with_the_classes():
    table = growth.resolution("test_convnext", (64, 128))
    forward = table[table["what"] == "test_convnext: forward"].set_index("value")["number"]
    assert forward[128] / forward[64] == pytest.approx(4, rel=0.02)
    assert (table["how"] == "computed").all()


@pytest.mark.slow
def test_growth_has_every_axis_and_says_how(monkeypatch):
    for name, small in (
        ("resolution", {"sizes": (64, 128)}),
        ("classes", {"counts": (5, 50), "size": 64}),
        ("measured_resolution", {"sizes": (32, 64), "batch": 2}),
        ("measured_batch", {"batches": (2, 4)}),
        ("contrast", {"batches": (4, 8)}),
    ):
        monkeypatch.setattr(growth, name, partial(getattr(growth, name), **small))
    table = growth.growth("test_convnext", "test_convnext", 32, repeats=1)
    assert list(table) == growth.COLUMNS
    assert set(table["how"]) == {"computed", "measured"}
    assert (table["number"] > 0).all()
    assert table[table["axis"] == "processes"]["value"].tolist() == [1, 2]
    fig = growth_curves(table, "a machine")
    assert [ax.get_title() for ax in fig.axes] == ["computed"] * 2 + ["measured"] * 4
    assert "Several GPUs: not measured" in fig.get_supxlabel()
    matplotlib.pyplot.close(fig)


def test_the_command_keeps_growth_as_table_and_picture(monkeypatch, tmp_path, capsys):
    units = {"images a step": "ms an image", "global batch": "ms an image", "processes": "images a second"}
    axes = ["resolution", "classes", *units]
    table = pd.concat([_some(axis, units.get(axis, "operations")) for axis in axes])
    table = pd.concat([table, _some("resolution", "ms an image")], ignore_index=True)
    monkeypatch.setattr(growth, "growth", lambda repeats: table)
    monkeypatch.setattr(style, "save", lambda fig, name: tmp_path / f"{name}.png")
    assert main(["bench", "--scale", "--out", str(tmp_path)]) == 0
    assert str(tmp_path / "scale.png") in capsys.readouterr().out
    kept = pd.read_csv(tmp_path / "scale.csv")
    pd.testing.assert_frame_equal(kept[growth.COLUMNS], table)
    assert kept["processor"].notna().all()


def _some(axis: str, unit: str = "operations") -> pd.DataFrame:
    return growth._table([(axis, v, "tiny: forward", 10.0 * v, unit) for v in (1, 2)], growth.COMPUTED)


# ---------------------------------------------------------------------- import


def test_importing_the_kit_imports_nothing_heavy():
    code = "import sys, torch, timm; before = set(sys.modules); import gholm_lib; print(set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = {name.split(".")[0] for name in eval(done.stdout)}
    assert "gholm_lib" in new
    heavy = {"pandas", "scipy", "matplotlib", "accelerate", "IPython", "ipywidgets", "pooch", "tyro"}
    assert not new & heavy


# ---------------------------------------------------------------------- on a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("fill", ["mean", "black", "noise", "channel_mean"])
def test_a_training_step_waits_for_the_gpu_once(fill):
    """For the masks, from which the host finds the boxes."""
    case = timing.Case(TINY.replace(fill=fill), 5, "cuda")
    case.step()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchronizing") as waits:
            case.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([w for w in waits if "synchronizing" in str(w.message)]) == 1
