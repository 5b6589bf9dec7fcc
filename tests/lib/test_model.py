"""The branches of GHOLM-Net, put together again by hand from the parts tested elsewhere."""

from __future__ import annotations

import contextlib
import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gholm_lib import losses, masking
from gholm_lib.config import Config, ConfigError
from gholm_lib.gradcam import gradcam, upsample
from gholm_lib.model import GHOLMNet
from tests.rounding import assert_same, of_network, share_off

pytestmark = pytest.mark.numeric

CLASSES = 5
MINI = "gholm_convnext_mini2"
BACKBONES = [MINI, "mobilenetv2_100", "resnet18"]
SWITCHES = [
    {"crop": crop, "sup": sup, "drop": drop}
    for crop, sup, drop in itertools.product([False, True], repeat=3)
    if crop or not sup  # sup needs crop
]


def make(backbone: str = MINI, *, seed: int = 0, kwargs: dict | None = None, **settings) -> GHOLMNet:
    """In float64, so that no pixel at the edge of a mask hangs on rounding."""
    torch.manual_seed(seed)
    net = GHOLMNet(backbone, CLASSES, False, Config(weights="none", **settings), **(kwargs or {}))
    with torch.no_grad():  # timm starts ConvNeXt's classifier at .02: maps and logits would all be alike
        net.backbone.get_classifier().weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(1))
    return net.double().eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(8)).double()


@pytest.fixture(scope="module")
def labels() -> Tensor:
    return torch.tensor([0, 3, 3, 1])


@contextlib.contextmanager
def calls_of(backbone: nn.Module, name: str = "forward_features"):
    """Batch sizes of the calls of one method."""
    sizes, plain = [], getattr(backbone, name)

    def counted(x, *args, **kwargs):
        sizes.append(len(x))
        return plain(x, *args, **kwargs)

    setattr(backbone, name, counted)
    try:
        yield sizes
    finally:
        delattr(backbone, name)


# ---------------------------------------------------------------------- branches


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda s: "+".join(["raw", *(k for k in s if s[k])]))
def test_the_switches_give_exactly_the_right_terms(switches, images, labels):
    net = make(**switches)
    out = net(images, labels)
    assert set(out.losses) == {"raw", "total"} | {name for name, on in switches.items() if on}
    assert (out.crop_logits is not None) == switches["crop"]
    assert (out.drop_logits is not None) == switches["drop"]
    assert (out.heat is not None) == (switches["crop"] or switches["drop"])
    assert (out.crop_boxes is not None) == (switches["crop"] or switches["drop"])
    assert (out.drop_mask is not None) == switches["drop"]
    total = out.losses["raw"] + (out.losses["crop"] if switches["crop"] else 0)
    total = total + (0.2 * out.losses["drop"] if switches["drop"] else 0)
    total = total + (out.losses["sup"] if switches["sup"] else 0)
    assert_same(out.losses["total"], total)
    for name, logits in [("raw", out.raw_logits), ("crop", out.crop_logits), ("drop", out.drop_logits)]:
        if name in out.losses:
            assert logits.shape == (4, CLASSES)
            assert_same(out.losses[name], F.cross_entropy(logits, labels))
    assert all(value.ndim == 0 and value.requires_grad for value in out.losses.values())


def test_gamma_and_the_weight_of_sup(images, labels):
    terms = make(gamma=0.5, sup_weight=3.0)(images, labels).losses
    expected = terms["raw"] + terms["crop"] + 0.5 * terms["drop"] + 3 * terms["sup"]
    assert_same(terms["total"], expected)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_branches_step_by_step(backbone, images, labels):
    """Everything that forward does, written out with the library's parts, one image at a time."""
    net = make(backbone, theta_low=1.3, theta_high=1.3)  # a fixed theta, so nothing is random
    out = net(images, labels)
    body = net.backbone
    for i, image in enumerate(images.split(1)):
        features = body.forward_features(image)
        raw = body.forward_head(features)
        heat = upsample(gradcam(body.forward_head, features), 64)
        box = masking.largest_component_boxes(masking.threshold(heat, 1.7), 8)
        x0, y0, x1, y1 = box[0].tolist()
        piece = F.interpolate(image[:, :, y0:y1, x0:x1], (64, 64), mode="bilinear", align_corners=False)
        erased = image * (heat <= 1.3 * heat.mean())
        assert_same(out.raw_logits[i], raw[0])
        assert_same(out.heat[i], heat[0])
        assert torch.equal(out.crop_boxes[i], box[0])
        assert torch.equal(out.drop_mask[i], (erased != image).any(1)[0])
        assert_same(out.crop_logits[i], body(piece)[0])
        assert_same(out.drop_logits[i], body(erased)[0])
    z, all_labels = torch.cat([out.raw_logits, out.crop_logits]), labels.repeat(2)
    assert_same(out.losses["sup"], losses.supcon_loss(z, all_labels))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_crop_and_drop_in_one_batch_are_the_two_run_apart(backbone, images, labels):
    settings = {"theta_low": 1.3, "theta_high": 1.3, "sup": False}
    both = make(backbone, **settings)(images, labels)
    crop = make(backbone, drop=False, **settings)(images, labels)
    drop = make(backbone, crop=False, **settings)(images, labels)
    assert_same(both.crop_logits, crop.crop_logits)
    assert_same(both.drop_logits, drop.drop_logits)
    assert torch.equal(both.crop_boxes, crop.crop_boxes)
    assert torch.equal(both.drop_mask, drop.drop_mask)
    assert not torch.allclose(both.crop_logits, both.drop_logits, atol=1e-3)


def test_without_labels_there_are_no_losses(images, labels):
    net = make(theta_low=1.5, theta_high=1.5)
    out, with_labels = net(images), net(images, labels)
    assert out.losses is None
    for name in ("raw_logits", "crop_logits", "drop_logits", "heat"):
        assert_same(getattr(out, name), getattr(with_labels, name))
    for name in ("crop_boxes", "drop_mask"):
        assert torch.equal(getattr(out, name), getattr(with_labels, name))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_predict_gives_raw_and_crop_and_their_sum_is_the_answer(backbone, images):
    net = make(backbone)
    raw, crop = net.predict(images)
    out = net.attend(images)
    assert_same(raw, out.raw_logits)
    assert_same(crop, out.crop_logits)
    assert_same(out.logits, raw + crop)
    assert out.drop_logits is None  # Drop is training only
    assert out.drop_mask is None
    assert not raw.requires_grad
    with torch.no_grad():
        trained = net(images)
    assert_same(trained.raw_logits, raw)
    assert_same(trained.crop_logits, crop)
    # the answer does not depend on the branches that were trained
    alone = make(backbone, crop=False, sup=False, drop=False)
    for ours, theirs in zip(alone.predict(images), (raw, crop), strict=True):
        assert_same(ours, theirs)
    assert_same(alone(images).logits, raw)


def test_the_map_of_a_prediction_is_of_the_predicted_class_even_if_training_took_labels(images):
    a, b = make(cam_class="predicted"), make(cam_class="label")
    assert_same(a.attend(images).heat, b.attend(images).heat)


def test_the_class_of_the_map(images, labels):
    net = make(cam_class="label", sup=False, drop=False)
    with torch.no_grad():
        expected = gradcam(net.head, net.backbone.forward_features(images), labels)
    assert_same(net(images, labels).heat, upsample(expected, 64))
    assert (net(images).raw_logits.argmax(1) != labels).any()
    assert not torch.allclose(net(images, labels).heat, make(sup=False, drop=False)(images, labels).heat)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])
def test_prediction_in_inference_mode_and_under_autocast(backbone, mode, dtype, images):
    net = make(backbone)
    expected = net.predict(images)[0]
    net, images = net.float(), images.float()
    with mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        raw, crop = net.predict(images)
        heat = net.heatmap(images)
        assert net(images).logits.shape == (4, CLASSES)
    assert (raw.dtype, heat.dtype) == (dtype, torch.float32)
    assert torch.isfinite(crop.float()).all()
    assert share_off(raw.double(), expected) <= of_network(net, dtype)


# ---------------------------------------------------------------------- one forward for the map


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("training", [True, False])
def test_a_full_step_runs_the_backbone_twice(backbone, training, images, labels):
    """Raw, then Crop and Drop together: 4 and 8 images. GradCAM adds no run."""
    net = make(backbone).train(training)
    with calls_of(net.backbone) as sizes:
        net(images, labels).losses["total"].backward()
    assert sizes == [4, 8]
    with calls_of(net.backbone) as sizes:
        net.predict(images)
    assert sizes == [4, 4]
    with calls_of(net.backbone) as sizes:
        net.heatmap(images)
    assert sizes == [4]


@pytest.mark.parametrize("layer", ["depthwise", "norm"])
def test_the_other_taps_run_the_backbone_no_more_often(layer, images, labels):
    net = make(cam_layer=layer)
    with calls_of(net.backbone) as sizes:
        net(images, labels)
    assert sizes == [4, 8]


def test_raw_alone_runs_once_and_draws_no_map(images, labels):
    net = make(crop=False, sup=False, drop=False)
    with calls_of(net.backbone) as sizes, calls_of(net.backbone, "forward_head") as heads:
        out = net(images, labels)
    assert (sizes, heads) == ([4], [4])
    assert out.attention is None
    assert out.heat is None


# ---------------------------------------------------------------------- gradients


def term_gradient(net: GHOLMNet, images: Tensor, labels: Tensor, term: str) -> Tensor:
    net.zero_grad()
    net(images, labels).losses[term].backward()
    first = next(net.backbone.parameters())
    return torch.zeros_like(first) if first.grad is None else first.grad.clone()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_branch_reaches_the_first_layer(backbone, images, labels):
    net = make(backbone, theta_low=1.5, theta_high=1.5)
    gradients = {t: term_gradient(net, images, labels, t) for t in ("raw", "crop", "drop", "sup", "total")}
    assert all(torch.isfinite(g).all() and g.abs().max() > 0 for g in gradients.values())
    summed = gradients["raw"] + gradients["crop"] + 0.2 * gradients["drop"] + gradients["sup"]
    assert_same(gradients["total"], summed)
    assert not torch.allclose(gradients["raw"], gradients["crop"])


def test_no_gradient_flows_through_box_or_map(images):
    net = make(sup=False)
    out = net(images.clone().requires_grad_())
    assert not out.heat.requires_grad
    assert not out.crop_boxes.is_floating_point()
    assert not out.drop_mask.is_floating_point()


def test_a_few_steps_lower_the_loss(images, labels):
    net = make(theta_low=1.5, theta_high=1.5).train()
    nn.init.normal_(net.backbone.get_classifier().weight, std=0.02)
    optimiser, history = torch.optim.SGD(net.parameters(), lr=0.005, momentum=0.9), []
    for _ in range(8):
        optimiser.zero_grad()
        loss = net(images, labels).losses["total"]
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < history[0] - 0.5


# ---------------------------------------------------------------------- z of eq. (11)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_readings_of_z(backbone, images, labels):
    values = {}
    for reading in ("logits", "features", "projection"):
        net = make(backbone, z=reading, theta_low=1.5, theta_high=1.5)
        out = net(images, labels)
        crops = masking.crop(images, out.crop_boxes, 64)
        pooled = [
            net.backbone.forward_head(net.backbone.forward_features(x), pre_logits=True)
            for x in (images, crops)
        ]
        width = net.backbone.get_classifier().in_features
        assert pooled[0].shape == (4, width)
        if reading == "logits":
            z = torch.cat([out.raw_logits, out.crop_logits])
            assert net.projection is None
        else:
            z = torch.cat(pooled)
            if reading == "projection":
                first, _, last = net.projection
                assert (first.in_features, first.out_features) == (width, width)
                assert (last.in_features, last.out_features) == (width, 128)
                z = net.projection(z)
        expected = losses.supcon_loss(z, labels.repeat(2), 0.7, "negatives", True, "mean")
        assert_same(out.losses["sup"], expected)
        values[reading] = out.losses["sup"].item()
        gradient = term_gradient(net, images, labels, "sup")
        assert gradient.abs().max() > 0
        assert net.projection is None or net.projection[0].weight.grad.abs().max() > 0
    assert len({round(v, 4) for v in values.values()}) == 3


@pytest.mark.parametrize(
    "reading",
    [{"tau": 0.07}, {"denominator": "all"}, {"normalize": False}, {"reduction": "sum"}],
    ids=lambda r: next(iter(r)),
)
def test_the_readings_of_the_loss_reach_it(reading, images, labels):
    out = make(**reading)(images, labels)
    names = {"tau": "temperature"}
    arguments = {names.get(k, k): v for k, v in reading.items()}
    z = torch.cat([out.raw_logits, out.crop_logits])
    expected = losses.supcon_loss(z, labels.repeat(2), **arguments)
    assert_same(out.losses["sup"], expected)
    assert not torch.isclose(expected, losses.supcon_loss(z, labels.repeat(2)))


def test_drop_takes_no_part_in_the_contrast(images, labels):
    settings = {"theta_low": 1.5, "theta_high": 1.5}
    with_drop = make(**settings)(images, labels).losses["sup"]
    assert_same(with_drop, make(drop=False, **settings)(images, labels).losses["sup"])


# ---------------------------------------------------------------------- theta, fill and seeds


@pytest.mark.parametrize("per", ["image", "batch"])
def test_theta_lies_in_its_range(per):
    net = make(theta_per=per)
    torch.manual_seed(0)
    drawn = torch.stack([net._theta(torch.empty(6, 3, 1, 1)) for _ in range(2000)])
    assert drawn.shape == (2000, 6)
    assert drawn.min() >= 1
    assert drawn.max() < 2
    assert drawn.min() < 1.02
    assert drawn.max() > 1.98
    assert drawn.mean() == pytest.approx(1.5, abs=0.05)  # the standard error is .0065 at most
    one_value = (drawn == drawn[:, :1]).all()
    assert one_value == (per == "batch")


@pytest.mark.parametrize("per", ["image", "batch"])
def test_the_mask_is_heat_above_theta_times_its_mean(per, images, labels, monkeypatch):
    drawn = torch.tensor([0.1, 0.9, 0.4, 0.6])

    def rand(count, **_):
        assert count == (4 if per == "image" else 1)
        return drawn[:count]

    monkeypatch.setattr(torch, "rand", rand)
    out = make(theta_per=per, theta_low=0.5, theta_high=2.5)(images, labels)
    thetas = 0.5 + 2 * (drawn if per == "image" else drawn[:1].repeat(4))
    for heat, theta, mask in zip(out.heat.numpy(), thetas.tolist(), out.drop_mask.numpy(), strict=True):
        assert ((heat > theta * heat.mean()) == mask).all()
    assert out.drop_mask.any()
    assert not out.drop_mask.all()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_same_seed_gives_the_same_output(backbone, images, labels):
    runs = []
    for seed in (5, 5, 6):
        net = make(backbone, kwargs={"drop_rate": 0.2}).train()
        torch.manual_seed(seed)
        out = net(images, labels)
        runs.append((out.raw_logits, out.losses["total"].detach(), out.drop_mask))
    (*first, mask), (*again, same_mask), (*other, other_mask) = runs
    for value, same, another in zip(first, again, other, strict=True):
        assert_same(value, same)
        assert share_off(another, value) > 1e-3  # dropout and theta move far more than rounding
    assert torch.equal(mask, same_mask)
    assert not torch.equal(mask, other_mask)


@pytest.mark.parametrize("fill", ["black", "channel_mean"])
def test_the_fill_and_the_colours_of_the_config_reach_the_erasure(fill, images):
    colours = {"image_mean": (0.1, 0.2, 0.3), "image_std": (0.5, 0.4, 0.25)}
    net = make(fill=fill, crop=False, sup=False, theta_low=1.2, theta_high=1.2, **colours)
    out = net(images)
    paint = {
        "black": -torch.tensor([0.2, 0.5, 1.2], dtype=torch.float64).view(1, 3, 1, 1),
        "channel_mean": images.mean((2, 3), keepdim=True),
    }
    erased = torch.where(out.drop_mask[:, None], paint[fill], images)
    assert_same(out.drop_logits, net.backbone(erased))


# ---------------------------------------------------------------------- boxes and fall-backs


def test_an_all_zero_map_gives_the_whole_image_and_is_counted(images, labels):
    """A classifier of zeros has no gradient, so no image has a map."""
    net = make()
    nn.init.zeros_(net.backbone.get_classifier().weight)
    for out in (net(images, labels), net.attend(images)):
        assert (out.heat == 0).all()
        assert out.crop_boxes.tolist() == [[0, 0, 64, 64]] * 4
        assert out.attention.fallback.tolist() == [True] * 4
        assert out.attention.box_area.tolist() == [1.0] * 4
        assert_same(out.crop_logits, out.raw_logits)
    out = net(images, labels)
    assert not out.drop_mask.any()  # nothing is erased either
    assert torch.isfinite(out.losses["total"])
    out.losses["total"].backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_one_empty_map_in_a_batch_is_counted_alone(images):
    """ResNet's map of a class whose weights are all negative is zero; the other classes keep theirs."""
    net = make("resnet18", cam_class="label", sup=False, mu=1.01)
    with torch.no_grad():
        net.backbone.fc.weight[0] = -1.0
        net.backbone.fc.weight[1] = 1.0
    out = net(images, torch.tensor([1, 0, 1, 1]))
    assert out.attention.fallback.tolist() == [False, True, False, False]
    assert out.crop_boxes[1].tolist() == [0, 0, 64, 64]
    assert out.attention.box_area[1] == 1
    assert (out.attention.box_area[[0, 2, 3]] < 1).all()


def test_box_area_is_a_share_of_the_image(images):
    out = make(crop_min_size=0.5, crop_square=True).attend(images)
    x0, y0, x1, y1 = out.crop_boxes.T
    torch.testing.assert_close(out.attention.box_area, (x1 - x0) * (y1 - y0) / 64**2)
    assert (out.attention.box_area >= 0.25).all()
    assert torch.equal(x1 - x0, y1 - y0)


def test_the_readings_of_the_box_reach_it(images):
    plain = make().attend(images)
    padded = make(crop_padding=0.2).attend(images)
    expected = masking.adjust_boxes(plain.crop_boxes, (64, 64), padding=0.2)
    assert torch.equal(padded.crop_boxes, expected)
    with_margin = make(crop_margin=0.2).attend(images)
    expected = masking.adjust_boxes(plain.crop_boxes, (64, 64), margin=0.2)
    assert torch.equal(with_margin.crop_boxes, expected)
    assert not torch.equal(expected, plain.crop_boxes)
    mask = masking.threshold(plain.heat, 1.1)
    for connectivity in ("4", "8"):
        out = make(mu=1.1, connectivity=connectivity).attend(images)
        assert torch.equal(out.crop_boxes, masking.largest_component_boxes(mask, int(connectivity)))


# ---------------------------------------------------------------------- backbones, modes, formats


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_coarse_map_is_that_of_gradcam(backbone, images):
    net, target = make(backbone), torch.tensor([1, 4, 0, 2])
    raw, cam = net.raw_and_map(images, target)
    features = net.backbone.forward_features(images)
    assert_same(raw, net.head(features))
    assert_same(cam, gradcam(net.head, features, target))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("size", [(64, 96), (80, 48)])
def test_the_heatmap_of_an_image_that_is_not_square(backbone, size):
    net = make(backbone)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)).double()
    heat = net.heatmap(images, torch.tensor([1, 4]))
    assert heat.shape == (2, *size)
    assert (heat >= 0).all()
    cam = gradcam(net.head, net.backbone.forward_features(images), torch.tensor([1, 4]))
    assert cam.shape[1] != cam.shape[2]
    assert_same(heat, upsample(cam, size))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_channels_last_makes_no_difference(backbone, images):
    """In float64 to masks and maps; in float32, for which convolutions have code of their own, to the logits."""
    settings = {"theta_low": 1.5, "theta_high": 1.5}
    last = make(backbone, channels_last=True, **settings)
    last.to(memory_format=torch.channels_last)
    first = make(backbone, channels_last=False, **settings)
    with torch.no_grad():
        a, b = last(images), first(images)
        x, y = (net.float().attend(images.float()).raw_logits for net in (last, first))
    assert torch.equal(a.crop_boxes, b.crop_boxes)
    for name in ("raw_logits", "crop_logits", "drop_logits", "heat"):
        assert_same(getattr(a, name), getattr(b, name))
    assert share_off(x, y) <= of_network(first)


@pytest.mark.parametrize(
    ("backbone", "more"),
    [
        (MINI, {"drop_path": 0.3}),
        (MINI, {"cam_layer": "depthwise"}),
        ("resnet18", {"freeze_batchnorm": True}),
    ],
)
def test_checkpointing_changes_no_number(backbone, more, images, labels):
    """Stochastic depth included: the second computation must draw what the first one drew."""
    drop_path = {"drop_path_rate": more["drop_path"]} if "drop_path" in more else {}
    found = []
    for checkpointing in (False, True):
        net = make(backbone, checkpointing=checkpointing, kwargs=drop_path, **more).train()
        calls = []
        layer = [m for m in net.backbone.modules() if isinstance(m, nn.Conv2d)][-1]
        layer.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(3)
        out = net(images, labels)
        out.losses["total"].backward()
        found.append((out.losses, {k: p.grad for k, p in net.named_parameters()}, len(calls)))
    (plain, gradients, calls), (losses_, again, more_calls) = found
    assert more_calls == 2 * calls  # it was in force
    for ours, theirs in ((losses_, plain), (again, gradients)):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert_same(ours[name], value)


@pytest.mark.parametrize(
    ("backbone", "message"), [("resnet18", "freeze_batchnorm"), ("vgg11", "checkpointing")]
)
def test_checkpointing_where_it_cannot_be(backbone, message):
    with pytest.raises(ConfigError, match=message):
        make(backbone, checkpointing=True)


def norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize("backbone", ["mobilenetv2_100", "resnet18"])
@pytest.mark.parametrize("frozen", [True, False])
def test_freeze_batchnorm_keeps_the_running_statistics(backbone, frozen, images, labels):
    torch.manual_seed(0)
    net = GHOLMNet(backbone, CLASSES, False, Config(weights="none", freeze_batchnorm=frozen)).double()
    assert all(m.training == (not frozen) for m in norms(net))  # from the start, before train()
    for _ in range(2):
        net.eval().train()
        before = copy.deepcopy(dict(net.named_buffers()))
        net(images, labels).losses["total"].backward()
        kept = all(torch.equal(v, before[k]) for k, v in net.named_buffers())
        assert kept == frozen
        assert all(m.training == (not frozen) for m in norms(net))
    assert net.training
    assert norms(net)[0].weight.grad is not None  # scale and shift still learn


def test_evaluation_moves_no_statistics_and_no_random_state(images):
    net = make("mobilenetv2_100", kwargs={"drop_rate": 0.3})
    state, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    net.predict(images)
    net.heatmap(images)
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(m.training for m in net.modules())


@pytest.mark.parametrize("layer", ["depthwise", "norm"])
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenetv2_100"])
def test_the_other_layers_need_a_convnext(backbone, layer):
    with pytest.raises(ConfigError, match=f'cam_layer="{layer}" needs a timm ConvNeXt.*"features"'):
        make(backbone, cam_layer=layer)


@pytest.mark.parametrize("layer", ["depthwise", "norm"])
def test_the_other_layers_train(layer, images, labels):
    net = make(cam_layer=layer, kwargs={"drop_path_rate": 0.1, "drop_rate": 0.1}).train()
    net(images, labels).losses["total"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_from_config_builds_what_the_config_says():
    config = Config(weights="none", drop_path=0.2, z="projection")
    net = GHOLMNet.from_config(config, 7)
    assert net.config == config
    assert net.backbone.get_classifier().out_features == 7
    assert net.backbone.stages[-1].blocks[-1].drop_path.drop_prob == pytest.approx(0.2)
    assert net.projection is not None
    options = ("output_stride=16", "global_pool=max")
    config = Config(weights="none", backbone="resnet18", backbone_options=options)
    plain = GHOLMNet.from_config(config, 7)
    assert type(plain.backbone).__name__ == "ResNet"
    assert plain.backbone.forward_features(torch.zeros(2, 3, 64, 64)).shape[2:] == (4, 4)
    assert plain.backbone.global_pool.pool_type == "max"


def test_the_config_names_the_backbone_that_was_built():
    net = GHOLMNet("resnet50", 10)
    assert net.config == Config(backbone="resnet50", weights="none")
    assert GHOLMNet("resnet18", 3, config=Config(mu=1.9)).config.backbone == "resnet18"
    assert GHOLMNet(MINI, 3).config == Config(weights="none")
    assert GHOLMNet(MINI, 3, pretrained=True).config == Config()


def test_a_network_can_be_built_again_from_its_config():
    net = GHOLMNet("resnet18", 3, output_stride=16, global_pool="max")
    again = GHOLMNet.from_config(net.config, 3)
    assert again.config == net.config
    assert str(again) == str(net)
    assert str(again) != str(GHOLMNet("resnet18", 3))


def test_a_batch_of_one_works(images, labels):
    out = make()(images[:1], labels[:1])
    assert out.losses["sup"] == 0  # an image and its own crop have no negatives
    assert torch.isfinite(out.losses["total"])


# The first three classify by a 1 x 1 convolution; MobileNetV3 has a hidden layer before its classifier.
@pytest.mark.slow
@pytest.mark.parametrize("z", ["logits", "features", "projection"])
@pytest.mark.parametrize("backbone", ["dpn48b", "resnetv2_50x1_bit", "dla46_c", "mobilenetv3_small_050"])
def test_every_z_of_heads_that_are_no_plain_linear_layer(backbone, z):
    torch.manual_seed(0)
    config = Config(z=z, freeze_batchnorm=True, image_size=64, resize=64)
    net = GHOLMNet(backbone, 3, config=config)
    out = net(torch.randn(4, 3, 64, 64), torch.tensor([0, 0, 1, 2]))
    out.losses["total"].backward()
    assert torch.isfinite(out.losses["sup"])
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    if net.projection is not None:
        assert net.projection[0].weight.grad.abs().sum() > 0


# ---------------------------------------------------------------------- other readings, and controls


def test_crops_from_the_original_are_cut_from_the_larger_picture():
    """By hand: Raw from the average pool, the crop by slicing and F.interpolate, without grid_sample."""
    net = make(crop_from="original", image_size=32, drop=False)
    large = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(3)).double()
    out = net.attend(large)
    small = F.avg_pool2d(large, 2)
    assert torch.allclose(out.raw_logits, net.classify(small))
    assert out.heat.shape == (3, 32, 32)
    boxes = out.crop_boxes.tolist()
    assert any(box != [0, 0, 32, 32] for box in boxes)
    for image, (x0, y0, x1, y1), logits in zip(large, boxes, out.crop_logits, strict=True):
        piece = image[None, :, 2 * y0 : 2 * y1, 2 * x0 : 2 * x1]
        crop = F.interpolate(piece, (32, 32), mode="bilinear", align_corners=False)
        assert torch.allclose(logits[None], net.classify(crop))


def test_a_picture_of_the_wrong_size_is_refused(images):
    net = make(crop_from="original", image_size=64)
    with pytest.raises(
        ValueError, match=r"needs images of 128 pixels, crop_scale 2 times image_size 64, got 64"
    ):
        net.attend(images)


def test_controls_move_the_box_and_keep_its_size(images):
    plain = make(drop=False).attend(images).crop_boxes
    sides = plain[:, 2:] - plain[:, :2]
    centre = make(drop=False, crop_box="centre").attend(images)
    assert torch.equal(centre.crop_boxes[:, :2], (64 - sides) // 2)
    place = torch.tensor([[0.0, 0.0], [0.999, 0.999], [0.0, 0.999], [0.5, 0.5]])
    moved = make(drop=False, crop_box="random").attend(images, place).crop_boxes
    assert torch.equal(moved[:, 2:] - moved[:, :2], sides)
    assert moved[0, :2].tolist() == [0, 0]
    assert moved[1, 2:].tolist() == [64, 64]
    aim = torch.tensor([[3.0, 4.0, 30.0, 50.0]]).repeat(4, 1)
    for kind in ("object", "parts"):
        net = make(drop=False, crop_box=kind)
        out = net.attend(images, aim)
        assert torch.equal(out.crop_boxes, aim.long())
        by_hand = F.interpolate(images[:, :, 4:50, 3:30], (64, 64), mode="bilinear")
        assert torch.allclose(out.crop_logits, net.classify(by_hand))
        assert torch.equal(net(images, None, aim).crop_boxes, aim.long())
        with pytest.raises(ValueError, match=f'crop_box="{kind}" needs the aim that ImageView gives'):
            net.attend(images)


def test_the_whole_picture_again_is_the_aim_itself(images):
    net = make(drop=False, crop_box="whole")
    out = net.attend(images, images.flip(-1))
    assert torch.allclose(out.crop_logits, net.classify(images.flip(-1)))
    assert out.crop_boxes.tolist() == [[0, 0, 64, 64]] * 4


@pytest.mark.parametrize("answer", ["logits", "probabilities"])
def test_what_is_added_at_test(images, answer):
    out = make(answer=answer).attend(images)
    if answer == "logits":
        assert torch.equal(out.logits, out.raw_logits + out.crop_logits)
    else:
        mean = (out.raw_logits.softmax(1) + out.crop_logits.softmax(1)) / 2
        assert torch.allclose(out.logits.exp(), mean)


@pytest.mark.parametrize("answer", ["logits", "probabilities"])
def test_with_a_flip_an_image_and_its_mirror_image_get_one_answer(images, answer):
    net = make(answer=answer, test_flip=True)
    here, there = net.attend(images), net.attend(images.flip(-1))
    for name in ("raw_logits", "crop_logits", "logits"):
        assert torch.allclose(getattr(here, name), getattr(there, name))
    once = [make(answer=answer).attend(x).raw_logits for x in (images, images.flip(-1))]
    mean = sum(once) / 2 if answer == "logits" else (sum(x.softmax(1) for x in once) / 2).log()
    assert torch.allclose(here.raw_logits, mean)
    assert torch.allclose(net.attend_raw(images), here.raw_logits)


def test_boxes_of_the_coarse_mask_end_at_its_cells(images):
    net = make(crop_mask="coarse", drop=False)
    out = net.attend(images)
    features = net.backbone.forward_features(images)
    cam = gradcam(net.head, features)
    cell = 64 // cam.shape[-1]
    assert (out.crop_boxes % cell == 0).all()
    coarse = masking.largest_component_boxes(masking.threshold(cam, 1.7))
    hot = masking.threshold(cam, 1.7).flatten(1).any(1)
    assert torch.equal(out.crop_boxes[hot], coarse[hot] * cell)
    with pytest.raises(ConfigError, match="boxes need the coarse map"):
        net.boxes(out.heat)


def test_thresholds_in_maxima_reach_both_masks(images):
    net = make(mu=0.5, mu_times="max", theta_low=0.4, theta_high=0.4, theta_times="max")
    out = net(images)
    peak = out.heat.amax((1, 2))[:, None, None]
    assert torch.equal(out.drop_mask, out.heat > 0.4 * peak)
    assert torch.equal(out.crop_boxes, masking.largest_component_boxes(out.heat > 0.5 * peak))


@pytest.mark.parametrize("settings", [{"raw_weight": 2.0}, {"branch_losses": "mean"}])
def test_weights_of_the_branches_reach_the_total(images, labels, settings):
    found = make(sup=False, gamma=0.5, **settings)(images, labels).losses
    raw, crop, drop = (found[k] for k in ("raw", "crop", "drop"))
    total = 2 * raw + crop + 0.5 * drop if "raw_weight" in settings else (raw + crop + 0.5 * drop) / 2.5
    assert torch.allclose(found["total"], total)
