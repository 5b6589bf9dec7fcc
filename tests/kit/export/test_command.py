"""``gholm export``: what it writes, what it says, what it refuses."""

from __future__ import annotations

import importlib.util

import pytest

from gholm_kit.__main__ import main
from gholm_kit.export import files as graph_files
from gholm_kit.export.command import export
from gholm_kit.export.graph import ExportError


@pytest.mark.slow
def test_a_folder_with_graph_weights_and_card(kept, tmp_path, capsys):
    assert main(["export", kept.name, "--hub-folder", "--out", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"model.onnx", "README.md", "config.json", "model.safetensors"}
    said = capsys.readouterr().out
    assert "against PyTorch on 100 images" in said
    assert "test images of mini_birds" in said


def test_an_unknown_name_is_answered_with_what_there_is(kept, capsys):
    assert main(["export", "no-such-run"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "gholm export: no network 'no-such-run': give imagenet, a mini set, the folder of a finished"
    )
    assert kept.name in said


def test_out_may_not_be_a_file(kept, tmp_path):
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ValueError, match=r"--out takes a folder, but .*model.onnx is a file"):
        export(kept.name, out=tmp_path / "model.onnx")


def test_a_missing_package_is_named_with_its_extra(kept, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "onnxscript" else found(n, *a)
    )
    with pytest.raises(
        ExportError, match=r"onnxscript is not installed; pip install -e '\.\[export\]' brings it"
    ):
        export(kept.name, out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_file_that_answers_otherwise_is_not_left_behind(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(graph_files, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match=r"model\.pt2 was removed: against PyTorch on 100 images"):
        export(kept.name, "pt2", tmp_path)
    assert not list(tmp_path.iterdir())
