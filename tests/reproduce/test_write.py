"""Files from records: the committed ones are what the kept records give, and a change of either is seen."""

from __future__ import annotations

import re

import pytest

from gholm_lib.__main__ import main
from gholm_lib.reproduce import command, grid, write
from gholm_lib.reproduce.command import Request
from gholm_lib.tables import Table, records_folder
from gholm_lib.training import RunOptions


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Tables and README in a folder of their own; the data root holds nothing."""
    monkeypatch.setattr(write, "project_root", lambda: tmp_path)
    monkeypatch.setattr(command, "tables_folder", write.tables_folder)
    (tmp_path / "README.md").write_text("before\n<!-- table: table_2 -->\nold\n<!-- end -->\nafter\n")
    return tmp_path


# ---------------------------------------------------------------------- what is committed


def test_committed_tables_are_what_the_kept_records_give():
    differing = write.differing_files("mini", records_folder() / "mini")
    assert not differing, "make them anew: gholm reproduce --all --from-records"


@pytest.mark.numeric
def test_a_short_run_gives_what_is_recorded(tmp_path, one_thread):
    options = RunOptions(runs=tmp_path, device="cpu", quiet=True)
    assert list(write.differing_run("mini", records_folder() / "mini", options)) == []


# ---------------------------------------------------------------------- writing and checking


def test_what_was_written_passes_the_check_until_somebody_types(elsewhere):
    records = elsewhere / "records"
    written = write.write_all("mini", records, elsewhere)
    assert write.differing_files("mini", records, elsewhere) == []
    typed = elsewhere / "figures/tables/mini/table_2.md"
    assert typed in written
    typed.write_text(typed.read_text().replace("not run", "91.8", 1))
    assert write.differing_files("mini", records, elsewhere) == [typed]


def test_a_new_record_makes_old_tables_fail_the_check(elsewhere, put, made):
    records = elsewhere / "records"
    write.write_all("mini", records, elsewhere)
    put(made(grid.config_for("mini", "cub", "Raw"), [True, False]))
    names = {p.name for p in write.differing_files("mini", records, elsewhere)}
    assert {"table_2.csv", "table_2.md", "table_2.tex", "table_7.md", "README.md"} <= names
    assert "table_3.md" not in names


def test_the_readme_keeps_all_but_the_tables(elsewhere):
    write.write_all("mini", elsewhere / "records", elsewhere)
    text = (elsewhere / "README.md").read_text()
    assert text.startswith("before\n<!-- table: table_2 -->\n\n| branches |")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    assert write.filled_in(text, {"table_2": Table("table_2", "", [{c: 1 for c in _columns(text)}])}) != text


def _columns(text: str) -> list[str]:
    return [c.strip() for c in re.search(r"^\| .* \|$", text, re.M)[0].strip("|").split("|")]


def test_a_marker_without_a_table_is_an_error():
    with pytest.raises(ValueError, match="table 'table_77'"):
        write.filled_in("<!-- table: table_77 --><!-- end -->", {})


def test_the_project_s_readme_shows_the_ledger():
    text = write.readme_path().read_text()
    assert {"table_2", "table_3", "photographs", "ledger"} <= set(re.findall(r"<!-- table: (\w+) -->", text))


# ---------------------------------------------------------------------- the command


def test_each_request_wants_its_jobs():
    def jobs(**asked):
        return command.wanted(Request(**asked))

    assert jobs(table=(2,), seeds=2) == grid.with_seeds(grid.table_jobs(2, "mini"), 2)
    assert jobs(table=(1,)) == []
    assert {j.config.seed for j in jobs(figure=(6,))} == {0}
    assert len(jobs(table=(2, 7), seeds=1)) == 4  # Table 7 needs no run that Table 2 does not
    assert jobs(all=True, seeds=2) == grid.all_jobs("mini", 2)


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
    monkeypatch.setattr(command, "make_runs", lambda jobs, *_: made.extend(jobs))
    monkeypatch.setattr(command, "measure_parts", lambda jobs, *_: measured.extend(jobs))
    for name in ("write_figure", "write_all"):
        monkeypatch.setattr(command, name, lambda *_: pytest.fail("only when all shares are done"))
    request = Request(all=True, seeds=1, shard="1/2", records=tmp_path)
    assert command.reproduce(request) == 0
    assert made == grid.shard(grid.all_jobs("mini", 1), 1, 2)
    assert measured
    assert {j.config for j in measured} <= {j.config for j in made}
    assert "--from-records" in capsys.readouterr().out


def test_other_processes_over_the_same_run_write_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(command, "make_runs", lambda *_: None)
    for name in ("measure_parts", "write_figure", "write_all"):
        monkeypatch.setattr(command, name, lambda *_: pytest.fail("the main process does this"))
    assert command.reproduce(Request(all=True, seeds=1, records=tmp_path)) == 0


def test_a_dry_run_starts_nothing(elsewhere, capsys):
    args = ["--table", "5", "--seeds", "1", "--dry-run", "--records", str(elsewhere / "records")]
    assert main(["reproduce", *args, "--runs", str(elsewhere / "runs")]) == 0
    assert grid.table_jobs(5, "mini")[0].name in capsys.readouterr().out
    assert not (elsewhere / "runs").exists()
    assert not (elsewhere / "figures").exists()


def test_a_table_from_records_is_printed_and_written(elsewhere, capsys, put, made):
    put(made(grid.config_for("mini", "cub", "Raw"), [True, True, False, False]))
    args = ["--table", "2", "--from-records", "--records", str(elsewhere / "records")]
    assert main(["reproduce", *args, "--runs", str(elsewhere / "runs")]) == 0
    assert "| 1 | Raw | 1 | 90.6 | 50.0 |" in capsys.readouterr().out
    assert {p.suffix for p in (elsewhere / "figures/tables/mini").iterdir()} == {".md", ".csv", ".tex"}


def test_the_check_fails_where_a_table_was_typed_a_figure_is_old_or_the_short_run_differs(
    elsewhere, capsys, monkeypatch
):
    old = elsewhere / "06_figure_2_mini.png"
    monkeypatch.setattr(command, "differing_figures", lambda *_: [old])
    records = elsewhere / "records"
    args = ["--check", "--records", str(records), "--data-root", str(elsewhere)]
    write.write_all("mini", records, elsewhere)
    assert main(["reproduce", *args]) == 1
    said = capsys.readouterr().out
    assert "is not recorded yet" in said
    assert f"{old} was drawn from other settings" in said
    (elsewhere / "figures/tables/mini/power.csv").write_text("typed")
    assert main(["reproduce", *args]) == 1
    assert "power.csv is not what the records give" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("again", "loss", "problem"),
    [
        ([True] * 97 + [False] * 3, 5.005, None),
        ([True] * 90 + [False] * 10, 5.0, "the recorded answer on 90.0 %"),
        ([True] * 95 + [False] * 5, 5.0, "recorded are 100.0 %"),
        ([True] * 100, 5.02, "loss in epoch 1 is 5.0200, recorded is 5.0000"),
    ],
)
def test_a_run_made_again_may_differ_a_little(put, made, monkeypatch, tmp_path, again, loss, problem):
    config = grid.check_job("mini").config

    def with_curve(right, loss):
        record = made(config, right)
        record.curve.append({"epoch": 1, "losses": {"total": loss}})
        return record

    folder = put(with_curve([True] * 100, 5.0))
    monkeypatch.setattr(write, "make", lambda *_: with_curve(again, loss))
    found = list(write.differing_run("mini", folder, RunOptions(runs=tmp_path)))
    assert (problem is None) == (found == [])
    assert problem is None or any(problem in f for f in found)
