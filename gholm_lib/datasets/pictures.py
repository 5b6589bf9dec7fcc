"""Convert any picture file to RGB, for data sets and for users' own photos, with messages for unusable files.

A file may have 12 or 16 bits per channel, or floating-point values, and its EXIF data may say that the camera was
rotated. All of this is handled here and nowhere else, as are all messages about files that are not pictures.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

TURN_TAG = 0x0112  # EXIF 2.32: orientation
TURNED = "rotated upright, as its EXIF data say"
WHITES = (255, 1023, 4095, 16383, 65535)  # largest values of 8, 10, 12, 14 and 16 bits
OVERSHOOT = 0.1  # fractions may exceed the range from black to white by this much, as after resampling
DIM = 16  # of 255: if even the brightest fraction would be darker than this, it is used as white


class PictureError(ValueError):
    """This file is not a usable picture; the message is one sentence: the file, the problem, what to do."""


@dataclass(frozen=True)
class Picture:
    """A picture, upright and RGB, and the conversions that were made.

    notes   the conversions, in words
    scaled  the note on how values were scaled to 8 bits, if the file does not define that; else ""
    """

    image: Image.Image
    notes: tuple[str, ...] = ()
    scaled: str = ""


def read_picture(
    file: BinaryIO, name: str, most_pixels: int | None = None, formats: Sequence[str] | None = None
) -> Picture:
    """Read a complete picture from an open file, rotated upright (EXIF), as RGB.

    Grey, CMYK and palette pictures are converted. Transparent pixels become white. Only the first frame of an
    animation is read. 16 bits per channel become 8. If the values use fewer bits, or are not whole numbers from
    0 to 65535, ``eight_bits`` chooses black and white from the values.

    name         the name of the file in messages
    most_pixels  the largest number of pixels allowed; None: Pillow's limit
    formats      Pillow's names of the formats allowed; None: all that Pillow supports
    raises       PictureError, one sentence, if the file is empty, not a picture, truncated or too large
    """
    try:
        return _decoded(file, most_pixels, formats)
    except (MemoryError, Image.DecompressionBombWarning):  # not the file's fault
        raise
    # For damaged bytes, Pillow's decoders raise almost any exception (OSError, SyntaxError, struct.error ...).
    except Exception as error:
        raise PictureError(f"{name} {_fault(error, file, most_pixels)}.") from error


def _decoded(file: BinaryIO, most_pixels: int | None, formats: Sequence[str] | None) -> Picture:
    try:
        image: Any = Image.open(file, formats=None if formats is None else list(formats))
    except UnidentifiedImageError:
        if tags := _tiff_tags(file):
            return _rare_tiff(file, tags, most_pixels)
        raise
    with image:
        _require_size(image.size, most_pixels)
        raw, frames = _raw_mode(image), getattr(image, "n_frames", 1)
        turn = orientation(image) if image.format == "TIFF" else None  # Pillow rotates a TIFF while it loads
        image.load()
        left = orientation(image)
        turn = turn or left
        notes = _notes(image, frames, turn)
        if (values := _all_bits_if_needed(file, image, raw)) is not None:
            rgb, scaled = _from_colours(values, image.info.get("transparency"), raw)
            rgb = _upright(rgb, turn)
        else:
            rgb, scaled = _to_rgb(image, raw)
            rgb = _upright(rgb, left)
    return Picture(rgb, (*notes, *([scaled] if scaled else [])), scaled)


def _notes(image: Image.Image, frames: int, turn: int) -> list[str]:
    """The conversions made in reading this picture, in words."""
    found = []
    if frames > 1 and image.format != "MPO":  # MPO: a JPEG with previews behind it
        found.append(f"only the first of its {frames} frames is used")
    if turn != 1:
        found.append(TURNED)
    if image.has_transparency_data:
        found.append("its transparent parts are shown as white")
    if image.mode == "CMYK":
        found.append("converted from print colours (CMYK) to RGB")
    return found


# --- to 8 bits ------------------------------------------------------------------------------


def eight_bits(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Scale numbers of any type to uint8 of the same shape; also say which values became black and white.

    Whole numbers: white is the largest value of the smallest bit depth (8, 10, 12, 14, 16) that fits them all.
    Fractions: white is the smallest of 1 and these values that fits them, with some tolerance. All other values,
    such as negative ones, are scaled from minimum to maximum. The text is "" if nothing had to be inferred: whole
    numbers of 16 bits, or only zeros.
    """
    finite = np.isfinite(values)
    if not finite.any():
        raise PictureError("contains no finite number: save it again")
    low, high = values[finite].min().item(), values[finite].max().item()
    largest = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else None
    black, white = _black_and_white(low, high, largest)
    if largest and black == 0 and white in (*WHITES, largest):
        scaled = (values >> (int(white).bit_length() - 8)).astype(np.uint8)
    else:
        share = (np.nan_to_num(values.astype(np.float64), nan=black) - black) / (white - black)
        scaled = np.round(255 * share.clip(0, 1)).astype(np.uint8)
    if finite.all() and (low == high == 0 or (largest and (black, white) == (0, WHITES[-1]))):
        return scaled, ""
    known = f"as {int(white).bit_length()} bits" if largest and white in WHITES else "to that range"
    words = f"its values run from {low:.6g} to {high:.6g} and are scaled {known}: "
    words += f"{black:.6g} is shown as black, {white:.6g} as white"
    return scaled, words + ", and values that are not numbers as black" * (not finite.all())


def _black_and_white(low: float, high: float, largest: int | None) -> tuple[float, float]:
    """The values to show as black and white, for values from ``low`` to ``high``.

    largest  the largest whole number of this type; None: the values are fractions
    """
    slack, usual = (0, [min(w, largest) for w in WHITES]) if largest else (OVERSHOOT, [1, *WHITES])
    white = next((w for w in usual if high <= (1 + slack) * w), high)
    if not largest and 255 * high < DIM * white:
        white = high
    if low < -slack * white:
        return low, high if high > low else low + 1
    return 0, white or 1


def _to_rgb(image: Image.Image, raw: str) -> tuple[Image.Image, str]:
    """Convert a loaded picture of any mode to RGB; also say how its values were scaled to 8 bits."""
    if image.mode[0] in "IF":
        return _from_grey(image, raw)
    if image.mode == "La":  # Pillow converts it only to LA
        image = image.convert("LA")
    if raw in ("L;2", "L;4") and "transparency" in image.info:
        # Pillow scales 2 and 4 bits to 0 to 255, but does not scale the transparent value.
        image.info["transparency"] *= {"L;2": 85, "L;4": 17}[raw]
    return (_on_white(image) if image.has_transparency_data else image.convert("RGB")), ""


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _from_grey(image: Any, raw: str) -> tuple[Image.Image, str]:
    """Convert grey with more than 8 bits; Pillow's own conversion would clip the values, not scale them."""
    values = np.asarray(image)
    if raw == "I;32N":  # unsigned in the file, but Pillow has only a signed type
        values = values.view(np.uint32)
    elif raw.startswith("I;16") and raw.endswith("S"):
        values = values.astype(np.int16)
    grey, scaled = eight_bits(values)
    if image.format == "TIFF" and image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
        grey = 255 - grey  # 0 is white
    clear = image.info.get("transparency")
    if clear is not None:
        grey = np.where(values == clear, np.uint8(255), grey)
    return Image.fromarray(grey).convert("RGB"), scaled


def _from_colours(values: np.ndarray, clear: Sequence[int] | None, raw: str) -> tuple[Image.Image, str]:
    """Convert colours with more than 8 bits, (H, W), (H, W, 3) or (H, W, 4); ``clear`` is the transparent colour."""
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, 2)
    colours, scaled = eight_bits(values[..., :3])
    if clear is not None:
        alpha = np.where((values[..., :3] == clear).all(2), np.uint8(0), np.uint8(255))
    elif values.shape[2] == 4:
        alpha = eight_bits(values[..., 3])[0]
    else:
        return Image.fromarray(colours), scaled
    mode = "RGBa" if raw.startswith("RGBa") else "RGBA"  # RGBa: colours are already multiplied by alpha
    pixels = np.dstack([colours, alpha])
    image = Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    return _on_white(image), scaled


# --- what Pillow cannot read ----------------------------------------------------------------


_ONE_AT_A_TIME = threading.Lock()  # OpenCV's log level is shared by all threads


def _raw_mode(image: Any) -> str:
    """How Pillow will unpack the file's bytes, such as "RGB;16B"; only known before the picture is loaded."""
    arguments = image.tile[0][3] if image.tile else ""
    return str(arguments[0]) if isinstance(arguments, tuple) and arguments else str(arguments)


def _all_bits_if_needed(file: BinaryIO, image: Any, raw: str) -> np.ndarray | None:
    """All 16 bits of a colour picture if the upper 8, which Pillow reads, are not enough; else None.

    They are not enough if the values are small enough to be mostly in the lower 8, or if a transparent colour
    has to be recognised.
    """
    if ";16" not in raw or image.mode not in ("RGB", "RGBA"):
        return None
    brightest = max(high for _, high in image.getextrema()[:3])
    if brightest > WHITES[-2] >> 8 and "transparency" not in image.info:
        return None
    values = _all_bits(file)
    wanted = image.size[::-1]
    return values if values is not None and values.shape[:2] in (wanted, wanted[::-1]) else None


def _all_bits(file: BinaryIO) -> np.ndarray | None:
    """The stored pixels, (H, W), (H, W, 3) or (H, W, 4), RGB and alpha; None if OpenCV gives 8 bits or nothing."""
    import cv2  # here: most pictures do not need it

    file.seek(0)
    content, log = np.frombuffer(_unturned(file.read()), np.uint8), cv2.utils.logging
    with _ONE_AT_A_TIME:
        level = log.setLogLevel(log.LOG_LEVEL_SILENT)  # else OpenCV would print its own message as well
        try:
            values = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        except cv2.error:
            values = None
        finally:
            log.setLogLevel(level)
    if values is None or values.dtype.itemsize == 1:
        return None
    return values if values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]


def _unturned(content: bytes) -> bytes:
    """The file, with orientation 1 in a TIFF: which orientations OpenCV applies depends on its version."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    entry = struct.pack(f"{order}HHI", TURN_TAG, 3, 1) if order else b""
    at = content.find(entry) + len(entry)
    if not order or at < len(entry):
        return content
    return content[:at] + struct.pack(f"{order}H", 1) + content[at + 2 :]


def _tiff_tags(file: BinaryIO) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    """The tags of a TIFF that Pillow could not open; None if the file is not a TIFF or is damaged."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(_head(file)[:8])
        file.seek(tags.next)
        tags.load(file)
    except Exception:
        return None
    needed = (TiffImagePlugin.IMAGEWIDTH, TiffImagePlugin.IMAGELENGTH, TiffImagePlugin.STRIPOFFSETS)
    return tags if all(tag in tags for tag in needed) else None


def _rare_tiff(
    file: BinaryIO, tags: TiffImagePlugin.ImageFileDirectory_v2, most_pixels: int | None
) -> Picture:
    """Read a TIFF with floating-point colours or 64-bit numbers, for which Pillow has no mode."""
    _require_size((tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]), most_pixels)
    values = _all_bits(file)
    if values is None:
        raise PictureError("is a TIFF of an unsupported type: save it with 8 or 16 bits, or as PNG")
    rgb, scaled = _from_colours(values, None, "")
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
        rgb = ImageOps.invert(rgb)  # 0 is white
    turn = _known_turn(tags.get(TURN_TAG))
    notes = [TURNED] * (turn != 1) + [scaled] * bool(scaled)
    return Picture(_upright(rgb, turn), tuple(notes), scaled)


# --- orientation ----------------------------------------------------------------------------

_TO_UPRIGHT = {  # orientation → the operation that makes the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of the stored picture, 1 to 8; 1 (upright) if the EXIF data cannot be read."""
    try:
        return _known_turn(image.getexif().get(TURN_TAG))
    # Damaged EXIF data raise almost any exception, and the picture is usable without them.
    except Exception:
        return 1


def _known_turn(value: Any) -> int:
    return value if isinstance(value, int) and value in _TO_UPRIGHT else 1


def _upright(image: Image.Image, turn: int) -> Image.Image:
    return image if turn == 1 else image.transpose(_TO_UPRIGHT[turn])


def stored_frame(path: Path) -> tuple[int, tuple[int, int]]:
    """(orientation, (width, height) as stored) of a picture file; (1, (0, 0)) if its header cannot be read."""
    try:
        with open_file(path) as file, Image.open(file) as image:
            tags = getattr(image, "tag_v2", {})
            turn = orientation(image)
            if image.format != "TIFF":
                return turn, image.size
            # For a TIFF, Pillow gives the size of the upright picture.
            return turn, (tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH])
    except Exception:  # the error is reported when the picture is opened
        return 1, (0, 0)


def upright_place(turn: int, x: Any, y: Any, width: float, height: float) -> tuple[Any, Any]:
    """Convert a position in the stored picture to the upright picture.

    x, y           numbers or arrays; x from 0 to ``width``, y from 0 to ``height``
    width, height  of the stored picture for the edges of boxes; each minus 1 for pixels, which start at 0
    """
    right, down = width - x, height - y
    sides_kept = {2: (right, y), 3: (right, down), 4: (x, down)}
    sides_changed = {5: (y, x), 6: (down, x), 7: (down, right), 8: (y, right)}
    return (sides_kept | sides_changed).get(turn, (x, y))


# --- messages about files that are not pictures ---------------------------------------------

# The first bytes of the most common picture formats.
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OTHERS = {  # first bytes of other files → what the file is, and what to do
    b"<": "it is a web page, not a picture: download the picture itself",
    b"%PDF": "it is a PDF: save its picture as PNG",
    b"version https://git-lfs": "it is a Git LFS pointer, not the picture itself: `git lfs pull` downloads that",
    b"\xff\x0a": "it is a JPEG XL picture: save it as JPEG",
    b"\0\0\0\x0cJXL ": "it is a JPEG XL picture: save it as JPEG",
    b"PK\x03\x04": "it is an archive (zip): unpack it",
    b"\x1f\x8b": "it is an archive (gzip): unpack it",
}


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; raises OSError if it cannot be opened, or is a folder, pipe or device."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):  # Windows would report missing permissions
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):  # reading from a pipe could wait for ever
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return path.open("rb")


def why_unreadable(error: OSError) -> str:
    """Why a file cannot be opened, and what to do."""
    advice = {
        errno.ENOENT: "check its name and its folder",
        errno.EISDIR: "a picture file is expected here",
        errno.EINVAL: "a picture file is expected here",
        errno.ELOOP: "it is a link that leads back to itself; put the file in its place",
        errno.EACCES: "give yourself permission to read it",
        errno.EPERM: "give yourself permission to read it",
    }
    return f"{error.strerror or error}; {advice.get(error.errno or 0, 'check that its disk is connected and works')}"


def _fault(error: Exception, file: BinaryIO, most_pixels: int | None) -> str:
    """What is wrong with a file, and what to do; the message follows the name of the file."""
    if isinstance(error, PictureError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        limit = _limit(most_pixels)
        return f"has {'far ' * (limit < _limit(None))}more than {_mega(limit)}: save it smaller"
    head = _head(file)
    if not head:
        return "is empty (0 bytes): download or save it again"
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        if not head.startswith(_BEGINNINGS):
            return f"is not a picture that can be read here; {_advice(head)}"
        reason = "only its first bytes are those of a picture"
    return f"is damaged or truncated ({reason}): download or save it again"


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(256)


def _advice(head: bytes) -> str:
    """For a file that Pillow does not recognise: what it is, and what to do."""
    if head[4:8] == b"ftyp":
        return _advice_on_film(head[8:64])
    if b"<svg" in head:
        return "it is a drawing (SVG): save it as JPEG or PNG"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    known = (advice for start, advice in _OTHERS.items() if head.startswith(start) or text.startswith(start))
    return next(known, "use a JPEG, PNG, GIF, WebP, BMP or TIFF")


def _advice_on_film(brands: bytes) -> str:
    """Newer photo formats use the same container as videos."""
    if b"avif" in brands:
        return "it is an AVIF picture that is damaged or not supported by this version of Pillow: save it as JPEG"
    if any(brand in brands for brand in _HEIC):
        return "it is a HEIC photo, as phones save them: save or share it as JPEG"
    return "it is a video: save one frame of it as JPEG"


def _require_size(size: tuple[int, int], most_pixels: int | None) -> None:
    pixels, limit = size[0] * size[1], _limit(most_pixels)
    if pixels > limit:
        raise PictureError(f"has {_mega(pixels)}, the limit is {_mega(limit)}: save it smaller")


def _limit(most_pixels: int | None) -> float:
    """The largest number of pixels allowed; Pillow refuses more than twice its MAX_IMAGE_PIXELS."""
    pillows = 2 * Image.MAX_IMAGE_PIXELS if Image.MAX_IMAGE_PIXELS else float("inf")
    return min(most_pixels or pillows, pillows)


def _mega(pixels: float) -> str:
    return f"{pixels / 1e6:.0f} megapixels"
