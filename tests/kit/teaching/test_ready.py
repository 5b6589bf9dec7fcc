"""Chapters go on with the drawn sets where the real data, or the trained network, are not here."""

from __future__ import annotations

import shutil

import pytest

from gholm_kit.reproduction import jobs
from gholm_kit.teaching import ready
from gholm_lib.config import RunOptions, load_config
from gholm_lib.datasets import DATASETS, DataError
from gholm_lib.paths import data_root
from gholm_lib.runs import NotMadeError


@pytest.fixture
def options(tmp_path):
    """Only mini birds, and no finished run."""
    shutil.copytree(data_root() / "mini_birds", tmp_path / "mini_birds")
    return RunOptions(tmp_path, tmp_path / "runs", "cpu", quiet=True)


def test_a_real_set_that_is_not_here_is_replaced_by_the_drawn_one(options, capsys):
    assert ready.here_or_drawn("cub", options.data_root) == "mini_birds"
    assert "cub is not here, so mini_birds is used instead; `gholm data get cub`" in capsys.readouterr().out
    assert ready.here_or_drawn("mini_birds", options.data_root) == "mini_birds"
    with pytest.raises(DataError, match="gholm data get mini"):
        ready.here_or_drawn("mini_cars", options.data_root)
    assert not capsys.readouterr().out


def test_drawn_families_stand_for_the_sets_that_the_tables_replace_by_them():
    stands = {info.stands_for: name for name, info in DATASETS.items() if info.stands_for}
    assert stands == jobs.DATASETS["mini"]


@pytest.mark.parametrize("wanted", [("paper", "cub"), ("mini", "cub"), ("paper", "mini_birds")])
def test_a_network_that_is_not_here_is_replaced_by_the_kept_one_of_the_drawn_set(wanted, options, capsys):
    preset, dataset = wanted
    config, data, net, source = ready.network_or_drawn(load_config(preset, dataset=dataset), options)
    said = capsys.readouterr().out
    assert said.startswith(f"mini_birds is used instead of {dataset}-raw_crop_sup_drop-")
    assert said.count("\n") == 1
    assert f"gholm train --preset {preset}" in said or f"gholm train --dataset {dataset}" in said
    assert (config, data.name) == (load_config("mini"), "mini_birds")
    assert net.config == config
    assert source.startswith("kept network")


def test_what_is_here_is_used_silently(options, capsys):
    assert ready.network_or_drawn(load_config("mini"), options).data.name == "mini_birds"
    assert not capsys.readouterr().out


def test_a_run_folder_that_is_none_is_replaced_too(options, capsys):
    found = ready.network_or_drawn(load_config("mini"), options, run="no/such/run")
    assert found.data.name == "mini_birds"
    assert "mini_birds is used instead of no/such/run: no/such/run/record.json" in capsys.readouterr().out


def test_nothing_stands_for_a_drawn_set_or_an_unknown_one(options, capsys):
    with pytest.raises(DataError, match="gholm data get mini"):
        ready.network_or_drawn(load_config("mini", dataset="mini_cars"), options)
    with pytest.raises((DataError, NotMadeError), match="my_leaves"):
        ready.network_or_drawn(load_config("paper", dataset="my_leaves"), options)
    assert not capsys.readouterr().out
