"""From a heatmap to a box and to an erased image: equations (4) to (6).

Boxes are ``x0, y0, x1, y1`` in pixels, half open, so ``image[:, y0:y1, x0:x1]`` is the region.
In the shapes: b images of H x W pixels.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from gholm_lib.config import IMAGENET_MEAN, IMAGENET_STD
from gholm_lib.precision import at_least_float32

FILLS = ("mean", "black", "noise", "channel_mean")
THREADS_FROM = 2**19  # pixels in a batch from which on it pays to share the masks between threads


def heat_mean(heat: Float[Tensor, "b H W"]) -> Float[Tensor, " b"]:
    """Eq. (4): abar, the mean of each heatmap."""
    return heat.mean((1, 2))


def threshold(
    heat: Float[Tensor, "b H W"], factor: float | Float[Tensor, " b"], times: str = "mean"
) -> Bool[Tensor, "b H W"]:
    """Eq. (5) and (6): where the heat is above ``factor`` times its own mean.

    heat    >= 0
    factor  mu of eq. (5) or theta of eq. (6): one number for all images, or one for each
    times   "mean" (eq. 4) · "max": the heat's maximum, as in a public code of WS-DAN; a factor then lies below 1
    returns an empty mask for a heatmap of zeros: nothing is *above* zero
    raises  ValueError for another ``times``
    """
    if times not in ("mean", "max"):
        raise ValueError(f'times must be "mean" or "max", got {times!r}')
    # new_full, not as_tensor: to copy a number to a GPU, the host would wait for all that runs there.
    factor = factor.to(heat) if isinstance(factor, Tensor) else heat.new_full((), factor)
    level = heat_mean(heat) if times == "mean" else heat.amax((1, 2))
    return heat > (factor * level).view(-1, 1, 1)


def largest_component_boxes(mask: Bool[Tensor, "b H W"], connectivity: int = 8) -> Int64[Tensor, "b 4"]:
    """The box round the largest connected component of each mask (after eq. (5)).

    connectivity  8: pixels that touch at a corner are connected; 4: they must share an edge
    returns       boxes on the mask's device; for an empty mask the whole image. Of several largest components,
                  the one whose box starts highest, then leftmost, is taken.
    raises        ValueError for another connectivity, or a mask of another shape
    """
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8, got {connectivity!r}")
    if mask.ndim != 3:
        raise ValueError(f"mask must be (B, H, W), got shape {tuple(mask.shape)}")
    host = mask.to(torch.uint8).cpu().numpy()  # on a GPU: the one wait of a training step
    find = partial(_largest_box, connectivity=connectivity)
    # Threads run at the same time here, because OpenCV releases Python's lock.
    each = map if host.size < THREADS_FROM else _threads(os.getpid()).map
    found = list(each(find, host))
    boxes = np.stack(found) if found else np.zeros((0, 4))
    return torch.from_numpy(boxes.astype(np.int64)).to(mask.device)


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """Threads that are kept, because starting them takes as long as the work.

    One pool for each process: a forked process does not inherit its parent's threads.
    """
    return ThreadPoolExecutor(thread_name_prefix=f"masks-{process}")


def _largest_box(mask: np.ndarray, connectivity: int) -> np.ndarray:
    height, width = mask.shape
    # The most components that a mask of this size can contain. With 16-bit labels OpenCV takes half the time.
    most = (height + 1) // 2 * ((width + 1) // 2) if connectivity == 8 else (height * width + 1) // 2
    labels = cv2.CV_16U if most < 2**16 - 1 else cv2.CV_32S
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=connectivity, ltype=labels)
    if count == 1:  # only the background
        return np.array([0, 0, width, height])
    x, y, w, h, area = stats[1:].T
    best = np.lexsort((x, y, -area))[0]
    return np.array([x[best], y[best], x[best] + w[best], y[best] + h[best]])


def adjust_boxes(
    boxes: Int64[Tensor, "b 4"],
    size: tuple[int, int],
    padding: float = 0.0,
    min_size: float = 0.0,
    square: bool = False,
    margin: float = 0.0,
) -> Int64[Tensor, "b 4"]:
    """Readings of what the paper leaves open about the box; the defaults change nothing.

    size      (H, W) of the image in pixels
    padding   margin on each side, as a share of the box's width and height
    margin    margin on each side, as a share of the image's, cut off at the image's edge (WS-DAN's public code); the
              other readings start from the box with it
    min_size  smallest width and height, as a share of the image's, to the nearest pixel
    square    lengthen the shorter side, as far as the image allows, so that the crop is not stretched
    returns   boxes inside the image
    raises    ValueError naming the value that is out of range
    """
    for name, value in (("padding", padding), ("margin", margin)):
        if value < 0:
            raise ValueError(f"{name} must be 0 or more, got {value!r}")
    if not 0 <= min_size <= 1:
        raise ValueError(f"min_size must lie in 0 <= min_size <= 1, got {min_size!r}")
    if not (padding or min_size or square or margin):
        return boxes.long()
    height, width = size
    limit = torch.tensor([width, height], dtype=torch.float64, device=boxes.device)
    edge = (margin * limit).round()
    low, high = (boxes[:, :2] - edge).clamp(min=0), torch.minimum(boxes[:, 2:] + edge, limit)
    centre, side = (low + high) / 2, (high - low) * (1 + 2 * padding)
    side = torch.maximum(side, limit * min_size)
    if square:
        side = side.amax(1, keepdim=True).expand(-1, 2)
    # Round the size before placing the box: rounding both of its ends could still change the size.
    side = torch.minimum(side.round(), limit)
    low = (centre - side / 2).round().clamp(min=0)
    low = torch.minimum(low, limit - side)  # move inside without changing the size
    return torch.cat([low, low + side], 1).long()


def move_boxes(
    boxes: Int64[Tensor, "b 4"], size: tuple[int, int], place: Float[Tensor, "b 2"] | None = None
) -> Int64[Tensor, "b 4"]:
    """Boxes of the same sizes at other places of the image, for controls.

    size    (H, W) of the image in pixels
    place   0 to 1 across and down, from the first place inside the image to the last; all whole pixels are equally
            likely if it is uniform. None: the centre
    returns boxes inside the image
    """
    height, width = size
    side = boxes[:, 2:] - boxes[:, :2]
    room = torch.tensor([width, height], device=boxes.device) - side
    low = room // 2 if place is None else torch.minimum((place * (room + 1)).long(), room)
    return torch.cat([low, low + side], 1)


def crop(
    images: Float[Tensor, "b 3 H W"], boxes: Int64[Tensor, "b 4"], size: int
) -> Float[Tensor, "b 3 {size} {size}"]:
    """Cut each box out of its image and enlarge it to ``size`` x ``size`` pixels, bilinear.

    Equal to ``F.interpolate(image[:, y0:y1, x0:x1], (size, size), mode="bilinear")`` on each image, in one
    ``grid_sample``: positions are clamped to the crop's own pixel centres, so no pixel outside the box counts.
    """
    height, width = images.shape[-2:]
    wide = at_least_float32(images)  # in a half type the positions would be off by a pixel
    x0, y0, x1, y1 = boxes.to(wide.dtype).unbind(1)
    x = _positions(x0, x1, size, width)  # (B, size)
    y = _positions(y0, y1, size, height)
    grid = torch.stack([x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1)
    out = F.grid_sample(wide, grid, mode="bilinear", align_corners=False)
    return out.to(images.dtype)


def _positions(start: Tensor, stop: Tensor, size: int, limit: int) -> Tensor:
    """Where the ``size`` output pixels lie between ``start`` and ``stop``, in grid_sample's units (-1 to 1)."""
    start, stop = start[:, None], stop[:, None]
    steps = torch.arange(size, device=start.device, dtype=start.dtype)[None] + 0.5
    pixel = start + steps * (stop - start) / size - 0.5
    pixel = torch.minimum(torch.maximum(pixel, start), stop - 1)
    return (2 * pixel + 1) / limit - 1


def erase(
    images: Float[Tensor, "b 3 H W"],
    mask: Bool[Tensor, "b H W"],
    fill: str = "mean",
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> Float[Tensor, "b 3 H W"]:
    """Erase the masked pixels (after eq. (6)).

    images  normalised with ``mean`` and ``std``
    mask    True where to erase
    fill    "mean": zero after normalisation, the data's mean colour (default) · "black": zero before
            normalisation · "noise": Gaussian noise · "channel_mean": each image's own mean colour
    returns new images
    raises  ValueError for another fill
    """
    if fill == "mean":
        paint = images.new_zeros(())
    elif fill == "black":
        black = [images.new_full((), -m / s) for m, s in zip(mean, std, strict=True)]
        paint = torch.stack(black).view(1, -1, 1, 1)
    elif fill == "noise":
        paint = torch.randn_like(images)
    elif fill == "channel_mean":
        paint = images.mean((2, 3), keepdim=True)
    else:
        raise ValueError(f"fill must be one of {', '.join(FILLS)}, got {fill!r}")
    return torch.where(mask[:, None], paint, images)
