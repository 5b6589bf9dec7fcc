"""``gholm figure``: Figure 6 and its wrong answers for any finished run; reproduction with some sets only."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from gholm_kit import style
from gholm_kit.__main__ import main
from gholm_kit.reproduction import cli, jobs, paper_figures, sheets
from gholm_kit.reproduction.request import Request
from gholm_lib import progress
from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import load_dataset
from gholm_lib.paths import records_folder
from gholm_lib.records import load_record
from gholm_lib.runs import NotMadeError, weights_digest
from gholm_lib.training import train
from tests.kit.teaching.figures.reading import words
from tests.noise import noise_in_cubs_layout

matplotlib.use("Agg")
pytestmark = pytest.mark.usefixtures("one_thread")
TINY = Config(
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


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return noise_in_cubs_layout(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory) -> Path:
    """Two finished runs on own pictures, the second without a Crop branch and with another mu."""
    folder = tmp_path_factory.mktemp("runs")
    options = RunOptions(root, folder, "cpu", quiet=True)
    train(TINY, options)
    train(TINY.replace(crop=False, sup=False, drop=False, mu=2.0), options)
    return folder


def ids(runs: Path) -> list[str]:
    return sorted(p.name for p in runs.iterdir())


# ---------------------------------------------------------------------- gholm figure


@pytest.mark.parametrize("by", ["folder", "id"])
def test_a_finished_run_is_drawn_to_the_given_path(by, root, runs, tmp_path, capsys):
    first = ids(runs)[0]
    run = str(runs / first) if by == "folder" else first
    out = tmp_path / "new" / "birds.png"
    args = ["figure", run, "--out", str(out), "--runs", str(runs), "--device", "cpu", "--images", "1"]
    assert main(args) == 0  # the data are where the run found them
    written = [out, out.with_name("birds_failures.png")]
    assert capsys.readouterr().out.splitlines()[-2:] == list(map(str, written))
    assert all(p.exists() and p.with_suffix(".svg").exists() for p in written)
    about = style.made_from(out)
    assert about["runs"][0]["config"] == load_record(runs / first).config
    assert len(about["images"]) == 1


def test_several_runs_of_one_set_are_told_apart(root, runs):
    options = RunOptions(root, runs, "cpu", quiet=True)
    entries = sheets._entries([runs / name for name in ids(runs)], options)
    drawn = sheets.branch_sheet(entries, images=1)
    said = words(drawn.figure)
    assert "raw + crop + sup + drop" in said
    assert all(load_record(runs / n).settings.digest in said for n in ids(runs))
    assert [r["weights_sha256"] for r in drawn.about["runs"]] == [
        weights_digest(entry.found[0]) for entry in entries
    ]
    assert "μ =" not in said, "two thresholds cannot be marked as one on the colour bar"
    assert "μ = 2" in words(
        sheets.branch_sheet([e for e in entries if e.found[0].config.mu == 2], 0, 1).figure
    )


def test_a_network_without_mistakes_says_so(root, runs, monkeypatch):
    options = RunOptions(root, runs, "cpu", quiet=True)
    (entry,) = sheets._entries([runs / ids(runs)[0]], options)
    always = {s.label for s in entry.found[1].test}.pop()
    entry.found[1].test[:] = [s for s in entry.found[1].test if s.label == always]
    plain = sheets.drawings.follow

    def right(net, sample):
        path = plain(net, sample)
        path.raw = path.cropped = path.raw.new_tensor([float(k == always) for k in range(2)])
        return path

    monkeypatch.setattr(sheets.drawings, "follow", right)
    assert "none wrong" in words(sheets.failure_sheet([entry]).figure)


def test_a_kept_run_is_found_by_its_id(tmp_path):
    """Its record is kept in one folder, its network in another."""
    config = jobs.config_for("mini", "cub")
    args = [
        "figure",
        config.run_id,
        "--out",
        str(tmp_path),
        "--images",
        "1",
        "--runs",
        str(tmp_path / "none"),
    ]
    assert main([*args, "--device", "cpu"]) == 0
    assert style.made_from(tmp_path / "figure_6.png")["runs"][0]["config"] == config.to_dict()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "no finished run 'nowhere'"),
        ([], "name at least one finished run"),
        (["nowhere", "--images", "0"], "images must be 1 or more"),
        (["nowhere", "--out", "figure.pdf"], "--out takes a name that ends in .png, or a folder"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(args, said, tmp_path, capsys):
    assert main(["figure", *args, "--runs", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err


# ---------------------------------------------------------------------- one data set of four


@pytest.fixture
def cub_alone(root, tmp_path, monkeypatch) -> Request:
    """The preset "paper" in small, on a machine that has CUB-200-2011 only."""

    def small(preset: str, dataset: str, row: str = jobs.OURS, **changes) -> Config:
        return TINY.replace(dataset=dataset, **(jobs.ROWS[row] | changes))

    for module in (style, paper_figures):
        monkeypatch.setattr(module, "figures_folder", lambda: tmp_path / "figures")
    monkeypatch.setattr(jobs, "config_for", small)
    monkeypatch.setattr(cli, "tables_folder", lambda preset: tmp_path / "tables")
    options = RunOptions(root, tmp_path / "runs", "cpu", quiet=True)
    return Request(figure=(6,), preset="paper", seeds=1, records=tmp_path / "records", options=options)


def test_figure_6_is_made_from_the_sets_that_are_here(cub_alone, tmp_path, capsys):
    assert cli.reproduce(cub_alone) == 0
    said = capsys.readouterr().out
    for name in ("cars", "aircraft", "dogs"):
        assert f"{name} is not here, so 1 of the runs and tests are left out: `gholm data get {name}`" in said
    assert "1 runs and tests, 0 recorded already" in said
    assert (tmp_path / "figures" / "06_figure_6_paper.png").exists()
    drawn = paper_figures.figure_6("paper", cub_alone.options)
    assert words(drawn.figure).count("not here") == 3
    assert [r["config"]["dataset"] for r in drawn.about["runs"]] == ["cub"]


def test_weights_are_asked_for_the_sets_that_are_here_only(cub_alone, tmp_path, monkeypatch):
    """The dogs' network starts from another file; without the dogs it is not needed."""

    def from_hub(preset: str, dataset: str, row: str = jobs.OURS, **changes) -> Config:
        name = "resnet18" if dataset == "cub" else "resnet34"
        return TINY.replace(dataset=dataset, weights="timm", backbone=name, **(jobs.ROWS[row] | changes))

    monkeypatch.setattr(jobs, "config_for", from_hub)
    (tmp_path / "resnet18.safetensors").touch()
    request = Request(
        figure=(6,), preset="paper", weights=(tmp_path / "resnet18.safetensors",), options=cub_alone.options
    )
    (job,) = jobs.with_weights(cli._possible(request), request.weights)
    assert job.config.dataset == "cub"


def test_without_a_terminal_a_line_comes_now_and_then_while_a_figure_is_drawn(cub_alone, monkeypatch, capsys):
    """As while a run is trained; see tests/lib/test_training.py."""
    loud = dataclasses.replace(cub_alone.options, quiet=False)
    train(TINY, loud)
    capsys.readouterr()
    monkeypatch.setattr(progress, "EVERY", 0.02)
    monkeypatch.setattr(cli, "write_figure", lambda *_: time.sleep(0.2) or [])
    assert cli.reproduce(dataclasses.replace(cub_alone, from_records=True, options=loud)) == 0
    assert "drawing figure 6, 0.0 min so far" in capsys.readouterr().out


def test_without_any_set_nothing_starts(cub_alone, tmp_path, capsys):
    options = RunOptions(tmp_path / "empty", tmp_path / "runs", "cpu", quiet=True)
    with pytest.raises(ValueError, match="gholm data get cub"):
        cli.reproduce(Request(figure=(6,), preset="paper", seeds=1, options=options))
    with pytest.raises(NotMadeError, match="gholm reproduce --figure 6 --preset paper"):
        paper_figures.figure_6("paper", options)


def test_a_figure_that_cannot_be_made_does_not_stop_the_others(cub_alone, tmp_path, capsys):
    options = RunOptions(tmp_path / "empty", tmp_path / "runs", "cpu", quiet=True)
    request = Request(figure=(1, 4), preset="paper", from_records=True, records=tmp_path, options=options)
    assert cli.reproduce(request) == 1
    said = capsys.readouterr().out
    assert "figure 1: not made, CUB-200-2011: Expected" in said
    assert "06_figure_4_paper.png" in said


# ---------------------------------------------------------------------- photographs


def test_the_runs_on_photographs_are_made_again(root, tmp_path, monkeypatch, capsys):
    """With a record of noise in the place of the kept ones."""
    kept = tmp_path / "kept" / "photographs"
    record = train(TINY, RunOptions(root, tmp_path / "first", "cpu", quiet=True))
    record.config["weights"] = "other.safetensors"  # as the name of a weights file is kept
    record.save(kept / "cub")
    monkeypatch.setattr("gholm_kit.reproduction.photographs.records_folder", lambda: tmp_path / "kept")
    file = shutil.copy(tmp_path / "first" / TINY.run_id / "model.safetensors", tmp_path / "start.safetensors")
    args = [
        "reproduce",
        "--photographs",
        "--data-root",
        str(root),
        "--runs",
        str(tmp_path / "runs"),
        "--quiet",
    ]
    args += ["--records", str(tmp_path / "again"), "--device", "cpu"]
    assert main(args) == 1
    assert "give one such file with --weights FILE" in capsys.readouterr().err
    assert main([*args, "--weights", str(file)]) == 0
    said = capsys.readouterr().out
    (again,) = (tmp_path / "again").iterdir()
    accuracy = load_record(again).accuracy
    assert f"| cub | raw + crop + sup + drop | {record.accuracy:.1f} | {accuracy:.1f} |" in said
    assert main([*args, "--table", "2"]) == 1
    assert "--photographs goes alone" in capsys.readouterr().err


def test_the_photographs_table_and_its_results_name_the_command(capsys):
    assert main(["results", str(records_folder() / "photographs")]) == 0
    said = capsys.readouterr().out
    assert "gholm reproduce --photographs --weights FILE" in said
    assert said.count("\n  gholm train --preset ") == 8
    assert "Starting weights: mobilenetv2_100_in1k.safetensors, SHA-256 not recorded (other weights" in said


# ---------------------------------------------------------------------- a chapter without a run


def test_what_a_chapter_shows_without_data_or_run(tmp_path, monkeypatch, capsys):
    options = RunOptions(tmp_path, tmp_path / "runs", "cpu", quiet=True)
    net, reason = paper_figures.trained_or_reason(jobs.config_for("paper", "cub"), options)
    assert net is None
    assert (
        "make it with `gholm data get cub`, then `gholm train --preset paper --dataset cub --runs" in reason
    )
    paper_figures.show(paper_figures.figure_1, "paper", options)
    paper_figures.show(paper_figures.figure_2, "paper", options)
    first, second = capsys.readouterr().out.split("skipped: ")[1:]
    assert "gholm data get cub" in first
    assert "gholm train --preset paper" in second


def test_random_images_are_of_classes_that_have_test_images():
    data = load_dataset("mini_birds")
    few = [s for s in data.test if s.label < 2]
    picked = sheets.some_images(type("Few", (), {"test": few, "classes": data.classes}), 5, seed=0)
    assert sorted(s.label for s in picked) == [0, 1]
    json.dumps([s.image_id for s in picked])
    assert np.unique([s.image_id for s in picked]).size == 2
