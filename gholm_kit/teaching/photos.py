"""Run a trained network on any picture file: read the file safely, then apply every branch as at test time.

``read_photo`` reads what people have (a phone's JPEG, a scan, a screenshot) and refuses the rest with a reason in
one sentence; ``attend`` and ``look`` are equations (1) to (6) for one picture and any mu, theta, fill and class.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gholm_lib import masking
from gholm_lib.config import Config
from gholm_lib.datasets.pictures import PictureError, open_file, read_picture, why_unreadable
from gholm_lib.model import GHOLMNet

MAX_PIXELS = 50_000_000  # about 150 MB once decoded
MAX_BYTES = 50_000_000
# No EPS (Pillow would start Ghostscript) and no rare format whose decoder is unmaintained.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")


class PhotoError(ValueError):
    """A file that cannot be used; the message is one sentence for the person who chose it."""


@dataclass(frozen=True)
class Photo:
    """A picture, upright and RGB, and notes on how it was converted."""

    image: Image.Image
    name: str
    notes: tuple[str, ...] = ()


def read_photo(source: bytes | memoryview | str | Path, name: str | None = None) -> Photo:
    """Read a picture from a file or from a file's bytes.

    ``datasets.pictures.read_picture`` makes it upright, RGB and 8 bits, puts white behind transparency, and takes
    the first frame of an animation. ``notes`` says what was done.

    source  path, or content
    name    what to call it in messages; the file's own name when None
    raises  PhotoError, one sentence: no such file, empty, not a picture, truncated, over MAX_BYTES or MAX_PIXELS
    """
    if isinstance(source, str | Path):
        source, name = _bytes_of(Path(source)), name or Path(source).name
    name, content = name or "the picture", bytes(source)
    if len(content) > MAX_BYTES:
        raise PhotoError(
            f"{name} has {len(content) / 1e6:.0f} MB, the limit is {MAX_BYTES / 1e6:.0f}: save it smaller."
        )
    Image.init()  # so that Image.OPEN lists what this Pillow was built for
    formats = [f for f in FORMATS if f in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            picture = read_picture(io.BytesIO(content), name, MAX_PIXELS, formats)
    except PictureError as error:
        raise PhotoError(str(error)) from error
    return Photo(picture.image, name, picture.notes)


def _bytes_of(path: Path) -> bytes:
    try:
        with open_file(path) as file:
            return file.read(
                MAX_BYTES + 1
            )  # one byte more shows that a file is too large, without reading all of it
    except OSError as error:
        raise PhotoError(f"{path} cannot be read: {why_unreadable(error)}.") from error


def way_in(size: Sequence[int], config: Config) -> str:
    """What ``loading.to_input`` does to a picture of ``size`` (width, height), in words."""
    width, height = size
    side = config.resize if config.random_crop else config.image_size
    ratio = max(width, height) / min(width, height)
    squeeze = "resized to a square of" if ratio < 1.01 else f"squeezed {ratio:.2g} to 1 into a square of"
    words = f"{width} × {height} pixels, {squeeze} {side} × {side}"
    if side > config.image_size:
        lost = 1 - (config.image_size / side) ** 2
        middle = f"{config.image_size} × {config.image_size}"
        words += f", of which the middle {middle} is used ({100 * lost:.0f} % cut off)"
    return words


def learned_from(config: Config) -> str:
    """Small print under a picture: what the network was trained on, and whether these were drawings."""
    name = "ImageNet" if config.dataset == "imagenet" else config.dataset
    return f"trained on {name}" + ": drawn teaching data, not photographs" * name.startswith("mini_")


def box_in_photo(
    box: Sequence[int], size: Sequence[int], config: Config
) -> tuple[float, float, float, float]:
    """A box of the network's input in pixels of the upright photo: the way back through ``loading.to_input``.

    box   x0, y0, x1, y1, half open pixels of the input
    size  width and height of the photo
    """
    side = config.resize if config.random_crop else config.image_size
    edge = round((side - config.image_size) / 2)
    x0, y0, x1, y1 = ((edge + place) * size[k % 2] / side for k, place in enumerate(box))
    return x0, y0, x1, y1


# ---------------------------------------------------------------------- what the network makes of it


@dataclass(frozen=True)
class Look:
    """One picture through every branch of the network; images are (3, s, s), normalised."""

    image: Tensor
    heat: Tensor  # (s, s) >= 0
    target: int  # the class of the heatmap
    box: tuple[int, int, int, int]  # x0, y0, x1, y1, half open pixels
    fallback: bool  # no pixel was above mu, so the box is the whole image
    erased_mask: Tensor  # (s, s) bool
    crop: Tensor
    erased: Tensor
    logits: dict[str, Tensor]  # "raw", "crop", "both", "drop" → (K,)

    @property
    def box_share(self) -> float:
        """Share of the image inside the box."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0) / self.heat.numel()


@torch.no_grad()
def attend(net: GHOLMNet, image: Tensor, target: int | None = None) -> tuple[Tensor, Tensor, int]:
    """The slow part of a look, independent of mu, theta and fill: Raw's logits (K,), heat (s, s), its class.

    image   (3, s, s) normalised
    target  class c of eq. (1); None takes the predicted one
    """
    given = None if target is None else torch.tensor([target], device=image.device)
    logits, heat = net.raw_and_heat(image[None], given)
    return logits[0], heat[0], int(logits.argmax()) if target is None else target


@torch.no_grad()
def look(
    net: GHOLMNet,
    image: Tensor,
    mu: float,
    theta: float,
    fill: str = "mean",
    target: int | None = None,
    attended: tuple[Tensor, Tensor, int] | None = None,
) -> Look:
    """Heatmap, crop (eq. 5) and erased image (eq. 6) of one picture, and the logits of each branch.

    The answer is Raw + Crop. Drop is not part of it, but shows what the network can do without the erased region.

    net       in eval mode
    image     (3, s, s) normalised, on the network's device
    attended  what :func:`attend` returned for this image and target, if already computed
    """
    raw, heat, c = attended or attend(net, image, target)
    cfg = net.config
    boxes = net.boxes(heat[None], mu)
    crop = masking.crop(image[None], boxes, image.shape[-1])
    hot = masking.threshold(heat[None], theta)
    with torch.random.fork_rng(devices=[image.device] if image.is_cuda else []):
        torch.manual_seed(0)  # the same noise each time; else moving mu would seem to change the erased image
        erased = masking.erase(image[None], hot, fill, cfg.image_mean, cfg.image_std)
    crop_logits, drop_logits = net.classify(torch.cat([crop, erased]))
    return Look(
        image=image,
        heat=heat,
        target=c,
        box=tuple(boxes[0].tolist()),
        fallback=not bool(masking.threshold(heat[None], mu).any()),
        erased_mask=hot[0],
        crop=crop[0],
        erased=erased[0],
        logits={"raw": raw, "crop": crop_logits, "both": raw + crop_logits, "drop": drop_logits},
    )


def top(logits: Tensor, k: int = 5) -> list[tuple[int, float]]:
    """The k most likely classes and their probabilities (softmax), in falling order; logits (K,)."""
    p, c = logits.float().softmax(-1).topk(min(k, len(logits)))
    return list(zip(c.tolist(), p.tolist(), strict=True))


def in_words(
    seen: Look, classes: Sequence[str], photo: Photo, mu: float, theta: float, label: int | None = None
) -> str:
    """Description of what :func:`look` found in a photo, with its numbers."""
    said = {branch: _said(logits, classes, label) for branch, logits in seen.logits.items()}
    size = f"{100 * seen.box_share:.0f} % of the picture"
    if seen.fallback:
        size = "the whole picture, because no pixel is above μ"
    gone = 100 * float(seen.erased_mask.float().mean())
    return (
        f"{photo.name}: Raw says {said['raw']}. The heatmap is for {classes[seen.target]}. "
        f"μ = {mu:.2f}: the crop is {size}, and Crop says {said['crop']}. The answer, Raw + Crop: {said['both']}, "
        f"one of the {len(classes)} classes that the network knows; it cannot name any other. "
        f"θ = {theta:.2f}: {gone:.0f} % erased, and Drop says {said['drop']}."
    )


def _said(logits, classes: Sequence[str], label: int | None) -> str:
    ((k, p),) = top(logits, 1)
    mark = "" if label is None else " ✓" if k == label else " ✗"
    return f"{classes[k]} {100 * p:.0f} %{mark}"
