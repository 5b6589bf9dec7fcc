"""Equal tuning: the same tries for each row, chosen without test images, goes on where it was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from gholm_kit import style
from gholm_kit.reproduction import cli, jobs, tuning
from gholm_kit.reproduction.archive import FAILURE, Archive
from gholm_kit.reproduction.jobs import Job
from gholm_kit.reproduction.request import Request
from gholm_kit.reproduction.tuning import (
    CONTROLS,
    HELD_OUT,
    LONG_RAW,
    Best,
    Grid,
    Recipe,
    Row,
    Search,
    final_jobs,
    progress,
    search_for,
    tune,
)
from gholm_kit.reproduction.tuning_figure import draw_owed, draw_tuning, search_figures
from gholm_kit.reproduction.tuning_tables import tuned_table, tuning_table
from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import load_dataset
from gholm_lib.paths import project_root
from gholm_lib.provenance import split_data
from tests.noise import noise_in_cubs_layout

OURS = Config(
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
ROWS = (Row("Raw", jobs.ROWS["Raw"]), Row("Raw + Crop", jobs.ROWS["Raw + Crop"]))
SEARCH = Search(OURS, ROWS, Grid(-1, 1), lengths=(1,))


@pytest.fixture
def answered(made, put, tmp_path):
    """Record every try of a grid; ``held_out(row, recipe)`` is its accuracy on the held-out images."""

    def record(search: Search, grid: Grid, held_out) -> Archive:
        for row in search.rows:
            for recipe in search.recipes(grid):
                for job in search.tries(row, recipe):
                    run = made(job.config, [True, False])
                    run.curve = [
                        {"epoch": 1, "held_out": {run.answer: held_out(row, recipe)}, "test": {"raw": 1}}
                    ]
                    put(run)
        return Archive.read(tmp_path / "records")

    return record


def peak_at(power: int):
    return lambda row, recipe: 90.0 - abs(recipe.power - power)


# ---------------------------------------------------------------------- what is tried


def test_each_row_has_the_same_tries():
    search = search_for("mini", "cub", seeds=2)
    names = [row.name for row in search.rows]
    assert names == [*jobs.ROWS, *CONTROLS, LONG_RAW]
    every = search.jobs(search.grid)
    assert len(set(every)) == len(every) == len(names) * 3 * 2 * 2
    assert {j.config.holdout for j in every} == {0.5}  # the mini sets hold out half in any case
    assert {j.config.evaluate_every for j in every} == {10}
    for row in search.rows:
        tries = [j.config for r in search.recipes(search.grid) for j in search.tries(row, r)]
        assert {c.lr for c in tries} == {0.001, 0.002, 0.004}
        assert {c.epochs for c in tries} == {10 * row.longer, 20 * row.longer}
        assert {c.lr_decay_epochs for c in tries} == {
            tuple(k * row.longer * e for e in (4, 7)) for k in (1, 2)
        }
        assert all(getattr(c, k) == v for c in tries for k, v in row.changes.items())


def test_on_the_paper_s_data_a_try_is_a_run_of_its_own():
    search = search_for("paper", "cub")
    tries = [j.config for r in search.recipes(search.grid) for j in search.tries(search.rows[0], r)]
    assert {c.holdout for c in tries} == {HELD_OUT}
    assert all(c.evaluate_every == c.epochs for c in tries), "tested once, at the end"


def test_the_parts_of_photographs_are_not_known():
    names = [row.name for row in search_for("paper", "cub").rows]
    assert "Crop: box of the deciding parts" not in names
    assert "Crop: true box of the object" in names
    with pytest.raises(
        ValueError, match="--tune takes the paper's data sets, cub, cars, aircraft, dogs; got 'mini"
    ):
        search_for("mini", "mini_birds")


def test_held_out_images_are_from_training_alike_from_each_class_and_the_same_for_all(tmp_path):
    data = load_dataset("cub", noise_in_cubs_layout(tmp_path, train=8))
    splits = [split_data(j.config, data) for j in replace(SEARCH, seeds=2).jobs(SEARCH.grid)]
    held = [[s.image_id for s in split.held_out] for split in splits]
    assert all(h == held[0] for h in held)
    assert [s.label for s in splits[0].held_out] == [0, 0, 1, 1]
    assert set(held[0]) < {s.image_id for s in data.train}
    assert not set(held[0]) & {s.image_id for s in splits[0].train}


# ---------------------------------------------------------------------- the choice


def test_a_best_inside_the_grid_ends_the_search(answered):
    best_at = {"Raw": 0, "Raw + Crop": 0}
    archive = answered(SEARCH, SEARCH.grid, lambda row, r: 50.0 - abs(r.power - best_at[row.name]))
    state = progress(SEARCH, archive)
    assert state.grid == SEARCH.grid
    assert state.bests == {name: Best(Recipe(0, 1), 50.0, at_edge=False) for name in best_at}
    assert state.said == ()


def test_no_test_image_has_a_say(answered, tmp_path):
    """Whatever the answers to test images are, the choice stays."""
    archive = answered(SEARCH, SEARCH.grid, peak_at(0))
    before = progress(SEARCH, archive)
    for job, record in archive.records.items():
        right = 0.0 if job.config.lr == OURS.lr else 100.0
        record.results = {"last": {"raw": right, "crop": right, "both": right}, "held_out": {"raw": right}}
        record.predictions.raw[:] = record.predictions.label if right else 0
        record.curve[-1]["test"] = {"raw": right, "both": right}
    assert progress(SEARCH, archive) == before


def test_a_best_at_the_edge_extends_the_grid_for_all_rows_and_says_so(answered):
    def held_out(row, recipe):
        return 50.0 - abs(recipe.power - (2 if row.name == "Raw" else 0))

    state = progress(SEARCH, answered(SEARCH, SEARCH.grid, held_out))
    assert (state.grid, state.bests) == (Grid(-1, 2), None)
    assert state.said == ("best at the highest rate 0.02: Raw; the grid is extended to 0.04, for all rows",)
    state = progress(SEARCH, answered(SEARCH, Grid(-1, 2), held_out))
    assert state.grid == Grid(-1, 3), "at .04 the best is again at the edge"
    state = progress(SEARCH, answered(SEARCH, Grid(-1, 3), held_out))
    assert state.grid == Grid(-1, 3)
    assert state.bests["Raw"] == Best(Recipe(2, 1), 50.0, at_edge=False)
    assert state.bests["Raw + Crop"].recipe == Recipe(0, 1)
    assert len(state.said) == 2


def test_a_grid_does_not_grow_for_ever(answered):
    wide = Grid(-1 - tuning.WIDER, 1)
    archive = answered(SEARCH, wide, lambda row, recipe: 50.0 - recipe.power)
    state = progress(SEARCH, archive)
    assert state.grid == wide
    assert all(best.at_edge for best in state.bests.values())
    assert state.said[-1] == (
        "best at the lowest rate 0.000625 after 3 extensions: Raw, Raw + Crop; the grid is not extended again, so a "
        "better rate may lie outside"
    )
    assert "| no |" in tuning_table(SEARCH, state, archive).markdown()


def test_equal_tries_are_settled_inside_the_grid_and_for_the_cheaper(answered):
    search = replace(SEARCH, grid=Grid(-2, 2), lengths=(1, 2))
    state = progress(search, answered(search, search.grid, lambda row, recipe: 50.0))
    assert state.bests["Raw"] == Best(Recipe(-1, 1), 50.0, at_edge=False)


def test_the_mean_over_seeds_counts_and_a_diverged_run_is_never_best(answered, tmp_path):
    search = replace(SEARCH, grid=Grid(-2, 2), seeds=2)
    archive = answered(search, search.grid, peak_at(0))
    job = search.tries(search.rows[0], Recipe(0, 1))[1]
    for path in (tmp_path / "records" / job.name).iterdir():
        path.unlink()
    note = {
        "config": job.config.to_dict(),
        "tested_mu": None,
        "epoch": 1,
        "step": 1,
        "message": "",
        "terms": {},
    }
    (tmp_path / "records" / job.name / FAILURE).write_text(json.dumps(note))
    state = progress(search, Archive.read(tmp_path / "records"))
    assert state.bests["Raw"].recipe == Recipe(-1, 1)
    assert state.bests["Raw + Crop"].recipe == Recipe(0, 1)
    first, second = search.tries(search.rows[1], Recipe(1, 1))
    archive.records[first].curve[-1]["held_out"]["both"] = 100.0
    archive.records[second].curve[-1]["held_out"]["both"] = 60.0
    assert search.accuracy(search.rows[1], Recipe(1, 1), archive) == 80.0


def test_the_final_runs_have_each_row_s_own_best_and_raw_s():
    bests = {"Raw": Best(Recipe(1, 2), 9.0, False), "Raw + Crop": Best(Recipe(0, 1), 9.0, False)}
    found = [
        (j.config.crop, j.config.lr, j.config.epochs, j.config.seed) for j in final_jobs(SEARCH, bests, 2)
    ]
    once = [(False, 0.02, 2), (True, 0.01, 1), (True, 0.02, 2)]
    assert found == [(*each, seed) for seed in (0, 1) for each in once]
    assert {(j.config.holdout, j.config.evaluate_every) for j in final_jobs(SEARCH, bests, 2)} == {(0.0, 1)}


# ---------------------------------------------------------------------- tables and the figure


def finished(answered, made, put_seeds, tmp_path):
    """Raw is best at twice the rate; with its recipe Crop looks better than it is."""
    state = progress(
        SEARCH, answered(SEARCH, Grid(-1, 2), lambda row, r: 60.0 - abs(r.power - (row.name == "Raw")))
    )
    right = {("Raw", 1): 80, ("Raw + Crop", 0): 80, ("Raw + Crop", 1): 95}
    for (name, power), number in right.items():
        row = next(r for r in ROWS if r.name == name)
        put_seeds(made(SEARCH.config(row, Recipe(power, 1)), np.arange(100) < number))
    return state, Archive.read(tmp_path / "records")


def test_the_tables_print_both_ways_and_the_verdict_depends_on_the_own_best(
    answered, made, put_seeds, tmp_path
):
    state, archive = finished(answered, made, put_seeds, tmp_path)
    tuned = tuned_table(SEARCH, state, archive).rows
    assert [row["row"] for row in tuned] == ["Raw", "Raw + Crop"]
    assert tuned[0]["verdict"] is None
    assert (tuned[1]["verdict"], tuned[1]["what one recipe would have suggested"]) == (
        "not distinguishable",
        "better",
    )
    tried = tuning_table(SEARCH, state, archive).rows
    assert [(r["learning rate"], r["tries"], r["held out, own best"]) for r in tried] == [
        ("0.02", 4, "60.0"),
        ("0.01", 4, "60.0"),
    ]
    assert tried[1]["held out, one recipe"] == "59.0"


def test_the_figure_has_a_line_for_each_row(answered, made, put_seeds, tmp_path):
    state, archive = finished(answered, made, put_seeds, tmp_path)
    drawn = draw_tuning(SEARCH, state, archive)
    (ax,) = drawn.figure.axes
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["Raw", "Raw + Crop"]
    raw = ax.lines[0]
    assert np.allclose(raw.get_xdata(), [0.005, 0.01, 0.02, 0.04])
    assert np.allclose(raw.get_ydata(), [58, 59, 60, 59])
    assert "Raw 60.0 % at 0.02; Raw + Crop 60.0 % at 0.01" in drawn.alt


def test_what_a_row_owes_is_its_difference_to_raw_on_test_images(answered, made, put_seeds, tmp_path):
    state, archive = finished(answered, made, put_seeds, tmp_path)
    drawn = draw_owed(SEARCH, state, archive)
    (ax,) = drawn.figure.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Raw + Crop"]
    points = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    assert points == [0.0]  # 80 and 80 of 100 at their own best, although 95 at Raw's recipe
    assert "Raw + Crop 0.0 (" in drawn.alt


def test_a_kept_figure_says_what_it_was_drawn_from(answered, made, put_seeds, tmp_path):
    """What a file says is JSON; it must come back equal, or every check would call the figure old."""
    state, archive = finished(answered, made, put_seeds, tmp_path)
    for draw in (draw_tuning, draw_owed):
        drawn = draw(SEARCH, state, archive)
        path = style.save(drawn.figure, "figure", about=drawn.about, folder=tmp_path)
        assert style.made_from(path) == drawn.about


def test_controls_have_a_panel_of_their_own(answered):
    rows = (*ROWS, Row("Crop: random box", CONTROLS["Crop: random box"]))
    search = replace(SEARCH, rows=rows)
    archive = answered(search, search.grid, peak_at(0))
    assert list(search_figures(search)) == ["tuning", "owed"]
    assert list(search_figures(SEARCH)) == ["tuning"]
    left, right = draw_tuning(search, progress(search, archive), archive).figure.axes
    assert [t.get_text() for t in left.get_legend().get_texts()] == ["Raw", "Raw + Crop"]
    assert [t.get_text() for t in right.get_legend().get_texts()] == ["Raw", "Raw + Crop", "Crop: random box"]


# ---------------------------------------------------------------------- real runs of a second


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    def tint(pixels, label):
        pixels[..., label] //= 2

    return noise_in_cubs_layout(tmp_path_factory.mktemp("data"), train=8, tint=tint)


def test_two_shares_make_the_search_of_one(data_root, tmp_path, one_thread):
    options = RunOptions(data_root=data_root, runs=tmp_path / "runs", device="cpu", quiet=True)
    narrow = replace(SEARCH, rows=ROWS[:1])
    said: list[str] = []

    def share(part):
        return lambda every: jobs.shard(every, part, 2)

    records = tmp_path / "records"
    state = tune(narrow, records, options, share(1), said.append)
    assert state.bests is None
    assert said[-1] == "this share of the search is done; give the command again when all shares are"
    assert 0 < len(Archive.read(records).records) < 3
    state = tune(narrow, records, options, say=said.append)
    assert state.bests is not None
    made = {p: p.stat().st_mtime_ns for p in records.rglob("record.json")}
    assert {Job(r.settings) for r in Archive.read(records).records.values()} == set(narrow.jobs(state.grid))
    assert tune(narrow, records, options, say=said.append) == state
    assert made == {p: p.stat().st_mtime_ns for p in records.rglob("record.json")}, "nothing was made again"


SCRIPT = """
import sys
from pathlib import Path
from gholm_lib.config import RunOptions
from gholm_kit.reproduction.tuning import tune
from tests.kit.reproduction.test_tuning import SEARCH
data, folder = map(Path, sys.argv[1:])
options = RunOptions(data_root=data, runs=folder / "runs", device="cpu", quiet=True)
state = tune(SEARCH, folder / "records", options, say=lambda line: print(line, flush=True))
print("chosen", {name: best.recipe.power for name, best in state.bests.items()}, flush=True)
"""


def session(data_root, folder) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(data_root), str(folder)],
        cwd=project_root(),
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_root())},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_search_goes_on_and_chooses_as_if_it_had_not_been_killed(data_root, tmp_path):
    killed = session(data_root, tmp_path / "killed")
    for line in killed.stdout:
        if line.startswith("[3/6]"):
            os.kill(killed.pid, signal.SIGKILL)
            break
    killed.wait()
    records = tmp_path / "killed" / "records"
    before = {p: p.stat().st_mtime_ns for p in records.rglob("record.json")}
    assert len(before) >= 3
    again, straight = session(data_root, tmp_path / "killed"), session(data_root, tmp_path / "straight")
    ends = [process.communicate()[0].splitlines() for process in (again, straight)]
    assert ends[0][0].startswith(f"6 runs and tests, {len(before)} recorded already")
    assert before.items() <= {p: p.stat().st_mtime_ns for p in records.rglob("record.json")}.items()
    assert ends[0][-1] == ends[1][-1]
    assert ends[0][-1].startswith("chosen")


# ---------------------------------------------------------------------- the command


def test_the_command_searches_and_then_makes_the_final_runs(monkeypatch, capsys, answered, tmp_path):
    made, shown = [], []
    monkeypatch.setattr(cli, "search_for", lambda preset, dataset, seeds: SEARCH)
    monkeypatch.setattr(cli, "make_runs", lambda jobs, *_: made.extend(jobs))
    monkeypatch.setattr(cli, "_show_tuning", lambda *_: shown.append(1))
    request = Request(tune=("cub",), seeds=2, records=tmp_path / "records")
    assert cli.reproduce(replace(request, from_records=True)) == 0
    assert "the search on cub is not finished" in capsys.readouterr().out
    assert cli.reproduce(replace(request, dry_run=True)) == 0
    assert "6 runs and tests are needed" in capsys.readouterr().out
    state = progress(SEARCH, answered(SEARCH, SEARCH.grid, peak_at(0)))
    assert cli.reproduce(request) == 0
    assert made == final_jobs(SEARCH, state.bests, 2)
    assert shown == [1]
    with pytest.raises(ValueError, match="--tune goes alone"):
        cli.reproduce(replace(request, table=(2,)))
