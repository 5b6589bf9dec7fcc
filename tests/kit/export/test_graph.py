"""The closed form of eq. (1) is autograd's, for the heads that it is meant for; other heads are refused."""

from __future__ import annotations

import pytest
import torch

from gholm_kit.export.graph import OUTPUTS, ExportError, Graph
from gholm_lib.config import Config
from gholm_lib.model import GHOLMNet

pytestmark = pytest.mark.usefixtures("one_thread")
HEADS = {  # backbone → what lies between its features and its logits
    "gholm_convnext_mini": "pool, norm, linear",
    "convnext_atto": "pool, norm, linear",
    "resnet18": "pool, linear",
    "tf_efficientnet_lite0": "pool, linear",
    "convnextv2_atto": "pool, norm, linear",
}


def network(backbone: str, **settings) -> GHOLMNet:
    torch.manual_seed(0)
    config = Config(backbone=backbone, weights="none", image_size=64, resize=64, **settings)
    net = GHOLMNet(backbone, 5, False, config).eval()
    torch.nn.init.normal_(net.backbone.get_classifier().weight, 0, 0.3)
    norm = getattr(getattr(net.backbone, "head", None), "norm", None)
    if getattr(norm, "weight", None) is not None:  # a fresh norm multiplies by 1, which would hide its part
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
    return net.double()


def inputs(net: GHOLMNet) -> tuple[torch.Tensor, ...]:
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    boxes = torch.tensor([[0, 0, 64, 64], [3, 5, 40, 33], [63, 63, 64, 64], [0, 10, 7, 64]])
    return images, torch.tensor([4, 0, 2, 2]), boxes


@pytest.mark.numeric
@pytest.mark.parametrize("backbone", HEADS, ids=lambda name: f"{name}: {HEADS[name]}")
def test_every_output_is_the_librarys(backbone):
    net = network(backbone)
    images, target, boxes = inputs(net)
    with torch.no_grad():
        found = dict(zip(OUTPUTS, Graph(net)(images, target, boxes), strict=True))
        features = net.backbone.forward_features(images)
    from gholm_lib.gradcam import gradcam

    wanted = {
        "raw_logits": net.classify(images),
        "predicted_map": gradcam(net.head, features),
        "class_map": gradcam(net.head, features, target),
        "crop": net.crops(images, boxes),
        "crop_logits": net.classify(net.crops(images, boxes)),
    }
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-9, msg=name)
    assert found["class_map"].any()


def test_the_map_as_printed_has_no_weights():
    net = network("gholm_convnext_mini", cam_weighted=False)
    images, target, boxes = inputs(net)
    with torch.no_grad():
        _, predicted, of_class, _, _ = Graph(net)(images, target, boxes)
        torch.testing.assert_close(predicted, net.backbone.forward_features(images).sum(1).relu())
    torch.testing.assert_close(predicted, of_class)


def test_a_larger_picture_is_averaged_for_raw_and_cropped_as_it_is():
    net = network("gholm_convnext_mini", crop_from="original", crop_scale=2)
    images = torch.randn(2, 3, 128, 128, dtype=torch.float64)
    boxes = torch.tensor([[0, 0, 64, 64], [3, 5, 40, 33]])
    with torch.no_grad():
        raw, _, _, crop_logits, crop = Graph(net)(images, torch.tensor([0, 1]), boxes)
        torch.testing.assert_close(raw, net.classify(net.seen(images)))
        torch.testing.assert_close(crop, net.crops(images, boxes))
        torch.testing.assert_close(crop_logits, net.classify(crop))


@pytest.mark.parametrize("backbone", ["mobilenetv3_small_050", "vgg11"])
def test_a_head_with_more_in_it_is_refused_by_name(backbone):
    with pytest.raises(ExportError, match=rf"^{backbone} cannot be exported: .* Take a ConvNeXt"):
        Graph(network(backbone))


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"cam_layer": "norm"}, 'cam_layer is "norm"'), ({"test_flip": True}, "test_flip is on")],
)
def test_settings_that_the_graph_does_not_have_are_named(settings, words):
    with pytest.raises(ExportError, match=words):
        Graph(network("gholm_convnext_mini", **settings))
