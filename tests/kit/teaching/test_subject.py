"""What a chapter examines: its drawings as before, or photographs with the ImageNet network."""

from __future__ import annotations

import hashlib

import pytest
import skimage.data
import torch
from PIL import Image

from gholm_kit.teaching import deciding_parts, subject
from gholm_kit.teaching.subject import open_subject
from gholm_lib.config import load_config
from gholm_lib.datasets import DataError, samples
from gholm_lib.runs import trained_network


@pytest.fixture
def two_photographs(tmp_path, monkeypatch):
    """An espresso and a missile in the place of the 500."""
    folder, listed = tmp_path / samples.FOLDER, {}
    folder.mkdir()
    for name, picture in (("n07920052_espresso", "coffee"), ("n03773504_missile", "rocket")):
        path = folder / f"{name}.JPEG"
        Image.fromarray(getattr(skimage.data, picture)()).save(path)
        listed[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(samples, "listed", lambda: listed)
    monkeypatch.setenv("GHOLM_DATA", str(tmp_path))


def test_photographs_come_with_imagenets_labels_and_network(two_photographs):
    s = open_subject("samples")
    assert [s.data.classes[sample.label] for sample in s.data.test] == ["espresso", "missile"]
    assert s.config == s.net.config
    assert s.truth is None
    study = deciding_parts.study_images(s.data, s.config, s.truth)
    assert deciding_parts.logits_of(s.net, study.images).argmax(1)[0] == study.labels[0]


def test_without_them_one_sentence_says_how_to_get_them_and_drawn_birds_take_their_place(
    tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as nowhere:
        nowhere.setenv("GHOLM_DATA", str(tmp_path))
        with pytest.raises(DataError, match="`gholm data get samples` fetches them") as missing:
            subject.sample_photographs()

    def not_here():
        raise missing.value

    monkeypatch.setattr(subject, "sample_photographs", not_here)
    assert open_subject("samples").config == load_config("mini", dataset="mini_birds")
    printed = capsys.readouterr().out
    assert printed.startswith("mini_birds is used instead of the photographs: ")
    assert str(missing.value) in printed


def test_a_drawn_set_comes_with_its_kept_network_and_truth():
    s = open_subject("mini_birds", seed=0)
    net, source = trained_network(load_config("mini", dataset="mini_birds", seed=0))
    assert s.source == source
    assert torch.equal(s.net.backbone.get_classifier().weight, net.backbone.get_classifier().weight)
    assert set(s.truth.classes) == set(s.data.classes)
