"""Backbones and their weights: what loads, what is refused, and what the message says."""

from __future__ import annotations

import argparse
import pickle
import re
import types
from collections import Counter, defaultdict
from pathlib import Path

import huggingface_hub.errors
import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch.optim.swa_utils import AveragedModel

from gholm_lib import backbone as module
from gholm_lib.backbone import (
    MINI,
    MINI2,
    PACKAGED,
    create_backbone,
    load_weights,
    packaged_weights,
)
from gholm_lib.weights_file import WeightsError

SMALL = "resnet10t"  # 5.4 million parameters, for the tests that write files
CLASSIFIER = {MINI: "head.fc", "mobilenetv2_100": "classifier", "resnet18": "fc", SMALL: "fc"}


def new(name: str = MINI, classes: int = 4, seed: int = 0):
    torch.manual_seed(seed)
    return create_backbone(name, classes, "none")


def same(a: dict, b: dict, skip: str = "nothing") -> bool:
    return all(torch.equal(v, b[k]) for k, v in a.items() if not k.startswith(skip))


# ---------------------------------------------------------------------- the mini backbone


@pytest.mark.parametrize("name", PACKAGED)
def test_the_mini_backbones_are_registered_and_small(name):
    assert timm.is_model(name)
    model = timm.create_model(name, num_classes=11)
    assert sum(p.numel() for p in model.parameters()) < 500_000
    with torch.no_grad():
        features = model.eval().forward_features(torch.randn(1, 3, 160, 160))
        assert features.shape == (1, 112, 10, 10)
        assert model.forward_head(features).shape == (1, 11)
    assert not any("gamma" in name for name, _ in model.named_parameters())  # no layer scale


@pytest.mark.parametrize("name", PACKAGED)
def test_their_files_lie_in_the_package(name):
    assert packaged_weights(name) == Path(module.__file__).parent / "weights" / f"{name}.safetensors"


def test_the_second_mini_backbone_dilates_nothing_and_sees_a_cells_surroundings_alone():
    """What changes the middle cell lies around that cell, and as far to the left as to the right of its middle."""
    net = new(MINI2).eval()
    assert {m.dilation for m in net.modules() if isinstance(m, torch.nn.Conv2d)} == {(1, 1)}
    image = torch.zeros(1, 3, 112, 112, requires_grad=True)
    net.forward_features(image)[0, :, 3, 3].square().sum().backward()
    columns = image.grad[0].abs().sum((0, 1)).nonzero().flatten()
    middle = (columns[0] + columns[-1]).item() / 2
    assert abs(middle - 55.5) <= 1, "the fourth of seven cells stands in the middle of what it sees"


def test_packaged_and_pretrained_read_that_file(tmp_path, monkeypatch):
    source, path = new(classes=9), tmp_path / f"{MINI}.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    monkeypatch.setattr(module, "packaged_weights", lambda _: path)
    for model in (
        create_backbone(MINI, 4, "packaged"),
        create_backbone(MINI, 4, "timm"),
        timm.create_model(MINI, pretrained=True, num_classes=4),
    ):
        assert same(source.state_dict(), model.state_dict(), "head.fc")
        assert model.head.fc.weight.shape == (4, 112)


def test_packaged_weights_exist_for_the_mini_backbones_only():
    with pytest.raises(WeightsError, match=f"only for {MINI} and {MINI2}, not for 'resnet18'"):
        create_backbone("resnet18", 4, "packaged")


def test_a_missing_packaged_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "packaged_weights", lambda _: tmp_path / "gone.safetensors")
    with pytest.raises(WeightsError, match=r"no weights file .*gone\.safetensors"):
        create_backbone(MINI, 4, "packaged")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = new().state_dict()
    state["stages.0.blocks.0.conv_dw.weight"][0, 0, 0, 0] = torch.nan
    safetensors.torch.save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match=r"nan\.safetensors contains values .* first in stages\.0"):
        load_weights(new(), tmp_path / "nan.safetensors")


# ---------------------------------------------------------------------- create_backbone


@pytest.mark.parametrize("name", [MINI, "mobilenetv2_100", "resnet18"])
def test_any_timm_backbone_with_the_seam(name):
    model = new(name, 6).eval()
    with torch.no_grad():
        images = torch.randn(2, 3, 64, 64)
        features = model.forward_features(images)
        assert features.ndim == 4
        torch.testing.assert_close(model.forward_head(features), model(images))
        assert model(images).shape == (2, 6)


def test_keywords_reach_the_model():
    assert create_backbone(MINI, 4, "none", drop_rate=0.25).head.drop.p == 0.25


def test_an_unknown_model_names_some_that_exist():
    with pytest.raises(ValueError, match=r"timm has no model 'resnet_18'; similar names: .*resnet"):
        create_backbone("resnet_18", 4, "none")
    with pytest.raises(ValueError, match="timm has no model 'qqqq'"):
        create_backbone("qqqq", 4, "none")


def test_a_model_without_the_seam_is_refused(monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="resnet18 has no forward_features / forward_head"):
        create_backbone("resnet18", 4, "none")


def test_a_model_whose_channels_come_last_is_refused():
    with pytest.raises(ValueError, match=r"swin_tiny_patch4_window7_224 gives features as NHWC"):
        create_backbone("swin_tiny_patch4_window7_224", 4, "none", img_size=64)


# ---------------------------------------------------------------------- files that fit


@pytest.mark.parametrize("name", CLASSIFIER)
def test_safetensors_round_trip(tmp_path, name):
    source, path = new(name), tmp_path / "w.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    model = new(name, seed=1)
    assert not same(source.state_dict(), model.state_dict())
    assert load_weights(model, path, classifier=True) == ()
    assert same(source.state_dict(), model.state_dict())


@pytest.mark.parametrize("name", CLASSIFIER)
def test_a_classifier_of_as_many_classes_is_not_taken_unasked(tmp_path, name):
    """Four other classes would fill a head of four."""
    source, path = new(name), tmp_path / "w.safetensors"
    safetensors.torch.save_file(source.state_dict(), path)
    given = new(name, seed=1)
    load_weights(given, path)
    for model in (given, create_backbone(name, 4, path), create_backbone(name, 4, str(path))):
        weight = f"{CLASSIFIER[name]}.weight"
        assert not torch.equal(model.state_dict()[weight], source.state_dict()[weight])
        assert same(source.state_dict(), model.state_dict(), CLASSIFIER[name])


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"model": s, "epoch": 3}, lambda s: {"state_dict": s}]
)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_pth_round_trip(tmp_path, suffix, wrap):
    source, path = new(), tmp_path / f"w{suffix}"
    torch.save(wrap(source.state_dict()), path)
    model = new(seed=1)
    load_weights(model, path, classifier=True)
    assert same(source.state_dict(), model.state_dict())


# ---------------------------------------------------------------------- weights as people have them


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "backbone.", "encoder."]
)
def test_wrappers_prefixes_are_taken_off(tmp_path, prefix):
    source, path = new(), tmp_path / "w.pth"
    torch.save({prefix + k: v for k, v in source.state_dict().items()}, path)
    model = new(seed=1)
    notes = load_weights(model, path, classifier=True)
    assert same(source.state_dict(), model.state_dict())
    assert len(notes) == prefix.count(".")
    assert all("was taken off" in note for note in notes)


def test_what_lies_beside_the_network_is_left_out_and_named(tmp_path):
    source = new()
    averaged, path = AveragedModel(source).state_dict(), tmp_path / "w.pth"
    assert "n_averaged" in averaged
    for beside in ({}, {"criterion.weight": torch.ones(4)}):
        torch.save({"state_dict": averaged | beside}, path)
        model = new(seed=1)
        (note,) = load_weights(model, path, classifier=True)
        assert same(source.state_dict(), model.state_dict())
        assert note.endswith("left out")
        assert all(name in note for name in ("n_averaged", *beside))


@pytest.mark.parametrize("table", ["model_state_dict", "params", "net", "student"])
def test_any_table_of_tensors_is_found(tmp_path, table):
    source, path = new(), tmp_path / "w.pth"
    optimizer = torch.optim.SGD(source.parameters(), lr=0.1, momentum=0.9)
    torch.save({table: source.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, path)
    model = new(seed=1)
    assert load_weights(model, path, classifier=True) == ()
    assert same(source.state_dict(), model.state_dict())


def test_the_content_decides_not_the_name(tmp_path):
    state = new().state_dict()
    safetensors.torch.save_file(state, tmp_path / "pytorch_model.bin")
    torch.save(state, tmp_path / "model.safetensors")
    for name in ("pytorch_model.bin", "model.safetensors"):
        model = new(seed=1)
        load_weights(model, tmp_path / name, classifier=True)
        assert same(state, model.state_dict())


def test_counters_that_old_files_lack_may_be_missing(tmp_path):
    source = timm.create_model("mobilenetv2_050", num_classes=4)
    old = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "w.pth")
    model = timm.create_model("mobilenetv2_050", num_classes=4)
    load_weights(model, tmp_path / "w.pth", classifier=True)
    assert same(old, {k: v for k, v in model.state_dict().items() if k in old})


def test_averaged_weights_are_taken_and_said(tmp_path):
    plain, averaged, path = new(), new(seed=2), tmp_path / "w.pth"
    torch.save({"state_dict": plain.state_dict(), "state_dict_ema": averaged.state_dict()}, path)
    model = new(seed=1)
    notes = load_weights(model, path, classifier=True)
    assert same(averaged.state_dict(), model.state_dict())
    assert notes == ("w.pth contains state_dict_ema and state_dict; state_dict_ema was taken",)
    assert create_backbone(MINI, 4, path).weights_notes == notes


@pytest.mark.parametrize("zipped", [True, False])
def test_settings_and_numbers_beside_the_tensors_do_no_harm(tmp_path, zipped):
    source, path = new(), tmp_path / "w.pth"
    settings = argparse.Namespace(lr=np.float64(0.1), epochs=np.int64(3), out=Path("runs"))
    history = defaultdict(list, {"loss": [1.0]})
    content = {"model": source.state_dict(), "args": settings, "best": np.float64(91.8), "history": history}
    if zipped:  # before PyTorch 1.6, files could not be asked which types are in them
        content |= {
            "mean": np.zeros(3),
            "more": types.SimpleNamespace(a={1, 2}),
            "words": Counter("aab"),
        }
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    model = new(seed=1)
    load_weights(model, path, classifier=True)
    assert same(source.state_dict(), model.state_dict())


def authors_names(state: dict) -> dict:
    """A ConvNeXt's tensors under the names of its authors' public code (facebookresearch/ConvNeXt)."""
    renamed = {}
    for k, v in state.items():
        k = re.sub(r"^stem\.(\d)", r"downsample_layers.0.\1", k)
        k = re.sub(r"^stages\.(\d)\.downsample\.(\d)", r"downsample_layers.\1.\2", k)
        k = re.sub(r"^stages\.(\d)\.blocks\.(\d)", r"stages.\1.\2", k)
        k = k.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        k = k.replace("head.norm.", "norm.").replace("head.fc.", "head.")
        renamed[k] = v
    return renamed


def test_the_authors_convnext_file(tmp_path):
    source = timm.create_model("convnext_atto_ols", num_classes=7)
    path = tmp_path / "convnext.pth"
    torch.save({"model": authors_names(source.state_dict())}, path)
    model = timm.create_model("convnext_atto_ols", num_classes=3)
    notes = load_weights(model, path)
    assert same(source.state_dict(), model.state_dict(), "head.fc")
    assert notes == ("convnext.pth: timm translated its authors' names",)


@pytest.mark.parametrize("name", CLASSIFIER)
@pytest.mark.parametrize("classes", [1000, 0])
def test_a_classifier_of_another_size_is_left_fresh(tmp_path, name, classes):
    source = timm.create_model(name, num_classes=classes)
    path, model = tmp_path / "w.safetensors", new(name, seed=1)
    safetensors.torch.save_file(source.state_dict(), path)
    layer = CLASSIFIER[name]
    before = {k: v.clone() for k, v in model.state_dict().items() if k.startswith(f"{layer}.")}
    assert len(before) == 2
    load_weights(model, path)
    assert same(before, model.state_dict())
    rest = {k: v for k, v in model.state_dict().items() if k not in before}
    assert same(rest, source.state_dict())


# ---------------------------------------------------------------------- files that do not


def test_wrong_shapes_are_named_and_nothing_is_loaded(tmp_path):
    state = new().state_dict()
    state["stages.0.blocks.0.conv_dw.weight"] = torch.zeros(24, 1, 3, 3)
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    model = new(seed=1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(model, tmp_path / "w.safetensors")
    assert str(tmp_path / "w.safetensors") in str(caught.value)
    assert "1 of another shape ['stages.0.blocks.0.conv_dw.weight']" in str(caught.value)
    assert same(before, model.state_dict())


def test_missing_and_unknown_names_are_counted(tmp_path):
    state = new().state_dict()
    state["extra.weight"] = state.pop("stem.0.weight")
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(
        WeightsError,
        match=r"does not fit ConvNeXt: 1 missing \['stem.0.weight'\], 1 unknown \['extra.weight'\]",
    ):
        load_weights(new(), tmp_path / "w.safetensors")


def test_weights_of_another_network(tmp_path):
    safetensors.torch.save_file(new(SMALL).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"w\.safetensors does not fit ConvNeXt: .*exactly this backbone"):
        create_backbone(MINI, 4, tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["gone.safetensors", "gone.pth", "."])
def test_no_such_file(tmp_path, name):
    with pytest.raises(WeightsError, match=r"no weights file .*--weights takes a \.safetensors or \.pth"):
        load_weights(new(), tmp_path / name)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w"])
@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", bytes(range(256)) * 40])
def test_a_file_that_is_no_weights_file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=re.escape(str(path)) + " cannot be read as weights"):
        load_weights(new(), path)


def test_a_truncated_file(tmp_path):
    for path in (tmp_path / "w.safetensors", tmp_path / "w.pth"):
        state = new().state_dict()
        if path.suffix == ".pth":
            torch.save(state, path)
        else:
            safetensors.torch.save_file(state, path)
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(WeightsError, match="cannot be read as weights"):
            load_weights(new(), path)


@pytest.mark.parametrize(
    "content", [3, [torch.zeros(2)], {"a": 1}, {"model": 5}, {"a": torch.zeros(1), "b": "x"}]
)
def test_a_pth_without_a_table_of_tensors(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w\.pth contains no dictionary of named tensors"):
        load_weights(new(), tmp_path / "w.pth")


class Payload:
    """Unpickling this runs code."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickled_object_is_not_run(tmp_path):
    marker = tmp_path / "the-code-ran"
    torch.save({"model": new().state_dict(), "hook": Payload(marker)}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Payload(marker)))
    for name in ("zip", "plain"):
        with pytest.raises(WeightsError, match=rf"{name}\.pth cannot be read as weights"):
            load_weights(new(), tmp_path / f"{name}.pth")
    assert not marker.exists()
    pickle.loads((tmp_path / "plain.pth").read_bytes())
    assert marker.exists()  # so the trap itself works


def test_a_whole_network_is_not_a_table_of_tensors(tmp_path):
    torch.save(new(), tmp_path / "w.pth")  # as some people save it
    with pytest.raises(WeightsError, match=r"no dictionary of named tensors; save net\.state_dict\(\)"):
        load_weights(new(), tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty (0 bytes)"),
        (b"<!DOCTYPE html><p>404", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "`git lfs pull`"),
        (b"PK\3\4 and no more", "it is damaged or of another kind"),
    ],
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_what_a_file_is_instead(tmp_path, content, said, suffix):
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        load_weights(new(), path)
    assert said in str(caught.value)
    assert "weights_only" not in str(caught.value), "PyTorch's advice to run any code in the file is not ours"
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------- the model hub


@pytest.mark.parametrize(
    "error",
    [
        OSError("[Errno 101] Network is unreachable\nand more lines"),
        ConnectionError(),  # no text at all
        huggingface_hub.errors.LocalEntryNotFoundError("cannot find the requested files"),
        huggingface_hub.errors.OfflineModeIsEnabled("offline mode"),
        RuntimeError("broken download"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_an_unreachable_hub_says_what_to_fetch_and_where_to_put_it(monkeypatch, error):
    def no_network(*_, **__):
        raise error

    monkeypatch.setattr(timm, "create_model", no_network)
    with pytest.raises(WeightsError) as caught:
        create_backbone("convnext_small.fb_in22k", 4, "timm")
    message = str(caught.value)
    assert "https://huggingface.co/timm/convnext_small.fb_in22k " in message
    assert "--weights data/weights/convnext_small.fb_in22k.safetensors" in message
    assert type(error).__name__ in message
    assert "\n" not in message
    assert caught.value.__cause__ is error


def test_the_download_itself_failing_is_explained_too(monkeypatch):
    """One layer further down: timm's own code runs, only its download is cut."""
    import timm.models._hub as hub

    def no_network(*_, **__):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(hub, "hf_hub_download", no_network)
    with pytest.raises(WeightsError, match=r"https://huggingface\.co/timm/resnet10t\.c3_in1k "):
        create_backbone(f"{SMALL}.c3_in1k", 4, "timm")


def test_a_model_without_published_weights():
    with pytest.raises(WeightsError, match=r"timm has no pretrained weights for 'resnet18\.no_such_tag'"):
        create_backbone("resnet18.no_such_tag", 4, "timm")
    with pytest.raises(WeightsError, match="timm has no pretrained weights for 'resnet200'"):
        create_backbone("resnet200", 4, "timm")


def test_an_option_that_a_model_does_not_take_is_named():
    with pytest.raises(ValueError, match=r"does not take the options.*output_strid"):
        create_backbone(MINI, 4, "none", output_strid=16)
