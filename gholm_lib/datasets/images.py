"""Load the images of a data set: complete, upright and RGB. Errors name the file."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image

from gholm_lib.datasets import pictures
from gholm_lib.datasets.lists import DataError
from gholm_lib.datasets.pictures import Picture, PictureError


class CorruptImageError(DataError):
    """An image file is empty, truncated, too large or not an image. The message names the file."""


class ScaledImageWarning(UserWarning):
    """An image's values are not plain 8-bit or 16-bit; the message says which values became black and white."""


def load_image(path: str | Path) -> Image.Image:
    """Load a complete image file, rotated upright (EXIF), as RGB.

    Grey, 16-bit, CMYK and palette images are converted; transparent pixels become white. If an
    image's values are not plain 8-bit or 16-bit, they are scaled by their own range, and a
    `ScaledImageWarning` says how.
    Raises `CorruptImageError`, which names the file, if the file is empty, truncated, too large or not
    an image, and `DataError` if the file does not exist or cannot be read.
    """
    picture = read_image(path)
    if picture.scaled:
        warnings.warn(f"{path}: {picture.scaled}", ScaledImageWarning, stacklevel=2)
    return picture.image


def read_image(path: str | Path) -> Picture:
    """Like `load_image`, but returns what was done to the image in `Picture.notes` and does not warn."""
    path = Path(path)
    try:
        with pictures.open_file(path) as file:
            return pictures.read_picture(file, str(path))
    except PictureError as error:
        raise CorruptImageError(str(error)) from error
    except OSError as error:
        raise DataError(f"Cannot read the image {path}: {pictures.why_unreadable(error)}.") from error
