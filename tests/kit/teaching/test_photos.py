"""Whatever file people bring: it is read rightly, or refused in one sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from gholm_kit.teaching import photos
from gholm_kit.teaching.photos import PhotoError, attend, look, read_photo, top, way_in
from gholm_lib.config import IMAGENET_MEAN, IMAGENET_STD, Config
from gholm_lib.gradcam import gradcam, upsample
from gholm_lib.model import GHOLMNet
from tests.rounding import assert_same

pytestmark = pytest.mark.numeric

RED, GREEN = (220, 30, 20), (20, 180, 60)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def left_red(mode: str = "RGB", size=(64, 32)) -> Image.Image:
    """Left half red, right half green."""
    image = Image.new("RGB", size, GREEN)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def colours(photo: photos.Photo) -> tuple:
    """Of the middle of the left and of the right half."""
    assert photo.image.mode == "RGB"
    width, height = photo.image.size
    return tuple(photo.image.getpixel((x, height // 2)) for x in (width // 4, 3 * width // 4))


def near(found, wanted, tolerance=6):
    assert np.abs(np.array(found, int) - np.array(wanted, int)).max() <= tolerance, (found, wanted)


def png16(grey: np.ndarray) -> bytes:
    """A 16-bit RGB PNG by hand: Pillow writes only 16-bit grey. grey (H, W, 3) uint16."""
    height, width, _ = grey.shape

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# ---------------------------------------------------------------------- what is read


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {"lossless": True})]
)
def test_common_files_keep_their_colours(kind, options):
    photo = read_photo(encoded(left_red(), kind, **options), "a.file")
    near(colours(photo), (RED, GREEN))
    assert (photo.name, photo.notes) == ("a.file", ())


def test_a_memoryview_and_a_path_are_read_too(tmp_path):
    path = tmp_path / "bird.png"
    path.write_bytes(encoded(left_red()))
    assert read_photo(path).name == "bird.png"
    near(colours(read_photo(memoryview(path.read_bytes()), "x")), colours(read_photo(str(path))), 0)


def test_cmyk_becomes_rgb():
    photo = read_photo(encoded(left_red("CMYK"), "JPEG", quality=95))
    near(colours(photo), (RED, GREEN))
    assert "CMYK" in photo.notes[0]


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_black_and_white(mode):
    half = Image.new("L", (64, 32), 255)
    half.paste(0, (0, 0, 32, 32))
    assert colours(read_photo(encoded(half.convert(mode)))) == ((0, 0, 0), (255, 255, 255))


def test_transparent_grey_becomes_white():
    image = Image.new("LA", (64, 32), (100, 255))
    image.paste((100, 0), (32, 0, 64, 32))
    photo = read_photo(encoded(image))
    assert colours(photo) == ((100, 100, 100), (255, 255, 255))
    assert "white" in photo.notes[0]


def test_half_transparent_colours_are_mixed_with_white():
    photo = read_photo(encoded(Image.new("RGBA", (64, 32), (0, 0, 0, 127))))
    near(colours(photo), ((128, 128, 128),) * 2, 1)


def test_a_palette_with_a_transparent_colour():
    image = Image.new("P", (64, 32), 0)
    image.putpalette([*RED, *GREEN])
    image.paste(1, (32, 0, 64, 32))
    photo = read_photo(encoded(image, transparency=1))
    assert colours(photo) == (RED, (255, 255, 255))
    assert "white" in photo.notes[0]


def test_of_an_animation_the_first_frame_is_taken():
    frames = [left_red(), Image.new("RGB", (64, 32), (0, 0, 255)), Image.new("RGB", (64, 32))]
    photo = read_photo(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    near(colours(photo), (RED, GREEN))
    assert photo.notes == ("only the first of its 3 frames is used",)


def test_sixteen_bit_grey_is_scaled_not_clipped():
    grey = np.full((32, 64), 0x4000, np.uint16)
    grey[:, 32:] = 0xC000
    assert colours(read_photo(encoded(Image.fromarray(grey)))) == ((64, 64, 64), (192, 192, 192))


def test_sixteen_bit_colour():
    values = np.zeros((32, 64, 3), np.uint16)
    values[:, :32] = [0xFF00, 0x8000, 0]
    assert colours(read_photo(png16(values))) == ((255, 128, 0), (0, 0, 0))


# Orientation → how the stored picture has to be turned (EXIF 2.32, tag 0x0112).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    6: Image.Transpose.ROTATE_90,  # stored a quarter turn to the left of upright
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNS)
def test_a_photo_is_turned_upright_by_its_exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = left_red().transpose(TURNS[orientation])
    photo = read_photo(encoded(stored, "JPEG", exif=exif, quality=95))
    assert photo.image.size == (64, 32)
    near(colours(photo), (RED, GREEN))
    assert "EXIF" in photo.notes[0]


# ---------------------------------------------------------------------- what is refused


def too_many_pixels(side: int) -> bytes:
    """A PNG of side x side black pixels, a few kilobytes long."""
    return encoded(Image.new("1", (side, side)))


REFUSED = {
    "is empty": b"",
    "not a picture": b"dear network, what is this?",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "not a picture .*JPEG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "damaged or truncated": encoded(left_red(size=(640, 320)), "JPEG")[:1500],
    r"damaged or truncated \(": encoded(Image.effect_noise((64, 64), 50))[:900],
    "64 megapixels, the limit is 50": too_many_pixels(8000),
    "far more than 50 megapixels": too_many_pixels(20000),
    "has 51 MB, the limit is 50": b"\xff\xd8" + b"\0" * 51_000_000,
}


@pytest.mark.parametrize("reason", REFUSED)
@pytest.mark.filterwarnings("error")
def test_the_rest_is_refused_in_one_sentence(reason):
    with pytest.raises(PhotoError, match=reason) as caught:
        read_photo(REFUSED[reason], "mine.jpg")
    words = str(caught.value)
    assert words.startswith("mine.jpg ")
    assert words.endswith(".")
    assert "\n" not in words
    assert len(words) < 200


def test_no_such_file_is_told_by_its_path(tmp_path):
    with pytest.raises(PhotoError, match=r"nothing\.png cannot be read: No such file"):
        read_photo(tmp_path / "nothing.png")
    with pytest.raises(PhotoError, match="cannot be read"):
        read_photo(tmp_path)


def test_postscript_is_never_run():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    assert Image.open(io.BytesIO(eps)).format == "EPS"  # Pillow alone would take it
    with pytest.raises(PhotoError, match="not a picture"):
        read_photo(eps)


# ---------------------------------------------------------------------- what becomes of its shape


def test_the_way_in_is_told():
    config = Config(resize=128, image_size=112)
    assert way_in((1200, 600), config) == (
        "1200 × 600 pixels, squeezed 2 to 1 into a square of 128 × 128, of which the middle 112 × 112 is used "
        "(23 % cut off)"
    )
    assert "resized to a square of 128" in way_in((500, 500), config)
    dogs = config.replace(random_crop=False)
    assert way_in((50, 100), dogs) == "50 × 100 pixels, squeezed 2 to 1 into a square of 112 × 112"


# ---------------------------------------------------------------------- the look


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = GHOLMNet("gholm_convnext_mini", 7, False, Config(weights="none"))
    with torch.no_grad():
        net.backbone.get_classifier().weight.normal_(0, 0.3)
    return net.double().eval()


@pytest.fixture(scope="module")
def image():
    return torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(3)).double()


def test_with_the_papers_settings_it_is_what_the_network_does_at_test_time(net, image):
    seen, out = look(net, image, net.config.mu, 1.5), net.attend(image[None])
    assert_same(seen.logits["raw"], out.raw_logits[0])
    assert_same(seen.logits["crop"], out.crop_logits[0])
    assert_same(seen.logits["both"], out.logits[0])
    assert_same(seen.heat, out.heat[0])
    assert seen.box == tuple(out.crop_boxes[0].tolist())
    assert seen.box_share == pytest.approx(float(out.attention.box_area[0]))
    assert seen.target == int(out.raw_logits.argmax())


def test_readings_of_the_box_in_the_config_are_kept_to(image):
    torch.manual_seed(0)
    config = Config(weights="none", crop_square=True, crop_padding=0.1)
    net = GHOLMNet("gholm_convnext_mini", 7, False, config).double().eval()
    out = net.attend(image[None])
    assert look(net, image, net.config.mu, 1.5).box == tuple(out.crop_boxes[0].tolist())


def test_any_class_can_be_asked_for_its_heat(net, image):
    features = net.backbone.forward_features(image[None])
    for c in range(7):
        seen = look(net, image, 1.7, 1.5, target=c)
        assert_same(seen.heat, upsample(gradcam(net.head, features, torch.tensor([c])), 64)[0])
        assert seen.target == c


def test_what_is_above_theta_is_erased_and_nothing_else(net, image):
    seen = look(net, image, 1.7, 1.2, "black")
    hot = seen.heat > 1.2 * seen.heat.mean()
    assert torch.equal(seen.erased_mask, hot)
    assert torch.equal(seen.erased[:, ~hot], image[:, ~hot])
    black = [-m / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    black = torch.tensor(black, dtype=torch.float64)[:, None]
    assert_same(seen.erased[:, hot], black.expand(-1, int(hot.sum())))


def test_noise_is_the_same_each_time_and_leaves_the_generator_alone(net, image):
    torch.manual_seed(5)
    first = look(net, image, 1.7, 1.5, "noise").erased
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(first, look(net, image, 2.5, 1.5, "noise").erased)


def test_above_the_heats_maximum_the_crop_is_the_whole_picture(net, image):
    raw, heat, c = attend(net, image)
    seen = look(net, image, float(heat.max() / heat.mean()) + 0.01, 1.5, attended=(raw, heat, c))
    assert (seen.fallback, seen.box, seen.box_share) == (True, (0, 0, 64, 64), 1.0)
    assert not look(net, image, 1.7, 1.5).fallback


def test_what_is_attended_already_is_not_computed_again(net, image):
    raw, heat, _ = attend(net, image)
    seen = look(net, image, 1.7, 1.5, attended=(raw + 1, 2 * heat, 4))
    assert_same(seen.logits["raw"], raw + 1)
    assert_same(seen.heat, 2 * heat)
    assert seen.target == 4


@pytest.mark.parametrize("layer", ["features", "norm", "depthwise"])
@pytest.mark.parametrize("target", [None, 3])
def test_one_picture_takes_the_backbone_once(image, monkeypatch, layer, target):
    torch.manual_seed(0)
    net = GHOLMNet("gholm_convnext_mini", 7, False, Config(weights="none", cam_layer=layer)).double().eval()
    wanted_raw = net.head(net.backbone.forward_features(image[None]))[0]
    wanted_heat = net.heatmap(image[None], None if target is None else torch.tensor([target]))[0]
    runs = []
    net.backbone.stem.register_forward_hook(lambda *_: runs.append(1))
    raw, heat, c = attend(net, image, target)
    assert len(runs) == 1
    assert_same(raw, wanted_raw)
    assert_same(heat, wanted_heat)
    assert c == (int(wanted_raw.argmax()) if target is None else target)
    runs.clear()
    look(net, image, 1.7, 1.5, target=target)
    assert len(runs) == 2, "once for the picture, once for its crop and its erased copy together"


def test_top_is_softmax_in_order():
    assert [(c, round(p, 3)) for c, p in top(torch.tensor([0.0, 2.0, 1.0]), 2)] == [(1, 0.665), (2, 0.245)]
    assert len(top(torch.zeros(3), 5)) == 3
