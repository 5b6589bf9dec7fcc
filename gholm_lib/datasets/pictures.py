"""One way from a picture file to RGB, for data sets and for people's own photos, and what is said of other files.

A file may hold 12 or 16 bits a colour, or fractions; its EXIF data may say that the camera was turned. What becomes
of that is decided here and nowhere else, and so is every sentence about a file that is no picture.
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
TURNED = "turned upright, as its EXIF data say"
WHITES = (255, 1023, 4095, 16383, 65535)  # largest values of 8, 10, 12, 14 and 16 bits
OVERSHOOT = 0.1  # fractions may leave black to white by so much: enlarging a picture makes such values
DIM = 16  # of 255: where even the brightest fraction would be darker, it is taken for white


class PictureError(ValueError):
    """This file is no usable picture; the message is one sentence: the file, what is wrong, what to do."""


@dataclass(frozen=True)
class Picture:
    """A picture, upright and RGB, and what was done to get there.

    notes   what was done, in words
    scaled  the one of them that says how its values became 8 bits, where the file leaves that open; else ""
    """

    image: Image.Image
    notes: tuple[str, ...] = ()
    scaled: str = ""


def read_picture(
    file: BinaryIO, name: str, most_pixels: int | None = None, formats: Sequence[str] | None = None
) -> Picture:
    """A whole picture from an open file, turned upright (EXIF), as RGB.

    Grey, CMYK and palette pictures are converted, transparent pixels become white, of an animation the first frame
    is taken. 16 bits a colour become 8; where the values fill fewer bits, or are no whole numbers from 0 to 65535,
    ``eight_bits`` finds black and white from what is in them.

    name         what to call it in messages
    most_pixels  None: as many as Pillow allows
    formats      Pillow's names; None: all that it knows
    raises       PictureError, one sentence: empty, no picture, cut short, too large
    """
    try:
        return _decoded(file, most_pixels, formats)
    except (MemoryError, Image.DecompressionBombWarning):  # no fault of the file
        raise
    # Damaged bytes make Pillow's decoders raise almost anything (OSError, SyntaxError, struct.error ...).
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
        turn = orientation(image) if image.format == "TIFF" else None  # Pillow turns it while it loads
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
    """What reading this picture changes, in words."""
    found = []
    if frames > 1 and image.format != "MPO":  # MPO: a JPEG with previews behind it
        found.append(f"the first of its {frames} frames")
    if turn != 1:
        found.append(TURNED)
    if image.has_transparency_data:
        found.append("its transparent parts are shown white")
    if image.mode == "CMYK":
        found.append("printing colours (CMYK) turned into RGB")
    return found


# --- to 8 bits ------------------------------------------------------------------------------


def eight_bits(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Numbers of any kind → uint8 of the same shape, and in words what was taken for black and white.

    Whole numbers: white is the largest value of the fewest bits (8, 10, 12, 14, 16) that hold them all. Fractions:
    white is 1, or such a value where they come near it. All others, as those below 0, are stretched from the lowest
    to the highest. The words are "" where nothing had to be found out: whole numbers of 16 bits, or nothing but 0.
    """
    finite = np.isfinite(values)
    if not finite.any():
        raise PictureError("holds no finite number: save it again")
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
    known = f"as {int(white).bit_length()} bits" if largest and white in WHITES else "by that"
    words = f"its values run from {low:.6g} to {high:.6g} and are scaled {known}: "
    words += f"{black:.6g} is shown black, {white:.6g} white"
    return scaled, words + ", and what is no number black" * (not finite.all())


def _black_and_white(low: float, high: float, largest: int | None) -> tuple[float, float]:
    """The values to show black and white, for values from ``low`` to ``high``.

    largest  that whole numbers of this type can be; None: they are fractions
    """
    slack, usual = (0, [min(w, largest) for w in WHITES]) if largest else (OVERSHOOT, [1, *WHITES])
    white = next((w for w in usual if high <= (1 + slack) * w), high)
    if not largest and 255 * high < DIM * white:
        white = high
    if low < -slack * white:
        return low, high if high > low else low + 1
    return 0, white or 1


def _to_rgb(image: Image.Image, raw: str) -> tuple[Image.Image, str]:
    """A loaded picture of any mode → RGB, and how its values became 8 bits."""
    if image.mode[0] in "IF":
        return _from_grey(image, raw)
    if image.mode == "La":  # Pillow turns it into nothing but LA
        image = image.convert("LA")
    if raw in ("L;2", "L;4") and "transparency" in image.info:
        # Pillow spreads 2 and 4 bits over 0 to 255, and forgets to do so with the transparent value.
        image.info["transparency"] *= {"L;2": 85, "L;4": 17}[raw]
    return (_on_white(image) if image.has_transparency_data else image.convert("RGB")), ""


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _from_grey(image: Any, raw: str) -> tuple[Image.Image, str]:
    """Grey of more than 8 bits, where Pillow's own conversion would clip, not scale."""
    values = np.asarray(image)
    if raw == "I;32N":  # unsigned in the file; Pillow has only signed ones
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
    """Colours of more than 8 bits: (H, W), (H, W, 3) or (H, W, 4) with alpha; ``clear``: the transparent colour."""
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, 2)
    colours, scaled = eight_bits(values[..., :3])
    if clear is not None:
        alpha = np.where((values[..., :3] == clear).all(2), np.uint8(0), np.uint8(255))
    elif values.shape[2] == 4:
        alpha = eight_bits(values[..., 3])[0]
    else:
        return Image.fromarray(colours), scaled
    mode = "RGBa" if raw.startswith("RGBa") else "RGBA"  # RGBa: colours multiplied by alpha already
    pixels = np.dstack([colours, alpha])
    image = Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    return _on_white(image), scaled


# --- what Pillow does not read --------------------------------------------------------------


_ONE_AT_A_TIME = threading.Lock()  # OpenCV's log has one level for all threads


def _raw_mode(image: Any) -> str:
    """How Pillow will unpack the file's bytes, such as "RGB;16B"; known only before it has done so."""
    arguments = image.tile[0][3] if image.tile else ""
    return str(arguments[0]) if isinstance(arguments, tuple) and arguments else str(arguments)


def _all_bits_if_needed(file: BinaryIO, image: Any, raw: str) -> np.ndarray | None:
    """All bits of a colour picture of which Pillow's upper 8 of 16 are not enough; None where they are.

    They are too few where the picture is in the lower ones, or a transparent colour has to be recognised.
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
    """The stored pixels, (H, W), (H, W, 3) or (H, W, 4), RGB and alpha; None where OpenCV has 8 bits or nothing."""
    import cv2  # here: most pictures do without it

    file.seek(0)
    content, log = np.frombuffer(_unturned(file.read()), np.uint8), cv2.utils.logging
    with _ONE_AT_A_TIME:
        level = log.setLogLevel(log.LOG_LEVEL_SILENT)  # else it prints what this module says in one sentence
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
    """The file, but a TIFF does not say how it is turned: which kinds OpenCV turns depends on its version."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    entry = struct.pack(f"{order}HHI", TURN_TAG, 3, 1) if order else b""
    at = content.find(entry) + len(entry)
    if not order or at < len(entry):
        return content
    return content[:at] + struct.pack(f"{order}H", 1) + content[at + 2 :]


def _tiff_tags(file: BinaryIO) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    """The tags of a TIFF that Pillow did not open; None where the file is no TIFF or is damaged."""
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
    """Colours of fractions, numbers of 64 bits: Pillow has no mode for them."""
    _require_size((tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]), most_pixels)
    values = _all_bits(file)
    if values is None:
        raise PictureError(
            "is a TIFF of a kind that cannot be read here: save it with 8 or 16 bits, or as PNG"
        )
    rgb, scaled = _from_colours(values, None, "")
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
        rgb = ImageOps.invert(rgb)  # 0 is white
    turn = _known_turn(tags.get(TURN_TAG))
    notes = [TURNED] * (turn != 1) + [scaled] * bool(scaled)
    return Picture(_upright(rgb, turn), tuple(notes), scaled)


# --- which way is up ------------------------------------------------------------------------

_TO_UPRIGHT = {  # what makes a stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image: Image.Image) -> int:
    """How the stored picture is turned, 1 to 8 (EXIF); 1, upright, also where the EXIF data cannot be read."""
    try:
        return _known_turn(image.getexif().get(TURN_TAG))
    # Damaged EXIF data raise almost anything, and a picture is still a picture without them.
    except Exception:
        return 1


def _known_turn(value: Any) -> int:
    return value if isinstance(value, int) and value in _TO_UPRIGHT else 1


def _upright(image: Image.Image, turn: int) -> Image.Image:
    return image if turn == 1 else image.transpose(_TO_UPRIGHT[turn])


def stored_frame(path: Path) -> tuple[int, tuple[int, int]]:
    """(orientation, (width, height) as stored) of a picture file; 1 where its header cannot be read."""
    try:
        with open_file(path) as file, Image.open(file) as image:
            tags = getattr(image, "tag_v2", {})
            turn = orientation(image)
            if image.format != "TIFF":
                return turn, image.size
            # Pillow gives the size of the upright picture here.
            return turn, (tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH])
    except Exception:  # whoever opens the picture is told
        return 1, (0, 0)


def upright_place(turn: int, x: Any, y: Any, width: float, height: float) -> tuple[Any, Any]:
    """Where a place of the stored picture lies in the upright one.

    x, y           numbers or arrays; x from 0 to ``width``, y from 0 to ``height``
    width, height  of the stored picture for the edges of boxes; each less 1 for pixels, which are counted from 0
    """
    right, down = width - x, height - y
    sides_kept = {2: (right, y), 3: (right, down), 4: (x, down)}
    sides_changed = {5: (y, x), 6: (down, x), 7: (down, right), 8: (y, right)}
    return (sides_kept | sides_changed).get(turn, (x, y))


# --- what is said of files that are no pictures ---------------------------------------------

# How the commonest pictures begin.
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OTHERS = {  # how other files begin, and what to do with them
    b"<": "it is a web page, not the picture on it: fetch the picture itself",
    b"%PDF": "it is a PDF: save its picture as PNG",
    b"version https://git-lfs": "it stands for a picture that is still to be fetched: `git lfs pull` does so",
    b"\xff\x0a": "it is a JPEG XL picture: save it as JPEG",
    b"\0\0\0\x0cJXL ": "it is a JPEG XL picture: save it as JPEG",
    b"PK\x03\x04": "it is an archive (zip): unpack it",
    b"\x1f\x8b": "it is an archive (gzip): unpack it",
}


def open_file(path: Path) -> BinaryIO:
    """The file, open for reading; OSError where it cannot be opened, or is a folder, pipe or device."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):  # Windows would speak of a lack of rights
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):  # a pipe would be waited for without end
        raise OSError(errno.EINVAL, "No regular file", str(path))
    return path.open("rb")


def why_unreadable(error: OSError) -> str:
    """What keeps a file from being opened, and what to do."""
    advice = {
        errno.ENOENT: "look at its name and its folder",
        errno.EISDIR: "a picture file is expected in its place",
        errno.EINVAL: "a picture file is expected in its place",
        errno.ELOOP: "it is a link that leads back to itself; put the file in its place",
        errno.EACCES: "give yourself the right to read it",
        errno.EPERM: "give yourself the right to read it",
    }
    return f"{error.strerror or error}; {advice.get(error.errno or 0, 'see whether its disk is there and in order')}"


def _fault(error: Exception, file: BinaryIO, most_pixels: int | None) -> str:
    """What is wrong with a file, and what to do; to be said after its name."""
    if isinstance(error, PictureError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        limit = _limit(most_pixels)
        return f"has {'far ' * (limit < _limit(None))}more than {_mega(limit)}: save it smaller"
    head = _head(file)
    if not head:
        return "is empty (0 bytes): fetch or save it again"
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        if not head.startswith(_BEGINNINGS):
            return f"is not a picture that can be read here; {_advice(head)}"
        reason = "it only begins like a picture"
    return f"is damaged or cut short ({reason}): fetch or save it again"


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(256)


def _advice(head: bytes) -> str:
    """What a file is that Pillow does not know, and what to do."""
    if head[4:8] == b"ftyp":
        return _advice_on_film(head[8:64])
    if b"<svg" in head:
        return "it is a drawing (SVG): save it as JPEG or PNG"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    known = (advice for start, advice in _OTHERS.items() if head.startswith(start) or text.startswith(start))
    return next(known, "take a JPEG, PNG, GIF, WebP, BMP or TIFF")


def _advice_on_film(brands: bytes) -> str:
    """Photos of newer kinds are kept as films are."""
    if b"avif" in brands:
        return "it is an AVIF picture, damaged or not known to this Pillow: save it as JPEG"
    if any(brand in brands for brand in _HEIC):
        return "it is a HEIC photo of a phone: save or share it as JPEG"
    return "it is a film: save one picture of it as JPEG"


def _require_size(size: tuple[int, int], most_pixels: int | None) -> None:
    pixels, limit = size[0] * size[1], _limit(most_pixels)
    if pixels > limit:
        raise PictureError(f"has {_mega(pixels)}, the limit is {_mega(limit)}: save it smaller")


def _limit(most_pixels: int | None) -> float:
    """Pixels a picture may have: Pillow opens none with more than twice its own MAX_IMAGE_PIXELS."""
    pillows = 2 * Image.MAX_IMAGE_PIXELS if Image.MAX_IMAGE_PIXELS else float("inf")
    return min(most_pixels or pillows, pillows)


def _mega(pixels: float) -> str:
    return f"{pixels / 1e6:.0f} megapixels"
