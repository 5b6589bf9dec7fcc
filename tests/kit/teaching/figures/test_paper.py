"""The paper's figures show what the network computed: numbers behind the pictures, not the pictures."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from matplotlib.text import Text
from PIL import Image

from gholm_kit import style
from gholm_kit.reproduction.sheets import some_images
from gholm_kit.teaching.figures import paper
from gholm_lib.backbone import create_backbone
from gholm_lib.config import Config
from gholm_lib.datasets import FineGrainedData, Sample
from gholm_lib.gradcam import gradcam
from gholm_lib.loading import to_input
from gholm_lib.model import GHOLMNet
from tests.rounding import assert_same

CONFIG = Config(weights="none", image_size=64, resize=72)


@pytest.fixture
def sample(tmp_path) -> Sample:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((80, 70), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    return Sample(tmp_path / "a.png", 1, "a.png")


@pytest.fixture
def net() -> GHOLMNet:
    torch.manual_seed(0)
    net = GHOLMNet.from_config(CONFIG, 3)
    torch.nn.init.normal_(net.backbone.get_classifier().weight, 0, 0.3)
    return net.eval()


def texts(fig) -> str:
    inside = (t for ax in fig.axes for t in (*ax.texts, ax.title))
    return "\n".join(t.get_text() for t in (*inside, *fig.texts)) + (fig.get_supxlabel() or "")


@pytest.mark.numeric
def test_following_an_image_gives_what_the_network_gives(net, sample, monkeypatch):
    monkeypatch.setattr(paper, "to_input", lambda *args: to_input(*args).double())
    path = paper.follow(net.double(), sample)
    image = to_input(Image.open(sample.path), CONFIG)[None].double()
    with torch.no_grad():
        out = net.attend(image)
        features = net.backbone.forward_features(image)
    assert_same(path.raw, out.raw_logits[0])
    assert_same(path.cropped, out.crop_logits[0])
    assert path.box == out.crop_boxes[0].tolist()
    summed = (path.weights[:, None, None] * path.features).sum(0).relu()  # eq. (2)
    assert_same(summed, gradcam(net.head, features)[0])
    hidden = path.heat > 1.5 * path.heat.mean()
    assert np.allclose(path.erased[hidden], CONFIG.image_mean, atol=1e-5)
    assert np.allclose(path.erased[~hidden], path.picture[~hidden])


def test_a_crop_from_the_original_is_shown_as_the_network_sees_it(net, sample):
    net.config = CONFIG.replace(crop_from="original")
    path = paper.follow(net, sample)
    assert path.picture.shape == path.crop.shape == (64, 64, 3)
    assert path.heat.shape == (64, 64)
    shown = torch.from_numpy(path.crop).permute(2, 0, 1)[None].float()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CONFIG.image_mean, CONFIG.image_std))
    with torch.no_grad():
        logits = net.classify((shown - mean) / std)[0]
    assert torch.allclose(logits, path.cropped, atol=0.05)


def test_figure_2_names_every_loss_and_gamma(net, sample):
    shown = texts(paper.whole_network(paper.follow(net, sample), CONFIG.replace(gamma=0.3)))
    for name in ("L_{raw}", "L_{crop}", "0.3", "L_{drop}", "L_c", "drawn teaching data"):
        assert name in shown


def test_figure_3_shows_the_largest_weights(net, sample):
    path = paper.follow(net, sample)
    shown = texts(paper.gradcam_flow(path, CONFIG))
    largest = path.weights[path.weights.abs().argmax()]
    assert f"{largest:+.3f}" in shown
    assert f"4 of {len(path.weights)}" in shown


def test_figure_4_reads_the_block_from_the_network():
    with torch.device("meta"):
        small, mini = timm.create_model("convnext_small"), create_backbone(Config.backbone, 2, "none")
    steps = paper.block_steps(small)
    assert steps[0] == "depthwise convolution 7 × 7\n768 channels"
    assert steps[1:4] == ["layer norm", "1 × 1 up\n768 → 3072", "GELU"]
    assert steps[-1] == "times γ (layer scale)"
    assert len(paper.block_steps(mini)) == 5  # no layer scale
    assert "112 → 448" in texts(paper.convnext_block({"mini": mini}))


def test_the_outline_of_a_convnext_shows_the_shapes_of_its_stages():
    backbone = timm.create_model("convnext_atto", num_classes=5).eval()
    shapes = paper.stage_shapes(backbone, 64)
    channels = [stage["num_chs"] for stage in backbone.feature_info]
    strides = [stage["reduction"] for stage in backbone.feature_info]
    assert [shape for _, shape in shapes[1:]] == [
        (c, 64 // s, 64 // s) for c, s in zip(channels, strides, strict=True)
    ]
    said = texts(paper.convnext_outline(backbone, 64, 5))
    assert "backbone" in said
    assert "head" in said
    assert style.times(320, 2, 2) in said
    assert "logits y\n(5)" in said


def test_figure_6_says_what_was_not_run(net, sample):
    path = paper.follow(net, sample)
    fig = paper.branch_grid([("mini_birds", "✓ a", path), ("mini_cars", "not run", None)])
    shown = texts(fig)
    assert shown.count("not run") == 1
    assert all(name in shown for name in ("mini birds", "✓ a", "mini cars", "drawn teaching data"))
    assert [len(ax.images) for ax in fig.axes[:4]] == [1, 2, 1, 1]  # the heatmap lies over the image
    assert len(fig.axes) == 5, "four pictures and the colour bar; none for what was not run"


LONG = "Chevrolet Silverado 2500HD Regular Cab 2012"  # the longest of the cars' names has 46 letters


@pytest.mark.parametrize("images", [1, 2, 3])
@pytest.mark.parametrize("said", ["Moonring Spire Crookbeak", LONG, "长尾缝叶莺" * 6])
def test_no_text_of_figure_6_touches_another_and_all_is_legible_on_a_slide(net, sample, images, said):
    path = paper.follow(net, sample)
    names = ("mini_birds", "mini_cars", "mini_aircraft", "mini_dogs")
    captions = {name: paper.mistake("Moonring Spire Crookbeak", "Quillan Hearth Dog") for name in names}
    captions["mini_cars"] = paper.mistake(said, LONG)
    columns = [(name, captions[name], path) for name in names for _ in range(images)]
    fig = paper.branch_grid(columns)
    fig.canvas.draw()
    texts = [t for t in fig.findobj(Text) if t.get_text() and t.get_visible()]
    boxes = [t.get_window_extent() for t in texts]
    for k, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        touched = [t.get_text() for t, other in zip(texts[:k], boxes, strict=False) if box.overlaps(other)]
        assert not touched, text.get_text()
        covered = [
            ax for ax in fig.axes if ax.images and ax.get_window_extent().shrunk(0.99, 0.99).overlaps(box)
        ]
        assert not covered, text.get_text()
        assert box.x0 >= 0
        assert box.x1 <= fig.bbox.width
    if images < 3:  # six lines of pictures are higher than a slide
        scale = min(1168 / fig.get_figwidth(), 600 / fig.get_figheight())  # a slide's pixels per inch
        assert min(t.get_fontsize() for t in texts) * scale / 72 >= 18


def test_figure_6_names_a_data_set_once(net, sample):
    path = paper.follow(net, sample)
    columns = [(name, "✓ a", path) for name in ("birds", "cars") for _ in range(2)]
    assert [t.get_text() for t in paper.branch_grid(columns).texts].count("birds") == 1
    assert "birds" not in texts(paper.branch_grid(columns[:2])), "of one set, no name is needed"


def test_a_verdict_says_the_class_and_whether_it_is_right():
    logits = torch.tensor([0.0, 2.0, 1.0])
    assert paper.verdict(logits, 1, ("a", "b", "c")) == "✓ b"
    assert paper.verdict(logits, 0, ("a", "b", "c")) == "✗ says b\nis a"


def test_nobody_picks_the_images_of_figure_6(tmp_path):
    test = tuple(Sample(tmp_path / f"{k}", k % 5, str(k)) for k in range(50))
    data = FineGrainedData("set", tmp_path, tuple("abcde"), (), test)
    first = some_images(data, 3, seed=0)
    assert first == some_images(data, 3, seed=0)
    assert len({s.label for s in first}) == 3
    others = {s.image_id for seed in range(20) for s in some_images(data, 3, seed)}
    assert len(others) > 20
