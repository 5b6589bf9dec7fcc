"""The paper's numbers agree with each other and with what the kit knows elsewhere."""

from __future__ import annotations

from gholm_kit import published
from gholm_kit.reproduction import jobs
from gholm_lib.datasets import DATASETS


def test_counts_are_those_that_the_data_check_expects():
    assert {n: DATASETS[n].expected for n in published.COUNTS} == published.COUNTS


def test_tables_repeat_the_same_numbers():
    full = {d: rows[jobs.OURS] for d, rows in published.BRANCHES.items()}
    assert published.MU[1.7] == published.LOGITS["both"] == full["cub"]
    for number, dataset in jobs.COMPARED.items():
        measured = {r.row: r.accuracy for r in published.COMPARED[number] if r.row}
        assert set(measured) == {jobs.RAW, jobs.OURS}
        if dataset in published.BRANCHES:
            assert measured == {k: published.BRANCHES[dataset][k] for k in measured}


def test_rows_are_those_of_the_grid():
    for rows in published.BRANCHES.values():
        assert tuple(rows) == tuple(jobs.ROWS)
    assert tuple(published.MU) == jobs.MUS
    assert set(published.TITLES) == set(jobs.TABLES)


def test_every_published_row_has_its_source():
    for rows in published.COMPARED.values():
        assert all(r.source.startswith("[") or r.row == jobs.OURS for r in rows)
