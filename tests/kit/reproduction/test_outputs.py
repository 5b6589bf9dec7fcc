"""Files from records: the committed ones are what the kept records give, and a change of either is seen."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from gholm_kit import style
from gholm_kit.__main__ import main
from gholm_kit.reproduction import cli, jobs, outputs, paper_figures
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.cli import Request
from gholm_kit.reproduction.tuning import Tuned
from gholm_kit.table import Table
from gholm_lib import config
from gholm_lib.config import RunOptions
from gholm_lib.paths import records_folder
from gholm_lib.records import load_records
from tests.noise import noise_in_cubs_layout


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Tables and documents in a folder of their own; the data root holds nothing."""
    monkeypatch.setattr(outputs, "project_root", lambda: tmp_path)
    monkeypatch.setattr(cli, "tables_folder", outputs.tables_folder)
    (tmp_path / "docs").mkdir()
    shown = {"README.md": "table_2", "README.zh-CN.md": "table_2", "docs/results.md": "table_3"}
    for name, table in shown.items():
        (tmp_path / name).write_text(f"before\n<!-- table: {table} -->\nold\n<!-- end -->\nafter\n")
    return tmp_path


# ---------------------------------------------------------------------- what is committed


def test_committed_tables_are_what_the_kept_records_give():
    differing = outputs.differing_files("mini", records_folder() / "mini")
    assert not differing, "make them anew: gholm reproduce --all --from-records"


def test_the_preset_has_the_recipe_that_the_search_found_best_for_raw():
    """On the first data set, whose networks the chapters and the ledger take; see ``_RECIPES`` in config.py."""
    tuned = Tuned("mini", Archive.read(records_folder() / "mini"))
    assert tuned.own_best("cub", jobs.RAW) == jobs.config_for("mini", "cub", jobs.RAW)


@pytest.mark.numeric
def test_a_short_run_gives_what_is_recorded(tmp_path, one_thread):
    options = RunOptions(runs=tmp_path, device="cpu", quiet=True)
    assert list(outputs.differing_run("mini", records_folder() / "mini", options)) == []


# ---------------------------------------------------------------------- writing and checking


def test_what_was_written_passes_the_check_until_somebody_types(elsewhere):
    records = elsewhere / "records"
    written = outputs.write_all("mini", records, elsewhere)
    assert outputs.differing_files("mini", records, elsewhere) == []
    typed = elsewhere / "figures/tables/mini/table_2.md"
    assert typed in written
    typed.write_text(typed.read_text().replace("not run", "91.8", 1))
    assert outputs.differing_files("mini", records, elsewhere) == [typed]


def test_a_new_record_makes_old_tables_fail_the_check(elsewhere, put, made):
    records = elsewhere / "records"
    outputs.write_all("mini", records, elsewhere)
    put(made(jobs.config_for("mini", "cub", "Raw"), [True, False]))
    names = {p.name for p in outputs.differing_files("mini", records, elsewhere)}
    assert {"table_2.csv", "table_2.md", "table_2.tex", "table_7.md", "README.md"} <= names
    assert not {"table_3.md", "results.md"} & names


@pytest.mark.parametrize(("name", "table"), [("README.md", "table_2"), ("docs/results.md", "table_3")])
def test_documents_keep_all_but_the_tables(elsewhere, name, table):
    outputs.write_all("mini", elsewhere / "records", elsewhere)
    text = (elsewhere / name).read_text()
    assert text.startswith(f"before\n<!-- table: {table} -->\n\n| branches |")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    assert outputs.filled_in(text, {table: Table(table, "", [{c: 1 for c in _columns(text)}])}) != text


def _columns(text: str) -> list[str]:
    return [c.strip() for c in re.search(r"^\| .* \|$", text, re.M)[0].strip("|").split("|")]


def test_a_marker_without_a_table_is_an_error():
    with pytest.raises(ValueError, match="table 'table_77'"):
        outputs.filled_in("<!-- table: table_77 --><!-- end -->", {})


def test_the_project_s_documents_show_these_tables():
    shown = {p.name: re.findall(r"<!-- table: (\w+) -->", p.read_text()) for p in outputs.documents()}
    assert shown == {
        "README.md": ["table_2"],
        "README.zh-CN.md": ["table_2"],
        "results.md": [
            "table_3",
            "tuned_mini_birds",
            "tuned_mini_cars",
            "photographs",
            "second_looks",
            "ledger",
        ],
    }


# ---------------------------------------------------------------------- the command


def test_each_request_wants_its_jobs(tmp_path):
    def asked_for(**asked):
        return cli.wanted(Request(records=tmp_path, **asked))  # no search is finished there

    assert asked_for(table=(2,), seeds=2) == jobs.with_seeds(
        jobs.table_jobs(2, jobs.preset_settings("mini")), 2
    )
    assert asked_for(table=(1,)) == []
    assert {j.config.seed for j in asked_for(figure=(6,))} == {0}
    assert len(asked_for(table=(2, 7), seeds=1)) == 4  # Table 7 needs no run that Table 2 does not
    assert asked_for(all=True, seeds=2) == jobs.all_jobs("mini", 2, [jobs.preset_settings("mini")])


def test_both_ways_of_a_table_are_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(Tuned, "own_best", lambda self, d, row: jobs.config_for("mini", d, row, lr=0.5))
    found = cli.wanted(Request(records=tmp_path, table=(2,), seeds=1))
    one = jobs.table_jobs(2, jobs.preset_settings("mini"))
    assert found == one + [jobs.Job(job.config.replace(lr=0.5)) for job in one]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "say what"),
        (["--table", "10"], "no table 10"),
        (["--figure", "7"], "no figure 7"),
        (["--table", "2", "--shard", "2"], "shard must be i/n"),
        (["--table", "2", "--shard", "3/2"], "1 <= i <= n"),
    ],
)
def test_what_cannot_be_is_one_message(args, message, capsys):
    assert main(["reproduce", *args]) == 1
    assert message in capsys.readouterr().err


def test_a_share_makes_its_runs_and_leaves_tables_and_figures_to_the_end(monkeypatch, capsys, tmp_path):
    made, measured = [], []
    monkeypatch.setattr(cli, "make_runs", lambda jobs, *_: made.extend(jobs))
    monkeypatch.setattr(cli, "measure_parts", lambda jobs, *_: measured.extend(jobs))
    for name in ("write_figure", "write_all"):
        monkeypatch.setattr(cli, name, lambda *_: pytest.fail("only when all shares are done"))
    request = Request(all=True, seeds=1, shard="1/2", records=tmp_path)
    assert cli.reproduce(request) == 0
    assert made == jobs.shard(jobs.all_jobs("mini", 1, [jobs.preset_settings("mini")]), 1, 2)
    assert measured
    assert {j.config for j in measured} <= {j.config for j in made}
    assert "--from-records" in capsys.readouterr().out


def test_other_processes_over_the_same_run_write_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(cli, "make_runs", lambda *_: None)
    for name in ("measure_parts", "write_figure", "write_all"):
        monkeypatch.setattr(cli, name, lambda *_: pytest.fail("the main process does this"))
    assert cli.reproduce(Request(all=True, seeds=1, records=tmp_path)) == 0


def test_a_dry_run_starts_nothing(elsewhere, capsys):
    args = ["--table", "5", "--seeds", "1", "--dry-run", "--records", str(elsewhere / "records")]
    assert main(["reproduce", *args, "--runs", str(elsewhere / "runs")]) == 0
    assert jobs.table_jobs(5, jobs.preset_settings("mini"))[0].name in capsys.readouterr().out
    assert not (elsewhere / "runs").exists()
    assert not (elsewhere / "figures").exists()


@pytest.mark.usefixtures("one_recipe_is_best")
def test_a_table_from_records_is_printed_and_written(elsewhere, capsys, put, made):
    put(made(jobs.config_for("mini", "cub", "Raw"), [True, True, False, False]))
    args = ["--table", "2", "--from-records", "--records", str(elsewhere / "records")]
    assert main(["reproduce", *args, "--runs", str(elsewhere / "runs")]) == 0
    assert "| 1 | Raw | 1 | 90.6 | 50.0 |" in capsys.readouterr().out
    assert {p.suffix for p in (elsewhere / "figures/tables/mini").iterdir()} == {".md", ".csv", ".tex"}


def test_the_check_fails_where_a_table_was_typed_a_figure_is_old_or_the_short_run_differs(
    elsewhere, capsys, monkeypatch
):
    old = elsewhere / "06_figure_2_mini.png"
    monkeypatch.setattr(cli, "differing_figures", lambda *_: [old])
    records = elsewhere / "records"
    args = ["--check", "--records", str(records), "--data-root", str(elsewhere)]
    outputs.write_all("mini", records, elsewhere)
    assert main(["reproduce", *args]) == 1
    said = capsys.readouterr().out
    assert "is not recorded yet" in said
    assert f"{old} was drawn from other settings" in said
    (elsewhere / "figures/tables/mini/power.csv").write_text("typed")
    assert main(["reproduce", *args]) == 1
    assert "power.csv does not match the records" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("again", "loss", "problem"),
    [
        ([True] * 97 + [False] * 3, 5.005, None),
        ([True] * 90 + [False] * 10, 5.0, "the recorded answer on only 90.0 %"),
        ([True] * 95 + [False] * 5, 5.0, "but 100.0 % was recorded"),
        ([True] * 100, 5.02, "loss in epoch 1 is 5.0200, but 5.0000 was recorded"),
    ],
)
def test_a_run_made_again_may_differ_a_little(put, made, monkeypatch, tmp_path, again, loss, problem):
    config = jobs.check_job("mini").config

    def with_curve(right, loss):
        record = made(config, right)
        record.curve.append({"epoch": 1, "losses": {"total": loss}})
        return record

    folder = put(with_curve([True] * 100, 5.0))
    monkeypatch.setattr(outputs, "make", lambda *_: with_curve(again, loss))
    found = list(outputs.differing_run("mini", folder, RunOptions(runs=tmp_path)))
    assert (problem is None) == (found == [])
    assert problem is None or any(problem in f for f in found)


# ---------------------------------------------------------------------- the preset "paper" without the model hub


@pytest.fixture
def small_paper(elsewhere, monkeypatch, one_thread) -> list[str]:
    """The preset "paper" with a small network on noise, the hub out of reach; the arguments that all calls share."""
    monkeypatch.setitem(config._PAPER, "backbone", "test_convnext.r160_in1k")
    small = {
        "image_size": 64,
        "resize": 72,
        "epochs": 1,
        "lr_decay_epochs": (),
        "batch_size": 4,
        "precision": "no",
    }
    for name, value in small.items():
        monkeypatch.setitem(config._PAPER, name, value)
    monkeypatch.setattr(
        timm.models._hub, "hf_hub_download", lambda *_, **__: pytest.fail("the hub was asked")
    )
    for module in (style, paper_figures):
        monkeypatch.setattr(module, "figures_folder", lambda: elsewhere / "figures")
    root = noise_in_cubs_layout(elsewhere / "data", size=(80, 80))
    args = ["reproduce", "--preset", "paper", "--seeds", "1", "--data-root", str(root), "--device", "cpu"]
    return [*args, "--records", str(elsewhere / "records"), "--runs", str(elsewhere / "runs"), "--quiet"]


def small_weights(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    net = timm.create_model("test_convnext", num_classes=1000)
    safetensors.torch.save_file(net.state_dict(), path)
    return path


def test_the_preset_paper_runs_from_a_weights_file(small_paper, elsewhere, capsys):
    """Table and figure, then the same with the file elsewhere, then with another file of the same name."""
    name = "test_convnext.r160_in1k.safetensors"
    file = small_weights(elsewhere / "there" / name, 1)
    assert main([*small_paper, "--table", "5", "--dry-run", "--weights", str(file)]) == 0
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"SHA-256 {digest}" in capsys.readouterr().out
    assert main([*small_paper, "--table", "5", "--figure", "3", "--weights", str(file)]) == 0
    said = capsys.readouterr().out
    assert "[1/1] cub-raw_crop_sup_drop-" in said
    assert "inside the interval" in said, "the table is made of it"
    assert (elsewhere / "figures/06_figure_3_paper.png").exists()
    (record,) = load_records(elsewhere / "records")
    assert (record.config["weights"], record.data["weights_sha256"]) == (name, digest)

    moved = small_weights(elsewhere / "here" / name, 1)
    file.unlink()
    assert main([*small_paper, "--table", "5", "--weights", str(moved)]) == 0
    assert "1 recorded already; nothing left" in capsys.readouterr().out
    assert main([*small_paper, "--table", "5", "--from-records"]) == 0, "tables need no weights"

    labels = elsewhere / "data/CUB_200_2011/image_class_labels.txt"
    before = labels.read_text()
    labels.write_text(before.replace("\n2 1\n", "\n2 2\n"))
    capsys.readouterr()
    for asked in (["--table", "5", "--weights", str(moved)], ["--figure", "3", "--from-records"]):
        assert main([*small_paper, *asked]) == 1
        assert "other labels of the training images" in capsys.readouterr().err
    labels.write_text(before)

    small_weights(moved, 2)
    assert main([*small_paper, "--table", "5", "--weights", str(moved)]) == 1
    assert "other starting weights" in capsys.readouterr().err
