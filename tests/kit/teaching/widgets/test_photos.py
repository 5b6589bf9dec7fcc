"""The explorer: every control moves what it says, any file is taken or refused, and it goes on afterwards."""

import io
from datetime import datetime, timezone

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from gholm_kit.teaching.figures.photos import ExplorerFigure, explorer_panel, short
from gholm_kit.teaching.photos import Photo, look, read_photo
from gholm_kit.teaching.widgets import photos
from gholm_kit.teaching.widgets.photos import Explorer, render
from gholm_lib.config import Config
from gholm_lib.datasets import Sample
from gholm_lib.loading import to_input
from gholm_lib.model import GHOLMNet

matplotlib.use("Agg")
CLASSES = ("Ash Wren", "Bay Wren", "Cob Wren")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = GHOLMNet("gholm_convnext_mini", 3, False, Config(weights="none", image_size=48, resize=56))
    with torch.no_grad():
        net.backbone.get_classifier().weight.normal_(0, 0.3)
    return net.eval()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Two pictures of the first class, three of the second, none of the third."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    found = []
    for i, label in enumerate((0, 0, 1, 1, 1)):
        path = folder / f"{i}.png"
        Image.fromarray(rng.integers(0, 255, (60, 60, 3), np.uint8)).save(path)
        found.append(Sample(path, label, path.name))
    return found


@pytest.fixture
def shown(net, samples):
    return Explorer(net, samples, CLASSES)


@pytest.fixture(scope="module")
def in_use(net, samples):
    """An explorer that is passed from test to test, as from hand to hand."""
    return Explorer(net, samples, CLASSES)


def upload(shown: Explorer, content: bytes, name: str = "mine.png") -> None:
    """As the browser does it."""
    file = {
        "name": name,
        "type": "image/png",
        "size": len(content),
        "content": memoryview(content),
        "last_modified": datetime(2024, 5, 1, tzinfo=timezone.utc),
    }
    shown.upload.value = (file,)


def png(size=(90, 45), colour=(200, 60, 30)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


# ---------------------------------------------------------------------- render


def test_render_draws_a_wide_png_and_says_what_it_shows(net, samples):
    photo = read_photo(samples[0].path)
    drawn, words = render(net, CLASSES, photo, 1.7, 1.5, label=0)
    image = Image.open(io.BytesIO(drawn))
    assert image.format == "PNG"
    assert image.width > 1200  # for a projector
    assert image.width / image.height > 16 / 9  # room for the sliders above
    seen = look(net, to_input(photo.image, net.config), 1.7, 1.5)
    said = CLASSES[int(seen.logits["both"].argmax())]
    assert f"Raw + Crop: {said}" in words
    assert f"the crop is {100 * seen.box_share:.0f} %" in words
    assert f"{100 * float(seen.erased_mask.float().mean()):.0f} % erased" in words
    assert matplotlib.pyplot.get_fignums() == []


def test_right_and_wrong_are_marked_only_where_the_truth_is_known(net, samples):
    photo = read_photo(samples[0].path)
    raw = int(look(net, to_input(photo.image, net.config), 1.7, 1.5).logits["raw"].argmax())
    assert f"Raw says {CLASSES[raw]}" in render(net, CLASSES, photo, 1.7, 1.5)[1]
    assert not set("✓✗") & set(render(net, CLASSES, photo, 1.7, 1.5)[1])
    marked = render(net, CLASSES, photo, 1.7, 1.5, label=raw)[1].split(". The heatmap")[0]
    assert marked.endswith("✓")
    marked = render(net, CLASSES, photo, 1.7, 1.5, label=(raw + 1) % 3)[1].split(". The heatmap")[0]
    assert marked.endswith("✗")


def test_an_empty_mask_is_told(net, samples):
    assert (
        "whole picture, because no pixel is above μ"
        in render(net, CLASSES, read_photo(samples[0].path), 1e9, 1.5)[1]
    )


def test_long_names_keep_their_ends():
    cut = short("Chevrolet Silverado 1500 Classic Extended Cab 2007", 26)
    assert len(cut) == 26
    assert cut.startswith("Chevrolet Silv")
    assert cut.endswith("2007")
    assert short("Ash Wren", 26) == "Ash Wren"


LONG = ("Chevrolet Silverado 1500 Classic Extended Cab 2007", "WWWWWWWWWWWWWWWWWWWWWWWWWWW", "红腹角雉" * 12)


def test_a_step_of_a_slider_gives_the_same_pixels_as_a_new_figure(net, samples):
    """Only changed panels are drawn again, and nothing of the old ones is left; whatever the order of the steps."""
    photos_ = [read_photo(samples[0].path), read_photo(samples[3].path, "another " * 9)]
    steps = [(0, 1.7, 1.5), (0, 2.4, 1.5), (0, 2.4, 0.6), (1, 2.4, 0.6), (1, 1e9, 0.6), (0, 1.7, 1.5)]
    kept = ExplorerFigure(LONG, net.config)
    for which, mu, theta in steps:
        seen = look(net, to_input(photos_[which].image, net.config), mu, theta)
        kept.show(seen, mu, theta, photos_[which].name, label=1)
        new = ExplorerFigure(LONG, net.config)
        new.show(seen, mu, theta, photos_[which].name, label=1)
        assert kept.png(50) == new.png(50)


def test_moving_theta_draws_two_panels_again(net, samples):
    photo, kept = read_photo(samples[0].path), ExplorerFigure(CLASSES, net.config)
    for theta in (1.5, 0.6):
        kept.show(look(net, to_input(photo.image, net.config), 1.7, theta), 1.7, theta, photo.name)
        drawn = len(kept._changed)
        kept.png(50)
    assert drawn == 2


@pytest.mark.parametrize("classes", [LONG, CLASSES], ids=["long", "short"])
def test_no_text_reaches_into_another_panels_place(net, samples, classes):
    """As drawn, in pixels: the panels' places do not overlap, and each text lies in its own."""
    photo = read_photo(samples[0].path)
    seen = look(net, to_input(photo.image, net.config), 1.7, 1.5)
    kept = ExplorerFigure(classes, net.config)
    kept.show(seen, 1.7, 1.5, "a name that is much longer than the picture is wide.jpg", label=0)
    kept.png(110)
    renderer = kept._canvas.get_renderer()
    for ax in kept.axes:
        place = kept._place(ax)
        assert sum(place.padded(-1).overlaps(kept._place(other)) for other in kept.axes) == 1
        for text in [*ax.texts, ax.title]:
            ends = text.get_window_extent(renderer)
            assert place.x0 <= ends.x0 <= ends.x1 <= place.x1, text.get_text()
            assert place.y0 <= ends.y0 <= ends.y1 <= place.y1, text.get_text()


def test_it_says_how_many_classes_it_knows(shown, net, samples):
    assert "one of the 3 classes that the network knows; it cannot name any other" in shown.alt
    photo = read_photo(samples[0].path)
    seen = look(net, to_input(photo.image, net.config), 1.7, 1.5)
    fig = explorer_panel(seen, CLASSES, net.config, 1.7, 1.5, "a", source="small print")
    assert fig._supxlabel.get_text() == "knows 3 classes and cannot name any other · small print"


# ---------------------------------------------------------------------- controls


@pytest.fixture(autouse=True)
def small_pictures(request, monkeypatch):
    """Drawing takes most of the time; only the first test is about the picture's size."""
    if "wide_png" not in request.node.name:
        monkeypatch.setattr(photos, "DPI", 35)


@pytest.mark.parametrize(
    ("control", "value", "said"),
    [
        ("mu", 2.5, "μ = 2.50"),
        ("theta", 0.5, "θ = 0.50"),
        ("number", 2, "Ash Wren 2/2"),
        ("picture", ("class", 1), "Bay Wren 1/3"),
        ("target", 2, "The heatmap is for Cob Wren"),
    ],
)
def test_each_control_redraws_and_is_told(shown, control, value, said):
    before = shown.image.value
    assert said not in shown.alt
    shown.controls[control].value = value
    assert shown.image.value != before
    assert said in shown.alt
    assert shown.error is None


def test_fill_redraws(shown):
    pictures = []
    for fill in ("mean", "black", "noise", "channel_mean"):
        shown.controls["fill"].value = fill
        pictures.append(shown.image.value)
    assert len(set(pictures)) == 4


def test_it_starts_with_the_settings_of_the_network(net, samples):
    net.config = net.config.replace(mu=2.1, fill="noise")
    try:
        values = Explorer(net, samples, CLASSES).values
    finally:
        net.config = net.config.replace(mu=1.7, fill="mean")
    assert (values["mu"], values["fill"], values["target"]) == (2.1, "noise", photos.PREDICTED)


def test_moving_mu_runs_no_heatmap_again(shown, net, monkeypatch):
    calls = []
    plain = net.raw_and_heat
    monkeypatch.setattr(net, "raw_and_heat", lambda *a: calls.append(1) or plain(*a))
    shown.controls["mu"].value = 2.0
    shown.controls["theta"].value = 2.0
    assert calls == []
    shown.controls["number"].value = 2
    assert calls == [1]


def test_a_class_without_pictures_is_not_offered_but_its_heat_is(shown):
    assert [name for name, _ in shown.controls["picture"].options] == list(CLASSES[:2])
    assert ("Cob Wren", 2) in shown.controls["target"].options


def test_a_number_past_the_last_picture_shows_the_last(shown):
    shown.controls["picture"].value = ("class", 1)
    shown.controls["number"].value = 3
    shown.controls["picture"].value = ("class", 0)
    assert "Ash Wren 2/2" in shown.alt


# ---------------------------------------------------------------------- uploads


def test_an_upload_is_shown_and_told_how_it_gets_in(shown):
    before = shown.image.value
    upload(shown, png())
    assert shown.image.value != before
    assert shown.alt.startswith("mine.png: Raw says")
    assert "90 × 45 pixels, squeezed 2 to 1 into a square of 56 × 56" in shown.notice.value
    assert shown.controls["picture"].value == ("photo", 0)
    assert shown.upload.value == ()  # the same file may be taken again


def test_between_uploads_and_classes_one_can_go_back_and_forth(shown):
    upload(shown, png(), "one.png")
    first = shown.image.value
    upload(shown, png(colour=(0, 90, 200)), "one.png")
    assert [name for name, _ in shown.controls["picture"].options] == [
        "2. one.png",
        "1. one.png",
        *CLASSES[:2],
    ]
    assert shown.image.value != first
    shown.controls["picture"].value = ("class", 0)
    assert "Ash Wren" in shown.alt
    shown.controls["picture"].value = ("photo", 0)
    assert shown.image.value == first


def test_an_upload_is_drawn_once(shown, monkeypatch):
    calls = []
    plain = shown.render
    monkeypatch.setattr(shown, "render", lambda **values: calls.append(1) or plain(**values))
    upload(shown, png())
    assert calls == [1]


def twelve_bits(size=(40, 40)) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.linspace(0, 4095, size[0] * size[1]).astype(np.uint16).reshape(size)).save(
        stream, "PNG"
    )
    return stream.getvalue()


def test_an_upload_with_more_bits_is_shown_and_told(shown):
    upload(shown, twelve_bits())
    assert "its values run from 0 to 4095 and are scaled as 12 bits" in shown.notice.value
    assert shown.photos[-1].image.getpixel((39, 39)) == (255, 255, 255)


def test_what_was_done_to_a_picture_of_the_set_is_told_while_it_is_shown(net, samples, tmp_path):
    (tmp_path / "deep.png").write_bytes(twelve_bits())
    deep = Sample(tmp_path / "deep.png", 2, "deep.png")
    shown = Explorer(net, [*samples, deep], CLASSES)
    assert shown.notice.value == ""
    shown.controls["picture"].value = ("class", 2)
    assert "4095 as white" in shown.notice.value
    shown.controls["mu"].value = 2.2
    assert "4095 as white" in shown.notice.value
    shown.controls["picture"].value = ("class", 0)
    assert shown.notice.value == ""


def test_what_was_done_to_a_photo_given_at_the_start_is_told(net, samples):
    shown = Explorer(net, samples, CLASSES, [read_photo(twelve_bits(), "scan")])
    assert "40 × 40 pixels" in shown.notice.value
    assert "4095 as white" in shown.notice.value


def test_a_refusal_stays_until_another_picture_is_chosen(shown):
    upload(shown, b"", "nothing.jpg")
    shown.controls["mu"].value = 2.2
    assert "nothing.jpg is empty" in shown.notice.value
    shown.controls["number"].value = 2
    assert shown.notice.value == ""


BAD = {
    "is empty": b"",
    "not a picture": b"<html>",
    "truncated": png((300, 300))[:200],
    "megapixels, the limit": None,  # made below: it takes a moment
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_upload_gets_one_sentence_and_the_explorer_goes_on(in_use, reason):
    content = BAD[reason]
    if content is None:
        stream = io.BytesIO()
        Image.new("1", (8000, 8000)).save(stream, "PNG")
        content = stream.getvalue()
    shown = in_use
    before, values = shown.image.value, shown.values
    upload(shown, content, "<b>odd</b>.jpg")
    assert reason in shown.notice.value
    assert 'role="alert"' in shown.notice.value
    assert "&lt;b&gt;odd" in shown.notice.value  # a file's name is text, not a piece of the page
    assert (shown.image.value, shown.values) == (before, values)
    shown.controls["mu"].value += 0.3
    assert shown.image.value != before
    upload(shown, png())
    assert "alert" not in shown.notice.value
    assert shown.alt.startswith("mine.png")


def test_kinds_of_pictures_that_need_care_are_shown(in_use):
    shown = in_use
    for mode in ("L", "LA", "P", "CMYK", "I;16"):
        stream = io.BytesIO()
        if mode == "I;16":
            image = Image.fromarray(np.full((40, 40), 30000, np.uint16))
        else:
            image = Image.new("RGB", (40, 40), (90, 20, 20)).convert(mode)
        image.save(stream, "TIFF" if mode == "CMYK" else "PNG")
        upload(shown, stream.getvalue(), f"{mode}.file")
        assert shown.alt.startswith(f"{mode}.file: Raw says"), shown.notice.value
    photo = shown.photos[-1].image
    assert photo.getpixel((5, 5)) == (30000 >> 8,) * 3


def test_a_photo_given_at_the_start_is_shown_first(net, samples):
    photo = Photo(Image.new("RGB", (50, 50), (9, 99, 9)), "meadow")
    shown = Explorer(net, samples, CLASSES, [photo])
    assert shown.alt.startswith("meadow")
    assert shown.controls["picture"].options[0] == ("1. meadow", ("photo", 0))


def test_photos_alone_are_enough(net, samples):
    alone = Explorer(
        net, [], CLASSES, [read_photo(s.path, name) for s, name in zip(samples, "ab", strict=False)]
    )
    assert [name for name, _ in alone.controls["picture"].options] == ["2. b", "1. a"]
    assert alone.alt.startswith("b: Raw says")
    alone.controls["target"].value = 2
    assert "heatmap is for Cob Wren" in alone.alt
