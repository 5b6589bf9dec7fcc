"""Cells, their three written forms, and the table of any finished runs."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from gholm_kit.reproduction import verdicts
from gholm_kit.table import Change, Interval, Mean, PValue, Table, change, commands, mean_of, results_table
from gholm_lib import Config
from gholm_lib.predictions import Predictions
from gholm_lib.records import Record
from gholm_lib.uncertainty import Difference


def record(right: int, seed: int, crop: bool = True, images: int = 4, classes: int = 2, **changes) -> Record:
    """A run of some test images, of which ``right`` are answered rightly."""
    branches = {} if crop else {"crop": False, "sup": False, "drop": False}
    config = Config(seed=seed, **branches, **changes)
    said = np.array([1] * right + [0] * (images - right), np.int16)
    none = np.full(images, -1, np.int16)
    predictions = Predictions(
        label=np.ones(images, np.int16),
        raw=said,
        crop=said if crop else none,
        both=said if crop else none,
        box=np.zeros((images, 4), np.int16),
        fallback=np.zeros(images, bool),
        image_size=160,
    )
    return Record(
        config=config.to_dict(),
        data={"classes": classes, "test": images, "test_ids_sha256": "same"},
        results={"last": predictions.summary()},
        curve=[],
        cost={},
        environment={},
        predictions=predictions,
    )


# ---------------------------------------------------------------------- cells


def test_cells_show_one_decimal_and_keep_more():
    assert str(mean_of([75.0, 25.0])) == "50.0 ± 35.4"
    assert mean_of([75.0, 25.0]).plain() == {"": 50.0, "sd": 35.3553, "seeds": 2}
    assert str(Mean(91.84, None, 1)) == "91.8"
    assert str(Interval(90.123456, 92)) == "90.1 to 92.0"
    assert Interval(90.123456, 92).plain() == {"low": 90.1235, "high": 92}


def test_a_change_has_its_sign_and_zero_has_none():
    assert str(Change(Difference(1.25, -0.31, 2.8, 3))) == "+1.2 (−0.3 to +2.8)"
    assert str(Change(Difference(-0.02, -1.0, 0.96, 3))) == "0.0 (−1.0 to +1.0)"
    assert str(Change(Difference(10.04, 10.0, 10.06, 3))) == "+10.0 (+10.0 to +10.1)"


def test_a_bound_near_zero_keeps_its_sign():
    assert str(Change(Difference(1.2, 0.03, 2.4, 3))) == "+1.2 (+0.03 to +2.4)"
    assert str(Change(Difference(-0.01, -0.04, 0.02, 3))) == "0.0 (−0.04 to +0.02)"


@pytest.mark.parametrize(
    ("p", "shown"),
    [
        (0.0004, "< 0.001"),
        (0.0123, "0.012"),
        (0.0498, "0.0498"),
        (0.0503, "0.0503"),
        (0.0995, "0.100"),
        (0.5488, "0.55"),
        (1.0, "1.00"),
    ],
)
def test_p_values(p, shown):
    assert str(PValue(p)) == shown


# ---------------------------------------------------------------------- written forms

TABLE = Table(
    "t",
    "A & B",
    [
        {
            "row": "one | two",
            "measured": Mean(50.0, 1.5, 3),
            "interval": Interval(1, 2),
            "verdict": "not distinguishable",
        },
        {"row": "100 %_", "measured": "not run", "interval": None, "verdict": "contradicted"},
    ],
    ["A note with *stress*."],
)


def test_markdown_keeps_bars_inside_cells():
    lines = TABLE.markdown().splitlines()
    assert lines[0] == "## A & B"
    assert lines[4] == "| one \\| two | 50.0 ± 1.5 | 1.0 to 2.0 | not distinguishable |"
    assert lines[5] == "| 100 %_ | not run | – | contradicted |"
    assert lines[-1] == "- A note with *stress*."
    assert TABLE.markdown(heading=False).splitlines() == lines[2:6]


def test_csv_splits_a_cell_into_its_numbers():
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    expected = [
        "row",
        "measured",
        "measured sd",
        "measured seeds",
        "interval low",
        "interval high",
        "verdict",
    ]
    assert list(rows[0]) == expected
    assert (rows[0]["measured"], rows[0]["measured sd"], rows[0]["interval high"]) == ("50.0", "1.5", "2")
    assert (rows[1]["measured"], rows[1]["interval low"]) == ("not run", "")


def test_latex_escapes_what_latex_would_read():
    text = TABLE.latex()
    assert r"\caption{A \& B}" in text
    assert r"100 \%\_ & not run & -- & contradicted \\" in text
    assert r"50.0 $\pm$ 1.5" in text
    assert "*" not in text


def test_every_row_of_latex_has_every_column():
    body = [line for line in TABLE.latex().splitlines() if line.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in body} == {3}


@pytest.mark.parametrize(
    ("verdict", "bold"),
    [
        (verdicts.REPRODUCED, False),
        (verdicts.SAME, False),
        (verdicts.CONTRADICTED, True),
        (verdicts.OPPOSITE, True),
        (verdicts.UNCLEAR, False),
        ("unstable: 1 of 3 runs at chance", False),
        (verdicts.of_effect(1), False),
        (verdicts.of_effect(-1), False),
    ],
)
def test_the_notebook_marks_verdicts(verdict, bold):
    html = Table("t", "", [{"verdict": verdict, "evidence": verdict}]).styled().to_html()
    assert html.count("background-color") == 1
    assert ("font-weight: bold" in html) == bold


def test_what_was_not_run_has_no_colour():
    assert "background-color" not in Table("t", "", [{"verdict": "not run"}]).styled().to_html()


def test_some_columns_only():
    assert TABLE.only(["verdict", "row"]).columns == ["verdict", "row"]
    assert TABLE.only(None).rows == TABLE.rows


# ---------------------------------------------------------------------- any finished runs


def cells(table: Table, row: int) -> dict[str, str]:
    return table.shown().iloc[row].to_dict()


def test_a_row_is_the_mean_over_its_seeds():
    table = results_table([record(60, 0, images=100, classes=10), record(50, 1, images=100, classes=10)])
    assert len(table.rows) == 1
    row = cells(table, 0)
    assert (row["branches"], row["seeds"], row["answer"]) == ("raw + crop + sup + drop", "2", "55.0 ± 7.1")


def test_rows_of_one_recipe_are_compared():
    table = results_table([record(4, seed=0), record(2, seed=0, crop=False)])
    first, second = cells(table, 0), cells(table, 1)
    assert (first["branches"], first["Crop"], first["answer"]) == ("raw", "–", "50.0")
    assert first["difference to the row above"] == "–"
    assert second["difference to the row above"].startswith("+50.0 (")
    change = table.rows[1]["difference to the row above"].of
    assert second["p"] == str(PValue(change.p))


def test_notes_say_which_weights_files_runs_started_from():
    runs = [record(4, seed, weights="somewhere/net.pth") for seed in (0, 1, 2)]
    note = "Starting weights: net.pth, SHA-256 "
    missing = "not recorded (other weights of this name give other numbers)"
    assert results_table(runs).notes[1:] == [f"{note}{missing}."]
    runs[1].data["weights_sha256"], runs[2].data["weights_sha256"] = "b" * 64, "a" * 64
    assert results_table(runs).notes[1:] == [
        f"{note}{'a' * 12} and {'b' * 12}; for some runs SHA-256 {missing}."
    ]
    assert results_table(runs[1:2]).notes[1:] == [f"{note}{'b' * 12}."]
    assert len(results_table([record(4, seed=0)]).notes) == 1, "packaged weights are the same everywhere"


def test_another_recipe_is_not_compared():
    table = results_table([record(4, seed=0, lr=0.01), record(2, seed=0, crop=False)])
    assert [r["difference to the row above"] for r in table.rows] == [None, None]


def test_only_common_seeds_are_compared():
    first, second = [record(4, seed=0), record(4, seed=1)], [record(2, seed=1), record(1, seed=2)]
    assert change(first, second).mean == pytest.approx(50)
    assert change(first, second).seeds == 1
    assert change(first[:1], second) is None


def test_an_unstable_row_has_neither_mean_nor_interval_nor_comparison():
    """One run of three at chance, as in the other tables; the row below it is not compared with it."""
    above = [
        record(right, seed, crop=False, images=1000, classes=11) for seed, right in enumerate((629, 91, 733))
    ]
    below = [record(right, seed, images=1000, classes=11) for seed, right in enumerate((870, 900, 890))]
    table = results_table([*above, *below])
    texts = [dict(zip(table.columns, row, strict=True)) for row in table._texts()]
    assert texts[0]["answer"] == texts[0]["Raw"] == "62.9, 9.1, 73.3"
    assert texts[0]["95 % interval"] == "unstable: 1 of 3 runs at chance"
    assert texts[1]["answer"] == "88.7 ± 1.5"
    assert [(t["difference to the row above"], t["p"]) for t in texts] == [("–", "–")] * 2
    assert "Unstable: some runs of a row" in table.notes[0]
    assert "unstable: 1 of 3 runs at chance" in table.csv()


def test_each_row_has_the_command_of_its_first_seed():
    made = [record(4, seed=1), record(4, seed=2), record(2, seed=0, crop=False, lr=0.01)]
    assert commands(made) == [
        "gholm train --preset mini --dataset mini_birds --seed 1",
        "gholm train --preset mini --dataset mini_birds --no-crop --no-sup --no-drop --lr 0.01",
    ]
