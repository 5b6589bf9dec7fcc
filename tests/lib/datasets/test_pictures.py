"""One way from file to picture: values of any depth, every EXIF turn, one sentence for each file that is none."""

import errno
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gholm_kit.teaching import deciding_parts
from gholm_kit.teaching.photos import PhotoError, read_photo
from gholm_lib.config import Config
from gholm_lib.datasets import (
    CorruptImageError,
    DataError,
    Sample,
    ScaledImageWarning,
    check_dataset,
    cub_parts,
    load_image,
    read_image,
)
from gholm_lib.datasets.cub import read_cub
from gholm_lib.datasets.pictures import eight_bits

RAMP = np.linspace(0, 1, 64 * 48).reshape(48, 64)  # every brightness, each in one place


# ---------------------------------------------------------------------- files by hand


def png(values: np.ndarray, colour: int, bits: int = 16, clear: bytes = b"") -> bytes:
    """A PNG of (H, W) or (H, W, C) numbers; colour 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA; clear: its tRNS."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = values.shape[:2]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:  # several pixels a byte
        digits = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :]
        rows = [np.packbits(row.reshape(-1)).tobytes() for row in digits]
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
            chunk(b"tRNS", clear) if clear else b"",
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
            chunk(b"IEND", b""),
        ]
    )


def tiff(values: np.ndarray, order: str = "<", photometric: int | None = None, turn: int = 1) -> bytes:
    """An uncompressed TIFF of (H, W) or (H, W, C) numbers of any type, in either order of bytes."""
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    if photometric is None:
        photometric = 1 if channels == 1 else 2
    pixels = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = {  # number → values, all as 32-bit numbers but those of one 16-bit number each
        256: [width],
        257: [height],
        258: [8 * values.dtype.itemsize] * channels,
        259: [1],
        262: [photometric],
        273: [0],
        274: [turn],
        277: [channels],
        278: [height],
        279: [len(pixels)],
        339: [kind] * channels,
    }
    if channels == 4:
        tags[338] = [2]
    start = 8 + 2 + 12 * len(tags) + 4  # of what does not fit into an entry
    extra, entries = b"", b""
    for tag in sorted(tags):
        short = tag not in (256, 257, 273, 278, 279)
        body = struct.pack(f"{order}{len(tags[tag])}{'H' if short else 'I'}", *tags[tag])
        if len(body) > 4:
            extra, body = extra + body, struct.pack(f"{order}I", start + len(extra))
        entries += struct.pack(f"{order}HHI", tag, 3 if short else 4, len(tags[tag])) + body.ljust(4, b"\0")
    place = struct.pack(f"{order}HHII", 273, 4, 1, start + len(extra))
    at = entries.index(struct.pack(f"{order}HHI", 273, 4, 1))
    entries = entries[:at] + place + entries[at + 12 :]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + bytes(4) + extra + pixels


def packed_tiff(values: np.ndarray) -> bytes:
    """A TIFF of 12-bit numbers, two of them in three bytes."""
    high, low = values.reshape(-1, 2).astype(int).T
    pixels = np.stack([high >> 4, (high & 15) << 4 | low >> 8, low & 255], 1).astype(np.uint8).tobytes()
    content = tiff(values)[: -2 * values.size]
    for tag, kind, value in ((258, 3, 12), (279, 4, len(pixels))):
        at = content.index(struct.pack("<HHI", tag, kind, 1)) + 8
        content = content[:at] + struct.pack("<I", value) + content[at + 4 :]
    return content + pixels


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def whole(top: int, kind: type = np.uint16) -> np.ndarray:
    """The ramp from 0 to ``top`` in whole numbers."""
    return np.round(RAMP * top).astype(kind)


def colourful(grey: np.ndarray) -> np.ndarray:
    """Three channels that differ: the ramp, mirrored, upside down."""
    return np.stack([grey, grey[:, ::-1], grey[::-1]], -1)


# ---------------------------------------------------------------------- more than 8 bits


DEEP = {  # what a file holds → its bytes, and its brightness in 0..1
    "8 bits in a 16-bit PNG": (png(whole(255), 0), RAMP),
    "10 bits in a 16-bit PNG": (png(whole(1023), 0), RAMP),
    "12 bits in a 16-bit PNG": (png(whole(4095), 0), RAMP),
    "14 bits in a 16-bit PNG": (png(whole(16383), 0), RAMP),
    "12 bits, not all of them": (png(whole(3000), 0), RAMP * 3000 / 4095),
    "8 bits in a 16-bit TIFF": (tiff(whole(255)), RAMP),
    "12 bits in a TIFF, big end first": (tiff(whole(4095), ">"), RAMP),
    "12 bits, packed": (packed_tiff(whole(4095)), RAMP),
    "12 bits, 0 is white": (tiff(whole(4095), photometric=0), 1 - RAMP),
    "12 bits, 0 is white, big end first": (tiff(whole(4095), ">", photometric=0), 1 - RAMP),
    "signed, 12 bits": (tiff(whole(4095, np.int16)), RAMP),
    "signed, all 15 bits": (tiff(whole(32767, np.int16), ">"), RAMP),
    "signed, below 0": (tiff(whole(4000, np.int16) - np.int16(1000)), RAMP),
    "32 bits, 8 of them": (tiff(whole(255, np.int32)), RAMP),
    "32 bits, all of them": (tiff(whole(4_000_000_000, np.uint32)), RAMP),
    "32 bits, big end first": (tiff(whole(4_000_000_000, np.uint32), ">"), RAMP),
    "fractions": (tiff(RAMP.astype(np.float32)), RAMP),
    "fractions, big end first": (tiff(RAMP.astype(np.float32), ">"), RAMP),
    "fractions, dark": (tiff((0.2 * RAMP).astype(np.float32)), 0.2 * RAMP),
    "fractions a little beyond 0 and 1": (
        tiff((1.1 * RAMP - 0.05).astype(np.float32)),
        (1.1 * RAMP - 0.05).clip(0, 1),
    ),
    "fractions of almost nothing": (tiff((1e-4 * RAMP).astype(np.float32)), RAMP),
    "fractions from -1 to 1": (tiff((2 * RAMP - 1).astype(np.float32)), RAMP),
    "fractions from 0 to 5": (tiff((5 * RAMP).astype(np.float32)), RAMP),
    "fractions from 0 to 255": (tiff((255 * RAMP).astype(np.float32)), RAMP),
    "fractions from 0 to 200": (tiff((200 * RAMP).astype(np.float32)), RAMP * 200 / 255),
    "fractions from 0 to 65535": (tiff((65535 * RAMP).astype(np.float32)), RAMP),
    "fractions from 0 to a million": (tiff((1e6 * RAMP).astype(np.float32)), RAMP),
    "fractions of 64 bits": (tiff(RAMP), RAMP),
    "fractions, 0 is white": (tiff(RAMP.astype(np.float32), photometric=0), 1 - RAMP),
    "colours, 8 bits in a 16-bit PNG": (png(colourful(whole(255)), 2), colourful(RAMP)),
    "colours, 12 bits in a 16-bit PNG": (png(colourful(whole(4095)), 2), colourful(RAMP)),
    "colours, 12 bits in a TIFF": (tiff(colourful(whole(4095))), colourful(RAMP)),
    "colours, 8 bits in a TIFF, big end first": (tiff(colourful(whole(255)), ">"), colourful(RAMP)),
    "colours, fractions": (tiff(colourful(RAMP.astype(np.float32))), colourful(RAMP)),
    "colours, fractions, big end first": (tiff(colourful(RAMP.astype(np.float32)), ">"), colourful(RAMP)),
}
FULL = {  # files that say themselves what is white: nothing to tell
    "16 bits": (png(whole(65535), 0), RAMP),
    "16 bits in a TIFF": (tiff(whole(65535)), RAMP),
    "16 bits, big end first": (tiff(whole(65535), ">"), RAMP),
    "colours of 16 bits": (png(colourful(whole(65535)), 2), colourful(RAMP)),
    "colours of 16 bits in a TIFF": (tiff(colourful(whole(65535)), ">"), colourful(RAMP)),
    "black in 16 bits": (png(whole(0), 0), 0 * RAMP),
    "black colours in 16 bits": (png(colourful(whole(0)), 2), colourful(0 * RAMP)),
    "black fractions": (tiff(0 * RAMP.astype(np.float32)), 0 * RAMP),
    "8 bits": (encoded(Image.fromarray(whole(255, np.uint8))), RAMP),
    "dark, but of 8 bits": (encoded(Image.fromarray(whole(15, np.uint8))), RAMP * 15 / 255),
}


def close(image: Image.Image, brightness: np.ndarray) -> None:
    assert image.mode == "RGB"
    wanted = brightness if brightness.ndim == 3 else np.repeat(brightness[..., None], 3, 2)
    difference = np.abs(np.asarray(image, float) - 255 * wanted)
    assert difference.max() <= 1.5, difference.max()


@pytest.mark.parametrize("what", DEEP)
def test_values_are_scaled_by_what_is_in_the_file_and_it_is_said(tmp_path, what):
    content, brightness = DEEP[what]
    path = tmp_path / "deep.tif"
    path.write_bytes(content)
    with pytest.warns(ScaledImageWarning, match=r"deep\.tif: its values run from .* black, .* white"):
        close(load_image(path), brightness)
    photo = read_photo(path)
    close(photo.image, brightness)
    assert len(photo.notes) == 1
    assert "is shown as black" in photo.notes[0]


@pytest.mark.parametrize("what", FULL)
@pytest.mark.filterwarnings("error")
def test_plain_8_and_16_bits_are_nothing_to_tell(tmp_path, what):
    content, brightness = FULL[what]
    path = tmp_path / "plain.png"
    path.write_bytes(content)
    close(load_image(path), brightness)
    assert read_photo(content).notes == ()


def test_the_numbers_that_are_told():
    notes = {top: eight_bits(whole(top))[1] for top in (200, 256, 4000, 5000, 16384)}
    assert notes == {
        200: "its values run from 0 to 200 and are scaled as 8 bits: 0 is shown as black, 255 as white",
        256: "its values run from 0 to 256 and are scaled as 10 bits: 0 is shown as black, 1023 as white",
        4000: "its values run from 0 to 4000 and are scaled as 12 bits: 0 is shown as black, 4095 as white",
        5000: "its values run from 0 to 5000 and are scaled as 14 bits: 0 is shown as black, 16383 as white",
        16384: "",
    }
    assert eight_bits(whole(4000, np.int16) - np.int16(1000))[1] == (
        "its values run from -1000 to 3000 and are scaled to that range: -1000 is shown as black, 3000 as white"
    )


def test_what_is_no_number_is_black_and_told():
    values = RAMP.astype(np.float32)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, -np.inf, np.inf
    photo = read_photo(tiff(values))
    assert [photo.image.getpixel((x, 0))[0] for x in range(3)] == [0, 0, 255]
    np.testing.assert_allclose(np.asarray(photo.image)[1:, :, 0], 255 * RAMP[1:], atol=1)
    assert photo.notes[0].endswith("and values that are not numbers as black")


@pytest.mark.parametrize("values", [np.full((4, 4), np.nan, np.float32), np.full((4, 4), np.inf, np.float32)])
def test_no_number_at_all_is_refused(values):
    with pytest.raises(PhotoError, match=r"^a\.tif contains no finite number: save it again\.$"):
        read_photo(tiff(values), "a.tif")


@pytest.mark.parametrize("value", [-3.0, 0.7, 1e9])
def test_one_value_all_over(value):
    shown = {-3.0: 0, 0.7: 178, 1e9: 255}[value]
    photo = read_photo(tiff(np.full((4, 4), value, np.float32)))
    assert abs(photo.image.getpixel((2, 2))[0] - shown) <= 1


# ---------------------------------------------------------------------- transparency


def half_clear(values: np.ndarray, clear) -> np.ndarray:
    """The left half of a picture in its transparent colour."""
    values = values.copy()
    values[:, :32] = clear
    return values


def alpha(top: int) -> np.ndarray:
    """Left half transparent, right half opaque."""
    return half_clear(np.full((48, 64, 1), top, np.uint16), 0)


def with_clear(
    values: np.ndarray, clear: tuple[int, ...], top: int, bits: int = 16
) -> tuple[bytes, np.ndarray]:
    """A PNG whose left half is of the transparent value or colour, and what is to be seen of it."""
    values = half_clear(values, clear if values.ndim == 3 else clear[0])
    same = values == np.array(clear)
    gone = same.all(2, keepdims=True) if values.ndim == 3 else same
    content = png(values, 2 if values.ndim == 3 else 0, bits, struct.pack(f">{len(clear)}H", *clear))
    return content, np.where(gone, 1.0, values / top)


WHITE_LEFT, WHITE_LEFT_OF_COLOURS = half_clear(RAMP, 1.0), half_clear(colourful(RAMP), 1.0)
CLEAR = {
    "16-bit grey": with_clear(whole(65535), (0x1234,), 65535),
    "12 bits of grey": with_clear(whole(4095), (0x0123,), 4095),
    "8 bits of grey in 16": with_clear(whole(255), (0,), 255),
    "4-bit grey": with_clear(whole(15), (5,), 15, bits=4),
    "2-bit grey": with_clear(whole(3), (2,), 3, bits=2),
    "black and white": with_clear(whole(1), (0,), 1, bits=1),
    "16-bit colours": with_clear(colourful(whole(65535)), (0x1234, 7, 9), 65535),
    "12 bits of colours": with_clear(colourful(whole(4095)), (0x0123, 7, 9), 4095),
    "grey and alpha, 16 bits": (png(np.dstack([whole(65535), alpha(65535)]), 4), WHITE_LEFT),
    "grey and alpha, 12 bits": (png(np.dstack([whole(4095), alpha(65535)]), 4), WHITE_LEFT),
    "colours and alpha, 16 bits": (
        png(np.dstack([colourful(whole(65535)), alpha(65535)]), 6),
        WHITE_LEFT_OF_COLOURS,
    ),
    "colours and alpha, 8 bits in 16": (
        png(np.dstack([colourful(whole(255)), alpha(255)]), 6),
        WHITE_LEFT_OF_COLOURS,
    ),
    "colours and alpha, 12 bits in a TIFF": (
        tiff(np.dstack([colourful(whole(4095)), alpha(4095)])),
        WHITE_LEFT_OF_COLOURS,
    ),
}


@pytest.mark.parametrize("what", CLEAR)
@pytest.mark.filterwarnings("ignore::gholm_lib.datasets.ScaledImageWarning")
def test_transparent_pixels_are_white_at_every_depth(tmp_path, what):
    content, brightness = CLEAR[what]
    photo = read_photo(content)
    assert any("transparent" in note for note in photo.notes)
    close(photo.image, brightness)
    path = tmp_path / "clear.png"
    path.write_bytes(content)
    assert np.array_equal(load_image(path), photo.image)


def test_of_a_transparent_16_bit_colour_only_that_very_one_is_clear():
    values = np.full((2, 2, 3), 0x1200, np.uint16)
    values[0, 0] = 0x1234
    image = read_photo(png(values, 2, clear=struct.pack(">HHH", *[0x1234] * 3))).image
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((1, 0))[0] < 255


# ---------------------------------------------------------------------- other modes


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.filterwarnings("error")
def test_of_a_plain_picture_every_pixel_is_pillows(tmp_path, kind, mode):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    image = Image.fromarray(noise).convert(mode)
    if (kind, mode) in (("JPEG", "P"), ("WEBP", "1"), ("WEBP", "P")):
        image = image.convert("L")
    path = tmp_path / "a"
    image.save(path, kind)
    with Image.open(path) as plain:
        assert np.array_equal(load_image(path), plain.convert("RGB"))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_printing_colours(kind):
    """A CMYK JPEG is written inverted, as Adobe does it; a TIFF is not."""
    colours = np.array([[[220, 30, 20], [20, 180, 60], [255, 255, 255], [0, 0, 0]]], np.uint8)
    image = Image.fromarray(colours.repeat(16, 0).repeat(16, 1)).convert("CMYK")
    found = np.asarray(read_photo(encoded(image, kind)).image, int)
    assert np.abs(found[8, 8::16] - colours[0].astype(int)).max() <= 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_grey_is_the_same_grey_in_every_mode(mode):
    if mode == "LAB":
        image = Image.frombytes("LAB", (4, 4), bytes([128, 0, 0]) * 16)
    else:
        value = 255 if mode == "1" else 120
        image = Image.new("RGB", (4, 4), (value,) * 3)
        image = image.quantize(4).convert(mode) if mode in ("P", "PA") else image.convert(mode)
    kind = {"1": "PNG", "L": "PNG", "LA": "PNG", "P": "PNG", "RGB": "PNG", "RGBA": "PNG"}.get(mode, "TIFF")
    found = read_photo(encoded(image, kind)).image
    assert found.mode == "RGB"
    assert np.abs(np.asarray(found, int) - (255 if mode == "1" else 120)).max() <= 2


# ---------------------------------------------------------------------- turned cameras


STORED_AS = {  # orientation → from upright to stored; EXIF 2.32 says which sides row 0 and column 0 of the file are
    1: lambda a: a,  # top, left
    2: lambda a: a[:, ::-1],  # top, right
    3: lambda a: a[::-1, ::-1],  # bottom, right
    4: lambda a: a[::-1],  # bottom, left
    5: lambda a: a.swapaxes(0, 1),  # left, top
    6: lambda a: a[:, ::-1].swapaxes(0, 1),  # right, top
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),  # right, bottom
    8: lambda a: a[::-1].swapaxes(0, 1),  # left, bottom
}
BOX = (10, 5, 30, 14)  # in the upright picture of 64 x 48
POINT = (50, 40)


def upright_scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A red box on grey, (48, 64, 3) uint8; masks of the box and of one pixel elsewhere."""
    scene, box, point = np.full((48, 64, 3), 90, np.uint8), np.zeros((48, 64), bool), np.zeros((48, 64), bool)
    x0, y0, x1, y1 = BOX
    box[y0:y1, x0:x1], point[POINT[1], POINT[0]] = True, True
    scene[box] = (250, 10, 10)
    return scene, box, point


def turned_file(path: Path, turn: int, kind: str, scene: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    image = Image.fromarray(np.ascontiguousarray(STORED_AS[turn](scene)))
    options = {"tiffinfo": {0x0112: turn}} if kind == "TIFF" else {"exif": exif}
    image.save(path, kind, **options, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))


def turned_set(folder: Path, layouts, turn: int, kind: str = "JPEG") -> Path:
    """Own photos in CUB's layout, turned; box and point as an annotator finds them in the stored picture."""
    layouts.cub(folder)
    scene, box, point = upright_scene()
    rows, columns = np.nonzero(STORED_AS[turn](box))
    x, y, w, h = columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
    ((py, px),) = np.argwhere(STORED_AS[turn](point))
    for path in folder.glob("images/*/*.jpg"):
        path.unlink()
        turned_file(path, turn, kind, scene)
    layouts.lines(folder / "bounding_boxes.txt", [f"{i} {x}.0 {y}.0 {w}.0 {h}.0" for i in range(1, 5)])
    layouts.lines(folder / "parts/part_locs.txt", [f"{i} 1 {px}.0 {py}.0 1" for i in range(1, 5)])
    return folder


KINDS = [("JPEG", t) for t in STORED_AS] + [(k, t) for k in ("PNG", "TIFF", "WEBP") for t in (1, 3, 5, 6, 8)]


@pytest.mark.parametrize(("kind", "turn"), KINDS)
def test_boxes_and_points_are_turned_with_the_picture(layouts, tmp_path, kind, turn):
    folder = turned_set(tmp_path / "CUB_200_2011", layouts, turn, kind)
    for sample in read_cub(folder).test:
        pixels = np.asarray(load_image(sample.path), int)
        assert pixels.shape == (48, 64, 3)
        red = pixels[..., 0] - pixels[..., 1] > 120
        inside = np.zeros_like(red)
        x0, y0, x1, y1 = sample.box
        inside[y0:y1, x0:x1] = True
        assert (red & inside).sum() / (red | inside).sum() > 0.9  # JPEG blurs the edge
        assert sample.box == BOX
        np.testing.assert_array_equal(cub_parts(folder).points[sample.image_id][0], [*POINT, 1])


def test_avif_turns_as_well(layouts, tmp_path):
    pytest.importorskip("PIL._avif")
    for turn in STORED_AS:
        folder = turned_set(tmp_path / str(turn), layouts, turn, "AVIF")
        sample = read_cub(folder).test[0]
        assert load_image(sample.path).size == (64, 48)
        assert sample.box == BOX


@pytest.mark.parametrize("turn", STORED_AS)
def test_the_study_compares_with_the_turned_box(layouts, tmp_path, turn):
    """What GradCAM's boxes are held against: 1 for the red pixels' own box, in every orientation."""
    data = read_cub(turned_set(tmp_path / "CUB_200_2011", layouts, turn))
    config = Config(image_size=128, resize=128, random_crop=False)
    study = deciding_parts.study_images(data, config)
    red = study.images[:, 0] - study.images[:, 1] > 2
    for mask, box in zip(red, study.boxes, strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert deciding_parts.iou(box[None], deciding_parts.torch.tensor([found])).item() > 0.9


@pytest.mark.parametrize("turn", STORED_AS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["colours of 16 bits", "colours of 12 bits", "fractions", "12 bits of grey"])
def test_a_deep_tiff_is_turned_once(turn, order, kind):
    upright = {
        "colours of 16 bits": colourful(whole(65535)),
        "colours of 12 bits": colourful(whole(4095)),
        "fractions": colourful(RAMP.astype(np.float32)),
        "12 bits of grey": whole(4095),
    }[kind]
    photo = read_photo(tiff(np.ascontiguousarray(STORED_AS[turn](upright)), order, turn=turn))
    close(photo.image, colourful(RAMP) if upright.ndim == 3 else RAMP)
    assert any("EXIF" in note for note in photo.notes) == (turn != 1)


def test_a_deep_png_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[6](whole(4095))))
    close(read_photo(encoded(stored, exif=exif)).image, RAMP)


def test_points_that_nobody_saw_stay_as_they_are(layouts, tmp_path):
    folder = turned_set(tmp_path / "CUB_200_2011", layouts, 6)
    layouts.lines(folder / "parts/part_locs.txt", ["1 1 3.0 4.0 1", "1 2 0.0 0.0 0", "2 1 0.0 0.0 0"])
    points = cub_parts(folder).points
    # Stored 48 wide and 64 high: what is 4 below its top is 4 from the right, 64 wide, when turned.
    np.testing.assert_array_equal(points["images/001.Red_Bird/a.jpg"], [[64 - 1 - 4, 3, 1], [0, 0, 0]])
    np.testing.assert_array_equal(points["images/001.Red_Bird/b.jpg"], 0)


def test_boxes_need_no_file_until_they_are_asked_for(layouts, tmp_path, monkeypatch):
    """Reading the headers of a whole set takes seconds; most of what reads a set asks for no box."""
    from gholm_lib.datasets import pictures

    looked = []
    monkeypatch.setattr(pictures, "stored_frame", lambda path: looked.append(path) or (1, (12, 10)))
    data = read_cub(layouts.cub(tmp_path / "CUB_200_2011"))
    assert looked == []
    assert data.train[0].box == data.train[0].box == (2, 1, 8, 5)
    assert looked == [data.train[0].path]


def test_a_box_of_a_file_that_is_gone_is_as_the_owner_says():
    assert Sample(Path("/nowhere/a.jpg"), 0, "a.jpg", (1, 2, 3, 4)).box == (1, 2, 3, 4)
    assert Sample(Path("/nowhere/a.jpg"), 0, "a.jpg").box is None


BROKEN_EXIF = {
    "no header": b"Exif\0\0garbage that is no TIFF header",
    "cut short": b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01",
    "nothing": b"Exif\0\0",
    "orientation 0": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0",
    "orientation 9": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0",
    "a text": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0six\0\0\0\0\0",
}


@pytest.mark.parametrize("what", BROKEN_EXIF)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_a_picture_with_broken_exif_is_still_a_picture(tmp_path, what):
    scene = Image.fromarray(upright_scene()[0])
    path = tmp_path / "a.jpg"
    scene.save(path, exif=BROKEN_EXIF[what], quality=95)
    assert load_image(path).size == (64, 48)
    assert read_photo(path).notes == ()
    assert Sample(path, 0, "a.jpg", BOX).box == BOX


# ---------------------------------------------------------------------- files that are none


def brands(major: bytes, *others: bytes) -> bytes:
    """The head of a video, or of a photo in the same container."""
    body = b"ftyp" + major + bytes(4) + b"".join(others)
    return struct.pack(">I", len(body) + 4) + body + bytes(64)


WHOLE = encoded(Image.effect_noise((200, 100), 60), "JPEG")
_GOOD = encoded(Image.new("L", (64, 64)))
_AT = _GOOD.index(b"IDAT")
_RUBBISH = b"IDAT" + bytes(range(40))
PNG_OF_RUBBISH = (
    _GOOD[: _AT - 4]
    + struct.pack(">I", 40)
    + _RUBBISH
    + struct.pack(">I", zlib.crc32(_RUBBISH))
    + _GOOD[-12:]
)
NONE = {  # what lies under the name of a picture → what is said of it
    "nothing": (b"", r"is empty \(0 bytes\): download or save it again"),
    "HEIC": (brands(b"heic", b"mif1", b"heic"), "is not a picture .* HEIC .*: save or share it as JPEG"),
    "HEIC of another brand": (brands(b"mif1", b"mif1", b"heic"), "HEIC .*: save or share it as JPEG"),
    "a series of HEIC": (brands(b"hevc", b"msf1", b"hevc"), "HEIC .*: save or share it as JPEG"),
    "damaged AVIF": (brands(b"avif", b"mif1", b"miaf"), "AVIF|damaged"),
    "a video": (brands(b"isom", b"mp41"), "a video: save one frame of it as JPEG"),
    "a page": (
        b"\n<!DOCTYPE html><html><body>404</body></html>",
        "a web page, .*: download the picture itself",
    ),
    "a page with a mark": (b"\xef\xbb\xbf<html>sign in</html>", "a web page"),
    "SVG": (
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
        "SVG.*: save it as JPEG or PNG",
    ),
    "PDF": (b"%PDF-1.7\n", "a PDF: save its picture as PNG"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "`git lfs pull`"),
    "JPEG XL": (b"\xff\x0a" + bytes(30), "JPEG XL"),
    "an archive": (b"PK\x03\x04" + bytes(30), r"an archive \(zip\): unpack it"),
    "a text": (b"dear network, what is this?", "use a JPEG, PNG, GIF, WebP, BMP or TIFF"),
    "a cut JPEG": (WHOLE[:1500], r"is damaged or truncated \(.*\): download or save it again"),
    "a JPEG's beginning": (WHOLE[:12], r"is damaged or truncated \("),
    "a cut PNG": (encoded(Image.effect_noise((64, 64), 50))[:900], "is damaged or truncated"),
    "a damaged PNG": (
        encoded(Image.effect_noise((64, 64), 50))[:200]
        + bytes(100)
        + encoded(Image.effect_noise((64, 64), 50))[300:],
        "is damaged or truncated",
    ),
    "a PNG whose pixels are no stream": (PNG_OF_RUBBISH, "is damaged or truncated"),
    "a cut GIF": (encoded(Image.effect_noise((64, 64), 50), "GIF")[:900], "is damaged or truncated"),
    "a cut deep TIFF": (
        tiff(colourful(RAMP.astype(np.float32)))[:3000],
        "TIFF of an unsupported type|damaged or truncated",
    ),
    "a TIFF of half numbers": (
        tiff(RAMP.astype(np.float16)),
        "is a TIFF of an unsupported type: save it",
    ),
    "a TIFF's beginning": (b"II*\0" + bytes(4), "is damaged or truncated"),
}


@pytest.mark.parametrize("what", NONE)
@pytest.mark.filterwarnings("error")
def test_one_sentence_for_data_sets_and_for_photos(tmp_path, capfd, what):
    content, said = NONE[what]
    path = tmp_path / "IMG 0042.jpg"
    path.write_bytes(content)
    with pytest.raises(CorruptImageError, match=said) as caught:
        load_image(path)
    words = str(caught.value)
    assert words.startswith(f"{path} ")
    one_sentence(words)
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    assert str(caught.value) == words.replace(str(path), path.name)
    assert capfd.readouterr() == ("", "")


def one_sentence(words: str) -> None:
    assert words.endswith(".")
    assert not words.endswith("..")
    assert "\n" not in words
    assert ". " not in words
    assert len(words) < 300


def black_png(width: int, height: int) -> bytes:
    """As many black pixels as one likes, in a few bytes."""
    rows = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    packed = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_picture_that_is_too_large_is_not_called_damaged(tmp_path):
    path = tmp_path / "panorama.jpg"
    path.write_bytes(black_png(16000, 12000))
    with pytest.raises(CorruptImageError) as caught:
        load_image(path)
    assert str(caught.value) == f"{path} has more than 179 megapixels: save it smaller."
    with pytest.raises(
        PhotoError, match=r"^panorama\.jpg has far more than 50 megapixels: save it smaller\.$"
    ):
        read_photo(path)
    path.write_bytes(black_png(8000, 8000))
    assert load_image(path).size == (8000, 8000)
    with pytest.raises(PhotoError, match="has 64 megapixels, the limit is 50 megapixels: save"):
        read_photo(path)


def test_fractions_that_are_too_many_are_refused_before_they_are_read(tmp_path):
    values = tiff(colourful(RAMP.astype(np.float32)))
    at = values.index(struct.pack("<HHI", 256, 4, 1)) + 8
    path = tmp_path / "huge.tif"
    path.write_bytes(values[:at] + struct.pack("<I", 60_000_000) + values[at + 4 :])
    with pytest.raises(CorruptImageError, match=r"huge\.tif has 2880 megapixels, the limit is 179 mega"):
        load_image(path)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"])
def test_a_picture_of_another_kind_under_the_name_jpg_is_read(tmp_path, kind):
    if kind == "AVIF":
        pytest.importorskip("PIL._avif")
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.new("RGB", (32, 16), (200, 60, 30)), kind))
    assert np.abs(np.array(load_image(path).getpixel((9, 9))) - (200, 60, 30)).max() < 12


def test_what_cannot_be_opened_is_told_by_its_path_and_not_called_damaged(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "away.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    cases = {
        "gone.jpg": "No such file or directory; check its name and its folder",
        "dangling.jpg": "No such file or directory; check its name and its folder",
        "folder.jpg": "Is a directory; a picture file is expected here",
        "loop.jpg": "it is a link that leads back to itself; put the file in its place",
        "pipe.jpg": "Not a regular file; a picture file is expected here",
    }
    for name, said in cases.items():
        path = tmp_path / name
        with pytest.raises(DataError, match=said) as caught:
            load_image(path)
        assert not isinstance(caught.value, CorruptImageError)
        assert str(caught.value).startswith(f"Cannot read the image {path}: ")
        one_sentence(str(caught.value))
        with pytest.raises(PhotoError, match=said) as caught:
            read_photo(path)
        assert str(caught.value).startswith(f"{path} cannot be read: ")
        one_sentence(str(caught.value))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "Permission denied; give yourself permission to read it"),
        (errno.EIO, "error; check that its disk is connected and works"),
    ],
)
def test_what_the_system_refuses(tmp_path, monkeypatch, number, said):
    path = tmp_path / "a.jpg"
    path.write_bytes(WHOLE)

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "open", refuse)  # whoever tests as root may read everything
    with pytest.raises(DataError, match=said) as caught:
        load_image(path)
    assert not isinstance(caught.value, CorruptImageError)
    with pytest.raises(PhotoError, match=said):
        read_photo(path)


def test_lack_of_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    def no_memory(self):
        raise MemoryError

    path = tmp_path / "a.jpg"
    path.write_bytes(WHOLE)
    monkeypatch.setattr(Image.Image, "load", no_memory)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", no_memory)
    with pytest.raises(MemoryError):
        load_image(path)


# ---------------------------------------------------------------------- the check of a set


def test_the_check_says_which_images_are_scaled_and_which_are_none(layouts, tmp_path):
    folder = layouts.cub(tmp_path / "mini_birds")
    first, second, third, _ = sorted(folder.glob("images/*/*.jpg"))
    for path, content in ((first, DEEP["12 bits in a 16-bit PNG"][0]), (second, NONE["HEIC"][0])):
        path.unlink()
        path.write_bytes(content)
    third.unlink()
    third.write_bytes(DEEP["fractions"][0])
    report = check_dataset("mini_birds", tmp_path, images=True, progress=False)
    assert len(report.problems) == 1
    assert f"{second} is not a picture that can be read here; it is a HEIC photo" in report.problems[0]
    assert "Next: repair or replace these files, then run `gholm data check" in str(report)
    (note,) = report.notes
    assert note.startswith("2 images have values that are not plain 8-bit or 16-bit, such as ")
    assert read_image(first).scaled.endswith("4095 as white")
