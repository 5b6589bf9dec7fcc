"""Opening image files: whole, upright, RGB, or an error that names the file."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

from gholm_lib.datasets.lists import DataError


class CorruptImageError(DataError):
    """An image file is empty, cut short or no image. The message names the file."""


def load_image(path: str | Path) -> Image.Image:
    """Open an image file whole, turned upright (EXIF), as RGB.

    Grey, 16-bit grey, CMYK and palette images are converted; transparent pixels become white.
    Raises `CorruptImageError` naming the file when it is empty, cut short or no image, and
    `DataError` when there is no such file or it may not be read.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise _corrupt(path, "the file is empty (0 bytes)")
        with Image.open(path) as image:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise DataError(f"Cannot read the image {path}: {error.strerror}.") from error
    # Pillow's plugins raise many kinds of error on damaged bytes (OSError, SyntaxError, EOFError,
    # struct.error, zlib.error ...); whichever it is, this file cannot be used.
    except Exception as error:
        raise _corrupt(path, str(error) or type(error).__name__) from error


def _corrupt(path: Path, reason: str) -> CorruptImageError:
    return CorruptImageError(
        f"{path} is not a whole image: {reason}. Delete it and fetch it again; "
        "`gholm data check NAME --images` lists every such file of a data set."
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip, not scale
        import numpy as np  # here: most pictures do not need it

        grey = np.clip(np.asarray(image, dtype=np.int64) >> 8, 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
