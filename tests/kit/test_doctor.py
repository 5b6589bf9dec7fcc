"""``gholm doctor``: what it finds and what it advises next."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from gholm_kit import doctor
from gholm_kit.__main__ import main
from gholm_kit.drawn import FAMILY_NAMES
from gholm_lib.datasets import DATASETS


@pytest.fixture
def everything_drawn(monkeypatch):
    monkeypatch.setattr(doctor, "is_complete", lambda family, folder: True)


def section(text: str, title: str) -> str:
    """The lines below a title."""
    _, _, rest = text.partition(f"{title}\n")
    return rest.split("\n\n")[0] if rest else ""


def test_an_empty_data_root(tmp_path, capsys):
    assert main(["doctor", "--data-root", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert f"data in {tmp_path}" in text
    for name in DATASETS:
        assert f"{name} " in text
    advice = section(text, "next")
    assert "gholm data get mini" in advice
    assert all(name in advice for name in FAMILY_NAMES)
    assert list(tmp_path.iterdir()) == [], "it only looks"


def test_versions_and_device(tmp_path):
    text = doctor.diagnose(tmp_path)
    assert f"torch {torch.__version__.split('+')[0]}" in section(text, "versions")
    assert "CPU cores" in section(text, "device")


def test_only_what_is_missing_is_to_be_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "is_complete", lambda family, folder: family.name != "mini_cars")
    assert "(mini_cars missing)" in section(doctor.diagnose(tmp_path), "next")


def test_a_half_set_counts_as_missing(tmp_path):
    (tmp_path / "mini_birds/images").mkdir(parents=True)
    text = doctor.diagnose(tmp_path)
    assert "mini_birds" in section(text, "next")
    assert "incomplete" in text


def test_missing_weights(tmp_path, monkeypatch, everything_drawn):
    monkeypatch.setattr(doctor, "packaged_weights", lambda _: tmp_path / "none.safetensors")
    assert "gholm pretrain" in section(doctor.diagnose(tmp_path), "next")


def test_when_all_is_there_it_says_how_to_begin(tmp_path, monkeypatch, everything_drawn):
    weights = tmp_path / "mini.safetensors"
    weights.touch()
    monkeypatch.setattr(doctor, "packaged_weights", lambda _: weights)
    advice = section(doctor.diagnose(tmp_path), "next")
    assert "00_start_here.ipynb" in advice
    assert "gholm train" in advice


def test_a_package_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_PACKAGES", ("numpy", "no-such-package"))
    lines = section(doctor.diagnose(tmp_path), "versions").splitlines()
    assert any("no-such-package: not installed" in line for line in lines)


@pytest.mark.parametrize("gpus", [0, 2])
def test_gpus(tmp_path, monkeypatch, gpus):
    card = SimpleNamespace(name="Card", total_memory=24 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda k: card)
    text = section(doctor.diagnose(tmp_path), "device")
    assert text.count("Card, 24 GiB") == gpus
    assert ("no GPU" in text) == (gpus == 0)
