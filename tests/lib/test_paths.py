"""The one place that knows where things are."""

from __future__ import annotations

from pathlib import Path

import pytest

from gholm_lib import paths


def test_the_checkout_is_found():
    assert (paths.project_root() / "gholm_lib" / "paths.py").samefile(paths.__file__)
    assert paths.records_folder() == paths.project_root() / "data" / "records"
    assert paths.figures_folder() == paths.project_root() / "figures"


def test_away_from_a_checkout_the_working_folder_counts(tmp_path, monkeypatch):
    for variable in ("GHOLM_DATA", "GHOLM_RUNS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(paths, "_CHECKOUT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no pyproject\.toml in .*clone of the project"):
        paths.project_root()
    assert (paths.data_root(), paths.runs_folder()) == (tmp_path / "data", tmp_path / "runs")


def test_the_environment_and_the_argument_name_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("GHOLM_DATA", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GHOLM_RUNS", str(tmp_path / "made"))
    assert paths.data_root() == tmp_path / "elsewhere"
    assert paths.data_root(tmp_path / "mine") == tmp_path / "mine"
    assert paths.data_root("~/mine") == Path.home() / "mine"
    assert paths.runs_folder() == tmp_path / "made"
