"""The paper's numbers agree with each other and with what the kit knows elsewhere."""

from __future__ import annotations

from gholm_lib.datasets import DATASETS
from gholm_lib.reproduce import grid, paper


def test_counts_are_those_that_the_data_check_expects():
    assert {n: DATASETS[n].expected for n in paper.COUNTS} == paper.COUNTS


def test_tables_repeat_the_same_numbers():
    full = {d: rows[grid.OURS] for d, rows in paper.BRANCHES.items()}
    assert paper.MU[1.7] == paper.LOGITS["both"] == full["cub"]
    for number, dataset in grid.COMPARED.items():
        measured = {r.row: r.accuracy for r in paper.COMPARED[number] if r.row}
        assert set(measured) == {grid.RAW, grid.OURS}
        if dataset in paper.BRANCHES:
            assert measured == {k: paper.BRANCHES[dataset][k] for k in measured}


def test_rows_are_those_of_the_grid():
    for rows in paper.BRANCHES.values():
        assert tuple(rows) == tuple(grid.ROWS)
    assert tuple(paper.MU) == grid.MUS
    assert set(paper.TITLES) == set(grid.TABLES)


def test_every_published_row_has_its_source():
    for rows in paper.COMPARED.values():
        assert all(r.source.startswith("[") or r.row == grid.OURS for r in rows)
