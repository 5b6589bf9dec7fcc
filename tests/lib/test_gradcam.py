"""GradCAM against three libraries written by others, plain autograd, and hand-made cases."""

from __future__ import annotations

import contextlib
import copy

import cv2
import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from gholm_lib.config import Config
from gholm_lib.gradcam import NonFiniteError, channel_weights, class_map, gradcam, upsample
from gholm_lib.model import GHOLMNet, Tap
from tests.rounding import assert_same, by_pytorch_grad_cam, enlarged_by_opencv, of_weighted_sum

pytestmark = pytest.mark.numeric

CLASSES = 7
# Backbone → the module whose output is what forward_features returns.
LAST_LAYER = {"gholm_convnext_mini": "stages", "mobilenetv2_100": "bn2", "resnet18": "layer4"}
GIVEN = [6, 1, 2, 4]  # classes of the four images when they are not the predicted ones
targets = pytest.mark.parametrize("given", [False, True], ids=["predicted", "given"])


def make_backbone(name: str, **kwargs) -> nn.Module:
    """Random weights in float64, but a classifier strong enough that maps and classes are not all alike."""
    torch.manual_seed(3)
    model = timm.create_model(name, pretrained=False, num_classes=CLASSES, **kwargs)
    with torch.no_grad():
        model.get_classifier().weight.normal_(0, 0.3)
    return model.double().eval()


def make_net(name: str = "gholm_convnext_mini", config: Config | None = None, **kwargs) -> GHOLMNet:
    return GHOLMNet(name, CLASSES, False, config or Config(weights="none"), **kwargs).double()


@pytest.fixture(scope="module", params=list(LAST_LAYER))
def backbone(request) -> tuple[nn.Module, nn.Module]:
    model = make_backbone(request.param)
    return model, model.get_submodule(LAST_LAYER[request.param])


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(4, 3, 80, 80, generator=torch.Generator().manual_seed(11)).double()


@pytest.fixture(scope="module")
def features(backbone, images) -> torch.Tensor:
    with torch.no_grad():
        return backbone[0].forward_features(images)


# ---------------------------------------------------------------------- oracles


@targets
def test_same_map_as_captum(backbone, images, features, given):
    model, layer = backbone
    classes = torch.tensor(GIVEN) if given else model(images).argmax(1)
    theirs = LayerGradCam(model, layer).attribute(images, target=classes, relu_attributions=True)
    ours = gradcam(model.forward_head, features, classes if given else None)
    assert_same(ours, theirs[:, 0])


@targets
def test_same_map_as_torch_cam(backbone, images, features, given):
    methods = pytest.importorskip("torchcam.methods")
    model, layer = backbone
    with methods.GradCAM(model, target_layer=layer) as extractor:
        scores = model(images)
        classes = GIVEN if given else scores.argmax(1).tolist()
        (theirs,) = extractor(classes, scores, normalized=False)
    ours = gradcam(model.forward_head, features, torch.tensor(GIVEN) if given else None)
    assert_same(ours, theirs)


@targets
def test_pytorch_grad_cam_is_the_min_max_of_ours(backbone, images, features, given):
    """That library scales each map to 0..1, enlarges it with OpenCV, and scales it again."""
    model, layer = copy.deepcopy(backbone)  # it overwrites .grad
    with GradCAM(model, [layer]) as extractor:
        wanted = [ClassifierOutputTarget(c) for c in GIVEN] if given else None
        theirs = torch.from_numpy(extractor(images.clone(), wanted))
    ours = gradcam(backbone[0].forward_head, features, torch.tensor(GIVEN) if given else None)
    shown = ours.amax((1, 2)) > 0  # a map of zeros has no minimum and maximum to scale by
    assert shown.sum() >= 3
    maps = upsample(ours, images.shape[-1])[shown]
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    assert ((maps - low) / (high - low) - theirs[shown]).abs().max() <= by_pytorch_grad_cam(ours[shown])


def test_channel_weights_are_the_mean_gradient_of_one_image_at_a_time(backbone, features):
    """Eq. (1), one image and one class at a time, so that a sum over the batch cannot hide a mix-up."""
    model, _ = backbone
    weights = channel_weights(model.forward_head, features, torch.tensor(GIVEN))
    for i, c in enumerate(GIVEN):
        a = features[i : i + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model.forward_head(a)[0, c], a)
        expected = gradient[0].sum((1, 2)) / (a.shape[2] * a.shape[3])
        assert_same(weights[i], expected)


def test_linear_head_by_hand():
    """Mean pooling and a linear layer W: a_k^c = W[c, k] / (h w), eq. (2) is then arithmetic."""
    w = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 3.0, 0.25]])
    a = torch.tensor([[[[1.0, 2.0]], [[0.0, 1.0]], [[4.0, 4.0]]]])  # (1, 3, 1, 2)

    def head(x):
        return x.mean((2, 3)) @ w.T

    torch.testing.assert_close(channel_weights(head, a, torch.tensor([0])), w[:1] / 2)
    torch.testing.assert_close(gradcam(head, a, torch.tensor([0])), torch.tensor([[[1.5, 1.0]]]))
    # class 1: (-1 + 0 + 1) / 2 and (-2 + 3 + 1) / 2; logits are 0.5 * (6, 2), so class 0 is predicted
    torch.testing.assert_close(gradcam(head, a, torch.tensor([1])), torch.tensor([[[0.0, 1.0]]]))
    assert head(a).argmax(1).tolist() == [0]
    torch.testing.assert_close(gradcam(head, a), gradcam(head, a, torch.tensor([0])))


def test_unweighted_is_the_relu_of_the_channel_sum(backbone, features):
    model, _ = backbone
    a = features - features.sum(1).median() / features.shape[1]  # so that the ReLU has work to do
    expected = torch.einsum("bkij->bij", a).clamp(min=0)
    assert 0 < (expected == 0).float().mean() < 1
    assert_same(gradcam(model.forward_head, a, weighted=False), expected)

    def unused(_):
        raise AssertionError("the printed form needs no gradient")

    assert_same(gradcam(unused, a, weighted=False), expected)


@pytest.mark.parametrize("size", [(80, 80), (64, 96), (33, 50)])
def test_upsample_agrees_with_torch_and_opencv(size):
    cam = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    ours = upsample(cam, size)
    theirs = F.interpolate(cam.unsqueeze(1), size=size, mode="bilinear", align_corners=False)
    assert_same(ours, theirs.squeeze(1))
    for mine, small in zip(ours.numpy(), cam.numpy(), strict=True):
        enlarged = cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR)
        assert np.abs(mine - enlarged).max() <= enlarged_by_opencv(cam)


def test_upsample_takes_one_number_for_a_square():
    cam = torch.rand(2, 4, 4).double()
    assert_same(upsample(cam, 32), upsample(cam, (32, 32)))


# ---------------------------------------------------------------------- in any context


@contextlib.contextmanager
def bf16():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_same_map_in_every_grad_mode(backbone, images, features, context):
    model, _ = backbone
    plain = gradcam(model.forward_head, features, torch.tensor(GIVEN))
    with context():
        # Under inference_mode images, features and classes are all tensors autograd refuses.
        a = model.forward_features(images)
        inside = gradcam(model.forward_head, a, torch.tensor(GIVEN))
        predicted = gradcam(model.forward_head, a)
    assert not inside.requires_grad
    assert_same(inside.clone(), plain)
    assert_same(predicted.clone(), gradcam(model.forward_head, features))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_autocast_bf16_is_close_and_float32(backbone, images, features, context):
    """In bf16 are the classifier's weights and what their gradient goes through in the head: four roundings."""
    model, _ = backbone
    weights = channel_weights(model.forward_head, features, torch.tensor(GIVEN))
    plain = class_map(features, weights)
    model, images, small = copy.deepcopy(model).float(), images.float(), features.float()
    with context(), bf16():
        model.forward_head(model.forward_features(images))  # fills autocast's cache of cast weights
        cam = gradcam(model.forward_head, small, torch.tensor(GIVEN))
    assert cam.dtype == torch.float32
    bound = of_weighted_sum(weights[:, :, None, None] * features, torch.bfloat16, roundings=4)
    assert ((cam.clone() - plain).abs() <= bound).all()
    assert bound.max() < 0.05 * plain.max()  # so that this says something


@pytest.mark.parametrize(
    ("given", "found"),
    [(torch.float16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
)
def test_maps_are_at_least_float32(given, found):
    a = torch.rand(2, 4, 3, 3).to(given)
    for weighted in (True, False):
        assert gradcam(linear_head(dtype=given), a, weighted=weighted).dtype == found


def test_bf16_features_are_summed_in_float32():
    """A running sum in bf16 would stop growing at 256."""
    a = torch.ones(1, 1000, 2, 2, dtype=torch.bfloat16)
    with bf16():
        assert class_map(a, None).tolist() == [[[1000.0, 1000.0], [1000.0, 1000.0]]]
        assert class_map(a, torch.ones(1, 1000)).tolist() == [[[1000.0, 1000.0], [1000.0, 1000.0]]]


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", LAST_LAYER)
def test_leaves_no_trace(name, images, training):
    """Model, gradients gathered so far, flags, hooks, batch-norm statistics and random state stay."""
    net = make_net(name, drop_rate=0.5)
    net.train(training)
    with torch.no_grad():
        a = net.backbone.forward_features(images)
    net(images, torch.tensor(GIVEN)).losses["total"].backward()  # gradients that must survive
    gradients = [p.grad.clone() for p in net.parameters()]
    next(net.backbone.children()).eval()  # a module that someone froze
    state = copy.deepcopy(net.state_dict())
    flags = [(m.training, len(m._forward_hooks), len(m._backward_hooks)) for m in net.modules()]
    requires = [p.requires_grad for p in net.parameters()]
    random = torch.get_rng_state()
    cam, check = net._cam(Tap(a, net.head), net.backbone.get_classifier()(a.mean((2, 3))), None)
    check(torch.isfinite(cam).flatten(1).all(1))

    assert torch.equal(torch.get_rng_state(), random)
    assert [p.requires_grad for p in net.parameters()] == requires
    assert [(m.training, len(m._forward_hooks), len(m._backward_hooks)) for m in net.modules()] == flags
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), gradients, strict=True))
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())


def test_the_training_graph_survives_a_map(images):
    """The features still carry their graph, and the map adds nothing to their gradient."""
    model = make_backbone("resnet18")
    model(images).sum().backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    a = model.forward_features(images)
    assert not gradcam(model.forward_head, a).requires_grad
    model.forward_head(a).sum().backward()
    for p, gradient in zip(model.parameters(), expected, strict=True):
        assert_same(p.grad, gradient)


@pytest.mark.parametrize("name", LAST_LAYER)
def test_dropout_in_the_head_does_not_reach_the_map(name, images):
    """In training the map is that of the network without dropout, of the class predicted *with* it.

    timm's ResNet and MobileNet call F.dropout with the backbone's own flag, ConvNeXt has a module.
    """
    net = make_net(name, drop_rate=0.9)
    with torch.no_grad():
        net.backbone.get_classifier().weight.normal_(0, 0.3)
        a = net.eval().backbone.forward_features(images)
        plain = gradcam(net.head, a, torch.tensor(GIVEN))
        net.train()
        assert not torch.equal(net.head(a), net.head(a))  # dropout is really on
        cam, _ = net._cam(Tap(a, net.head), F.one_hot(torch.tensor(GIVEN), CLASSES).double(), None)
    assert net.backbone.training
    assert_same(cam, plain)


# ---------------------------------------------------------------------- NaN and infinity


def linear_head(classes: int = 3, channels: int = 4, dtype: torch.dtype = torch.float32):
    weight = torch.randn(classes, channels, generator=torch.Generator().manual_seed(1)).to(dtype)
    return lambda x: x.mean((2, 3)) @ weight.T


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("channel", range(4))  # of either sign of weight: ReLU must not hide -inf
def test_a_bad_feature_is_reported_with_its_image(value, channel, weighted):
    a = torch.rand(5, 4, 3, 3)
    a[1, channel, 0, 2] = a[4, channel, 2, 2] = value
    with pytest.raises(NonFiniteError, match=r"the features A of image\(s\) \[1, 4\]"):
        gradcam(linear_head(), a, torch.zeros(5, dtype=torch.int64), weighted)


def test_a_bad_gradient_is_reported_with_its_image():
    """sqrt has an infinite slope at 0: the features are fine, dy/dA is not."""

    def head(x):
        return x.sum((2, 3)).sqrt()

    a = torch.rand(3, 2, 2, 2) + 0.1
    a[2] = 0.0
    with pytest.raises(NonFiniteError, match=r"the gradient dy/dA of image\(s\) \[2\]"):
        gradcam(head, a, torch.zeros(3, dtype=torch.int64))


def test_an_overflow_of_the_sum_is_reported():
    a = torch.full((2, 4, 2, 2), 1.0)
    a[1] = 3e38
    with pytest.raises(NonFiniteError, match=r"the map \(overflow\) of image\(s\) \[1\]"):
        gradcam(linear_head(), a, weighted=False)


@pytest.mark.parametrize("call", ["forward", "forward_train", "attend", "heatmap"])
@pytest.mark.parametrize("name", LAST_LAYER)
def test_the_network_reports_a_bad_image(name, images, call):
    net = make_net(name).eval()
    bad = images.clone()
    bad[2, 0, 40, 40] = torch.nan
    labels = torch.tensor(GIVEN)
    calls = {
        "forward": lambda: net(bad),
        "forward_train": lambda: net(bad, labels),
        "attend": lambda: net.attend(bad),
        "heatmap": lambda: net.heatmap(bad),
    }
    with pytest.raises(NonFiniteError, match=r"the features A of image\(s\) \[2\]"):
        calls[call]()


def test_the_network_reports_a_bad_classifier(images):
    """Weights that have gone to NaN: features are finite, so the message must point at the gradient."""
    net = make_net("resnet18").eval()
    with torch.no_grad():
        net.backbone.fc.weight[:, 5] = torch.nan
    for call in (net, net.attend, net.heatmap):
        with pytest.raises(NonFiniteError, match=r"the gradient dy/dA of image\(s\) \[0, 1, 2, 3\]"):
            call(images)


@pytest.mark.parametrize("layer", ["depthwise", "norm"])
def test_the_other_taps_report_a_bad_image(images, layer):
    net = make_net(config=Config(weights="none", cam_layer=layer))
    bad = images.clone()
    bad[1] = torch.inf
    with pytest.raises(NonFiniteError, match=r"the features A of image\(s\) \[1\]"):
        net.eval().heatmap(bad)


def test_features_must_be_maps(unchecked_shapes):
    with pytest.raises(ValueError, match=r"\(B, C, h, w\), got shape \(2, 5, 8\)"):
        gradcam(linear_head(), torch.rand(2, 5, 8))


# ---------------------------------------------------------------------- which layer, which class


def reference_heat(model: nn.Module, images: torch.Tensor, layer: nn.Module, classes) -> torch.Tensor:
    theirs = LayerGradCam(model, layer).attribute(images, target=classes, relu_attributions=True)
    return F.interpolate(theirs.detach(), images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


@targets
@pytest.mark.parametrize(
    "kwargs",
    [{}, {"ls_init_value": 0.3, "conv_mlp": True}, {"use_grn": True, "depths": (1, 1, 1, 2)}],
    ids=["mini", "layer_scale_conv_mlp", "grn"],
)
def test_depthwise_tap_is_captum_on_that_convolution(images, kwargs, given):
    net = make_net(config=Config(weights="none", cam_layer="depthwise"), **kwargs).eval()
    classes = torch.tensor(GIVEN) if given else net.backbone(images).argmax(1)
    conv = net.backbone.stages[-1].blocks[-1].conv_dw
    ours = net.heatmap(images, classes if given else None)
    assert_same(ours, reference_heat(net.backbone, images, conv, classes))
    assert not conv._forward_hooks
    assert_same(net(images).raw_logits, net.backbone(images))  # tapping changes no logits


@targets
def test_norm_tap_is_a_network_that_normalises_before_pooling(images, given):
    """timm has such a ConvNeXt (head_norm_first); with the same weights captum must give our map."""
    net = make_net(config=Config(weights="none", cam_layer="norm")).eval()
    other = timm.create_model("gholm_convnext_mini", num_classes=CLASSES, head_norm_first=True)
    other = other.double().eval()
    names = {"head.norm.weight": "norm_pre.weight", "head.norm.bias": "norm_pre.bias"}
    other.load_state_dict({names.get(k, k): v for k, v in net.backbone.state_dict().items()})
    # The predicted class is that of the real network, whose norm comes after the pooling.
    classes = torch.tensor(GIVEN) if given else net.backbone(images).argmax(1)
    ours = net.heatmap(images, classes if given else None)
    assert_same(ours, reference_heat(other, images, other.norm_pre, classes))


def test_the_three_layers_give_three_maps(images):
    maps = []
    for layer in ("features", "depthwise", "norm"):
        torch.manual_seed(0)
        maps.append(make_net(config=Config(weights="none", cam_layer=layer)).eval().heatmap(images))
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        assert (maps[a] - maps[b]).abs().max() > 1e-3 * maps[a].abs().max()


@pytest.mark.parametrize("layer", ["features", "depthwise", "norm"])
def test_label_class_against_predicted(images, layer):
    """cam_class="label" takes the map of the labels; both settings agree when labels are the predictions."""
    nets = {}
    for which in ("predicted", "label"):
        torch.manual_seed(0)
        config = Config(weights="none", cam_class=which, cam_layer=layer, drop=False, sup=False)
        nets[which] = make_net(config=config).eval()
    predicted = nets["predicted"](images).raw_logits.argmax(1)
    labels = (predicted + 1) % CLASSES
    heat = {which: net(images, labels).heat for which, net in nets.items()}
    assert_same(heat["predicted"], nets["predicted"].heatmap(images))
    assert_same(heat["label"], nets["label"].heatmap(images, labels))
    assert not torch.allclose(heat["label"], heat["predicted"])
    assert_same(nets["label"](images, predicted).heat, heat["predicted"])
    assert_same(nets["label"](images).heat, heat["predicted"])  # no labels: the predicted class
