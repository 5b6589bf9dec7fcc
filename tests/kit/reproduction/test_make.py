"""The runner: what is recorded is not made again, what fails is a result, and the time left is an honest guess."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gholm_kit.reproduction import make as runner
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.estimate import Estimate, duration, kind, passes, plan
from gholm_kit.reproduction.jobs import Job
from gholm_kit.reproduction.make import make_runs
from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import DataError
from gholm_lib.model import GHOLMNet
from gholm_lib.provenance import OtherOriginError
from gholm_lib.records import RecordError, load_record
from gholm_lib.training import train
from tests.noise import noise_in_cubs_layout

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = Config(
    dataset="cub",
    weights="none",
    image_size=32,
    resize=36,
    epochs=1,
    lr=0.01,
    lr_decay_epochs=(),
    batch_size=4,
    evaluate_every=1,
)
RAW = CONFIG.replace(crop=False, sup=False, drop=False)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory) -> Path:
    """Two classes of noise in the CUB layout."""
    return noise_in_cubs_layout(tmp_path_factory.mktemp("data"))


@pytest.fixture
def options(data_root, tmp_path) -> RunOptions:
    return RunOptions(data_root=data_root, runs=tmp_path / "runs", device="cpu", quiet=True)


@pytest.fixture
def records(tmp_path) -> Path:
    return tmp_path / "records"


def contents(folder: Path) -> dict[str, float]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


# ---------------------------------------------------------------------- making runs


def test_a_finished_run_leaves_its_record_without_weights(options, records):
    said: list[str] = []
    make_runs([Job(RAW), Job(CONFIG)], records, options, said.append)
    for config in (RAW, CONFIG):
        assert sorted(p.name for p in (records / config.run_id).iterdir()) == [
            "predictions.npz",
            "record.json",
        ]
        assert load_record(records / config.run_id).settings == config
    assert said[0].startswith("2 runs and tests, 0 recorded already; 2 left")
    assert "[1/2]" in said[1]
    assert said[1].endswith("1 left, no estimate yet")  # the other run is of another kind
    assert said[2].endswith("nothing left")


def test_a_run_with_held_out_images_tells_their_accuracy_alone(options, records):
    said: list[str] = []
    job = Job(RAW.replace(holdout=0.3))
    make_runs([job], records, options, said.append)
    held_out = Archive.read(records).records[job].curve[-1]["held_out"]["raw"]
    assert f": {held_out:.1f} % held out, " in said[1]


def test_recorded_runs_are_not_made_again(options, records, monkeypatch):
    make_runs([Job(RAW)], records, options)
    before = contents(records)
    monkeypatch.setattr(runner, "train", lambda *_, **__: pytest.fail("trained again"))
    said: list[str] = []
    make_runs([Job(RAW)], records, options, said.append)
    assert contents(records) == before
    assert said == ["1 runs and tests, 1 recorded already; nothing left"]


def test_a_record_in_a_folder_of_another_name_counts(options, records):
    """Its settings say what it is: a field that the Config gains later changes every folder name."""
    make_runs([Job(RAW)], records, options)
    (records / RAW.run_id).rename(records / "cub-raw-00000000-s0")
    assert Job(RAW) in Archive.read(records)


def test_interrupted_it_goes_on_with_the_next(options, records, monkeypatch):
    jobs, train = [Job(RAW.replace(seed=s)) for s in (0, 1)], runner.train

    def interrupted(config, options, **network):
        if config.seed == 1:
            raise KeyboardInterrupt
        return train(config, options, **network)

    monkeypatch.setattr(runner, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_runs(jobs, records, options)
    before = contents(records)
    monkeypatch.setattr(runner, "train", train)
    make_runs(jobs, records, options)
    assert before.items() <= contents(records).items()
    assert set(Archive.read(records).records) == set(jobs)


def test_a_loss_that_is_not_finite_is_a_result(options, records):
    diverging = RAW.replace(lr=1e25, epochs=2)
    said: list[str] = []
    make_runs([Job(diverging), Job(RAW)], records, options, said.append)
    archive = Archive.read(records)
    assert list(archive.records) == [Job(RAW)]  # the next run was made all the same
    failure = archive.failed(diverging)[0]
    assert failure["epoch"] == 1
    assert "not finite" in failure["message"]
    json.loads(
        (records / diverging.run_id / "failure.json").read_text(), parse_constant=pytest.fail
    )  # no NaN
    assert "loss not finite in epoch 1" in said[1]
    make_runs([Job(diverging)], records, options, said.append)
    assert said[-1].endswith("1 recorded already; nothing left")


def test_a_network_is_tested_with_another_mu(options, records):
    make_runs([Job(CONFIG), Job(CONFIG, 0.5)], records, options)
    archive = Archive.read(records)
    trained, tested = archive.row(CONFIG)[0], archive.row(CONFIG, 0.5)[0]
    assert (trained.tested_mu, tested.tested_mu) == (None, 0.5)
    assert tested.settings == CONFIG
    assert np.array_equal(trained.predictions.raw, tested.predictions.raw)
    assert tested.results["last"]["box_area"] > trained.results["last"]["box_area"]


def nan_answers(self: GHOLMNet, images: torch.Tensor) -> torch.Tensor:
    return torch.full((len(images), 2), float("nan"))


def test_answers_that_are_not_finite_are_a_result_with_its_epoch(options, records, monkeypatch):
    monkeypatch.setattr(GHOLMNet, "classify", nan_answers)
    said: list[str] = []
    make_runs([Job(RAW)], records, options, said.append)
    failure = json.loads((records / RAW.run_id / "failure.json").read_text())
    assert (failure["epoch"], failure["step"]) == (1, None)
    assert "in the evaluation after epoch 1" in failure["message"]
    assert ": not finite after epoch 1, " in said[1]


def test_a_test_with_another_mu_that_is_not_finite_names_the_mu(options, records, monkeypatch):
    make_runs([Job(CONFIG)], records, options)
    earlier = options.runs / CONFIG.run_id / "failure.json"  # of an attempt before the run went through
    earlier.write_text('{"epoch": 9, "step": 9}')
    monkeypatch.setattr(GHOLMNet, "classify", nan_answers)
    said: list[str] = []
    make_runs([Job(CONFIG, 0.5)], records, options, said.append)
    assert ": not finite when tested with mu 0.5, " in said[1]


def other_labels(root: Path, folder: Path) -> Path:
    """A copy of a data root in which one training and one test picture have another label."""
    copy = shutil.copytree(root, folder)
    path = copy / "CUB_200_2011/image_class_labels.txt"
    path.write_text(path.read_text().replace("\n2 1\n", "\n2 2\n").replace("\n7 1\n", "\n7 2\n"))
    return copy


def test_records_of_other_data_are_refused(options, records, data_root, tmp_path):
    make_runs([Job(RAW)], records, options)
    before = contents(records)
    elsewhere = replace(options, data_root=other_labels(data_root, tmp_path / "other"))
    with pytest.raises(OtherOriginError, match=rf"{RAW.run_id} .*other labels of the training.*--records"):
        make_runs([Job(RAW), Job(RAW.replace(seed=1))], records, elsewhere)
    assert contents(records) == before


def test_a_failure_on_other_data_is_no_result_of_these(options, records, data_root, tmp_path):
    diverging = RAW.replace(lr=1e25, epochs=2)
    make_runs([Job(diverging)], records, options)
    elsewhere = replace(options, data_root=other_labels(data_root, tmp_path / "other"))
    with pytest.raises(OtherOriginError, match="other labels of the training images"):
        make_runs([Job(diverging)], records, elsewhere)


def test_a_finished_run_of_other_data_is_not_taken_into_the_records(options, records, data_root, tmp_path):
    train(RAW, options)
    elsewhere = replace(options, data_root=other_labels(data_root, tmp_path / "other"))
    with pytest.raises(OtherOriginError, match="other labels of the training images"):
        make_runs([Job(RAW)], records, elsewhere)
    assert not records.exists()


def test_older_records_count_and_it_is_said_once(options, records):
    jobs = [Job(RAW.replace(seed=s)) for s in (0, 1)]
    make_runs(jobs, records, options)
    for path in records.rglob("record.json"):
        record = json.loads(path.read_text())
        del record["data"]["class_names_sha256"]
        path.write_text(json.dumps(record))
    said: list[str] = []
    make_runs(jobs, records, options, said.append)
    assert said[0].startswith("2 records are older and do not describe all of their data")
    assert said[0].endswith("does not record its class names: not compared")
    assert len(said) == 2


def test_data_that_are_not_there_are_told_before_anything_starts(options, records):
    jobs = [Job(RAW), Job(RAW.replace(dataset="cars"))]
    with pytest.raises(DataError, match="Stanford Cars"):
        make_runs(jobs, records, options)
    assert not options.runs.exists()


# ---------------------------------------------------------------------- how long


def test_work_counts_branches_epochs_and_tests():
    assert passes(RAW, 100, 50) == 3 * 100 + 50
    assert passes(CONFIG, 100, 50) == 3 * 100 * 3 + 2 * 50
    assert passes(CONFIG.replace(epochs=10, evaluate_every=5), 100, 50) == 10 * 900 + 2 * 100
    assert passes(RAW.replace(max_steps=5), 100, 50) == 3 * 5 * RAW.batch_size + 50


@pytest.fixture
def finished(made):
    """A run that took so many seconds, on 12 images tested with 8."""

    def run(config: Config, seconds: float = 100.0):
        record = made(config, [True] * 8)
        record.data |= {"train": 12, "test": 8}
        record.cost["seconds"] = seconds
        return record

    return run


@pytest.fixture
def estimate(options, finished) -> Estimate:
    """From one run of RAW that took 100 seconds, and no other knowledge."""
    known = Estimate("cpu", options.data_root)
    known.learn(Job(RAW), finished(RAW), session=False)
    return known


def test_a_run_like_a_finished_one_takes_as_long(estimate):
    assert estimate.seconds(Job(RAW.replace(seed=7))) == pytest.approx(100)
    longer = RAW.replace(epochs=5)
    assert estimate.seconds(Job(longer)) == pytest.approx(100 * passes(longer, 12, 8) / passes(RAW, 12, 8))
    assert estimate.left([Job(RAW), Job(longer)]).startswith("2 left, about")


def test_a_trial_of_a_few_steps_tells_as_much(options, finished):
    trial = RAW.replace(max_steps=2)  # 8 of the 12 training images
    estimate = Estimate("cpu", options.data_root)
    estimate.learn(Job(trial), finished(trial, seconds=3 * 8 + 8))  # a second a pass
    assert estimate.seconds(Job(RAW)) == pytest.approx(3 * 12 + 8)


def test_a_test_is_shorter_than_a_run(estimate, finished):
    estimate.learn(Job(CONFIG), finished(CONFIG, seconds=passes(CONFIG, 12, 8)))
    assert estimate.seconds(Job(CONFIG, 2.0)) == pytest.approx(2 * 8)


@pytest.mark.parametrize(
    "other",
    [
        {"backbone": "resnet18"},
        {"image_size": 64, "resize": 72},
        {"batch_size": 8},
        {"precision": "bf16"},
        {"checkpointing": True},
        {"crop": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_run_of_another_kind_has_no_estimate(estimate, other):
    job = Job(RAW.replace(**other))
    assert estimate.seconds(job) is None
    assert estimate.left([Job(RAW), job]) == "2 left, no estimate yet"
    assert estimate.basis(job.config).startswith(
        "no estimate yet, as no run like this has finished on this device"
    )


def test_another_device_tells_nothing(options, finished):
    elsewhere = Estimate("a GPU", options.data_root)
    elsewhere.learn(Job(RAW), finished(RAW))  # on a CPU
    assert elsewhere.seconds(Job(RAW)) is None


def test_runs_of_this_session_come_first(estimate, finished):
    estimate.learn(Job(RAW), finished(RAW, seconds=300.0))
    assert estimate.seconds(Job(RAW)) == pytest.approx(300)


def test_the_plan_names_runs_hours_memory_and_disk(options, put, finished):
    folder = put(finished(RAW))
    lines = plan([Job(RAW), Job(RAW.replace(seed=1))], folder, options).splitlines()
    assert lines[0] == "total on a CPU: 1 left, about 2 min"
    assert lines[1].startswith("2 runs and tests are needed, 1 already recorded")
    assert lines[2].split() == ["2", "min", RAW.replace(seed=1).run_id]
    assert lines[3].startswith(f"{kind(RAW)}: finished runs on a CPU")
    assert lines[3].endswith("peak memory 1.0 GiB")
    assert lines[4] == "starting weights: none"
    assert "GiB of weights" in lines[5]
    assert not options.runs.exists()


def test_the_plan_says_where_there_is_no_estimate_and_what_gives_one(options, put, finished):
    lines = plan([Job(CONFIG)], put(finished(RAW)), options).splitlines()
    assert lines[2].split() == ["?", CONFIG.run_id]
    assert lines[3].startswith(f"{kind(CONFIG)}: no estimate yet")
    assert "--max-steps 20" in lines[4]
    assert lines[0] == "total on a CPU: 1 left, no estimate yet"


def test_a_damaged_note_and_a_record_of_another_version_are_named(options, tmp_path, put, made):
    folder = put(made(RAW, [True] * 8))
    path = folder / Job(RAW).name / "record.json"
    path.write_text(path.read_text().replace('"mu"', '"newer"', 1))
    with pytest.raises(RecordError, match=r"record.json.* unknown setting 'newer'"):
        Archive.read(folder)
    path.unlink()
    (path.parent / "failure.json").write_text('{"epoch": ')
    with pytest.raises(RecordError, match=r"failure\.json cannot be read"):
        Archive.read(folder)


def test_durations_are_in_a_fitting_unit():
    assert [duration(s) for s in (40, 600, 7200, 10 * 86400)] == ["40 s", "10 min", "2.0 h", "10 days"]
