"""The images of a data set: opened whole, upright and RGB, or an error that names the file."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import Image

from gholm_lib.datasets import pictures
from gholm_lib.datasets.lists import DataError
from gholm_lib.datasets.pictures import Picture, PictureError


class CorruptImageError(DataError):
    """An image file is empty, cut short, too large or no image. The message names the file."""


class ScaledImageWarning(UserWarning):
    """An image's values were no plain 8 or 16 bits; the message says what was taken for black and white."""


def load_image(path: str | Path) -> Image.Image:
    """Open an image file whole, turned upright (EXIF), as RGB.

    Grey, 16-bit, CMYK and palette images are converted; transparent pixels become white. Where an
    image's values are no plain 8 or 16 bits, they are scaled by what is in them, and a
    `ScaledImageWarning` says how.
    Raises `CorruptImageError` naming the file when it is empty, cut short, too large or no image, and
    `DataError` when there is no such file or it may not be read.
    """
    picture = read_image(path)
    if picture.scaled:
        warnings.warn(f"{path}: {picture.scaled}", ScaledImageWarning, stacklevel=2)
    return picture.image


def read_image(path: str | Path) -> Picture:
    """`load_image` with what was done to the image in `Picture.notes`, and without its warning."""
    path = Path(path)
    try:
        with pictures.open_file(path) as file:
            return pictures.read_picture(file, str(path))
    except PictureError as error:
        raise CorruptImageError(str(error)) from error
    except OSError as error:
        raise DataError(f"Cannot read the image {path}: {pictures.why_unreadable(error)}.") from error
