"""Compare boxes and masks with ground truth: the object's box, and the places of the deciding parts.

Two terms. The *view* is what the network sees of a file at test time: resized, then cropped at the centre (as
``loading.to_input`` does). All coordinates here are pixels of the view. A *deciding map* is a weight map that sums
to 1 and lies on the parts that tell an image's class from its nearest classes. Its sum inside a mask is the share of
the deciding parts that the mask contains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gholm_kit.drawn import MiniTruth
from gholm_lib import masking
from gholm_lib.config import Config
from gholm_lib.datasets import FineGrainedData, Sample, load_image
from gholm_lib.loading import to_input
from gholm_lib.model import GHOLMNet
from gholm_lib.predictions import accuracy
from gholm_lib.uncertainty import mcnemar

BATCH = 64  # images at a time; bounds the memory


@dataclass(frozen=True)
class Study:
    """N test images and their ground truth; None where the data set has none.

    images (N, 3, s, s) normalised, labels (N,), boxes (N, 4) float pixels of the view, deciding (N, s, s) float32
    """

    samples: tuple[Sample, ...]
    images: Tensor
    labels: Tensor
    boxes: Tensor | None
    deciding: Tensor | None

    def __len__(self) -> int:
        return len(self.samples)


def study_images(
    data: FineGrainedData, config: Config, truth: MiniTruth | None = None, count: int = 220
) -> Study:
    """About ``count`` test images, evenly spaced through the list, as the network sees them."""
    samples = data.test[:: max(1, len(data.test) // count)]
    images = [load_image(s.path) for s in samples]
    boxes = None
    if all(s.box for s in samples):
        boxes = torch.tensor([view_box(s.box, i.size, config) for s, i in zip(samples, images, strict=True)])
    return Study(
        samples=samples,
        images=torch.stack([to_input(i, config) for i in images]),
        labels=torch.tensor([s.label for s in samples]),
        boxes=boxes,
        deciding=None if truth is None else torch.stack([deciding_map(truth, s, config) for s in samples]),
    )


# ---------------------------------------------------------------------- geometry


def view_box(box: Sequence[float], size: tuple[int, int], config: Config) -> list[float]:
    """A box in pixels of a file of ``size`` (width, height) → pixels of the view, clipped at its edges."""
    scale_x, scale_y, offset = _to_view(size, config)
    x0, y0, x1, y1 = box
    corners = (x0 * scale_x, y0 * scale_y, x1 * scale_x, y1 * scale_y)
    return [float(np.clip(c - offset, 0, config.image_size)) for c in corners]


def _to_view(size: tuple[int, int], config: Config) -> tuple[float, float, int]:
    """view = file * scale - offset, as ``loading.to_input`` resizes and crops."""
    side = config.resize if config.random_crop else config.image_size
    return side / size[0], side / size[1], round((side - config.image_size) / 2)


def iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes (N, 4) and others (N, 4): (N,) in 0..1; 0 for two empty boxes."""
    boxes, others = boxes.double(), others.double()
    low, high = torch.maximum(boxes[:, :2], others[:, :2]), torch.minimum(boxes[:, 2:], others[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (others[:, 2:] - others[:, :2]).prod(1) - both
    return torch.where(union > 0, both / union.clamp(min=1e-9), 0.0)


def box_masks(boxes: Tensor, size: int) -> Tensor:
    """Boxes (N, 4) as masks (N, size, size) bool."""
    pixels = torch.arange(size, device=boxes.device)
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    columns, rows = (pixels >= x0) & (pixels < x1), (pixels >= y0) & (pixels < y1)
    return rows[:, :, None] & columns[:, None, :]


def share(weights: Tensor, mask: Tensor) -> Tensor:
    """Share of each map (N, H, W) that lies inside its mask (N, H, W) bool: (N,). Maps need not sum to 1."""
    return (weights * mask).sum((1, 2)) / weights.sum((1, 2)).clamp(min=1e-12)


# ---------------------------------------------------------------------- deciding parts


def nearest_classes(truth: MiniTruth, name: str) -> dict[str, tuple[str, ...]]:
    """The classes that differ from class ``name`` in the fewest parts → those parts."""
    differing = {o: truth.differing_parts(name, o) for o in truth.classes if o != name}
    fewest = min(map(len, differing.values()))
    return {o: parts for o, parts in differing.items() if len(parts) == fewest}


def class_parts(truth: MiniTruth, name: str) -> tuple[str, ...]:
    """The parts that tell class ``name`` from its nearest classes, in the order of ``truth.parts``."""
    wanted = {p for parts in nearest_classes(truth, name).values() for p in parts}
    return tuple(p for p in truth.parts if p in wanted)


def deciding_map(truth: MiniTruth, sample: Sample, config: Config) -> Tensor:
    """Where an image's class is decided: (s, s) float32 that sums to 1, with equal weight for each part.

    A part is represented by the disc that contains all its variants, because "no crest" must be seen just as a crest
    must. Parts outside the view are left out; if all are, the map is zero.
    """
    # A part map is as large as its picture; reading it is the cheapest way to get that size.
    height, width = truth.part_map(sample.image_id).shape
    regions = truth.regions(sample.image_id)
    discs = [
        _disc(regions[p], (width, height), config) for p in class_parts(truth, truth.classes[sample.label])
    ]
    seen = [d / d.sum() for d in discs if d.any()]
    return sum(seen) / len(seen) if seen else torch.zeros(config.image_size, config.image_size)


def _disc(region: Sequence[float], size: tuple[int, int], config: Config) -> Tensor:
    """A disc x, y, radius in pixels of the file: (s, s) float32, 1 inside."""
    x, y, radius = region
    scale_x, scale_y, offset = _to_view(size, config)
    pixel = torch.arange(config.image_size) + 0.5 + offset
    across, down = pixel / scale_x - (x + 0.5), pixel / scale_y - (y + 0.5)  # in the file's pixels
    return (across[None, :] ** 2 + down[:, None] ** 2 <= radius**2).float()


# ---------------------------------------------------------------------- eq. (5): crops


@torch.no_grad()
def logits_of(net: GHOLMNet, images: Tensor) -> Tensor:
    """Logits from one pass through backbone and head, in batches that fit in memory: (N, K)."""
    return torch.cat([net.classify(x) for x in images.split(BATCH)])


def heat_of(net: GHOLMNet, images: Tensor) -> Tensor:
    """Heatmaps of the predicted classes (eq. 1-3), in batches that fit in memory: (N, s, s)."""
    return torch.cat([net.heatmap(x) for x in images.split(BATCH)])


def crop_sweep(net: GHOLMNet, study: Study, heat: Tensor, mus: Sequence[float]) -> pd.DataFrame:
    """What the crop of eq. (5) keeps at each mu, and how the network classifies it; one row per mu and image.

    Columns: mu, image, box_area (share of the view), iou with the object's box, kept (share of the deciding map in
    the box), crop_right and both_right (Crop alone, Raw + Crop). NaN where there is no ground truth.
    """
    raw, size = logits_of(net, study.images), study.images.shape[-1]
    nothing = torch.full((len(study),), torch.nan)
    tables = []
    for mu in mus:
        boxes = net.boxes(heat, mu)
        crops = logits_of(net, masking.crop(study.images, boxes, size))
        inside = box_masks(boxes, size)
        columns = {
            "box_area": inside.float().mean((1, 2)),
            "iou": nothing if study.boxes is None else iou(boxes, study.boxes),
            "kept": nothing if study.deciding is None else share(study.deciding, inside),
            "crop_right": crops.argmax(1) == study.labels,
            "both_right": (raw + crops).argmax(1) == study.labels,
        }
        tables.append(_table({"mu": mu}, columns))
    return pd.concat(tables, ignore_index=True)


def _table(constant: dict, columns: dict[str, Tensor]) -> pd.DataFrame:
    arrays = {name: value.numpy() for name, value in columns.items()}
    count = len(next(iter(arrays.values())))
    return pd.DataFrame({**{k: [v] * count for k, v in constant.items()}, "image": range(count), **arrays})


def component_boxes(mask: np.ndarray, connectivity: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All connected components of one mask (H, W) bool, the largest first.

    returns  labels (H, W) int, 0 outside and k for the k-th largest; boxes (K, 4); areas (K,) in pixels. Ties
             are ordered as in ``masking.largest_component_boxes``.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    x, y, w, h, area = stats[1:].T
    order = np.lexsort((x, y, -area))
    rank = np.zeros(len(stats), int)
    rank[1 + order] = np.arange(1, len(stats))
    return rank[labels], np.stack([x, y, x + w, y + h], 1)[order], area[order]


def wrong_components(study: Study, heat: Tensor, mu: float, connectivity: int = 8) -> pd.DataFrame:
    """Images where another component's box contains more of the deciding map than the largest one's, worst first.

    Columns: image, components, largest and other (share of the deciding map in the largest component's box and in
    the best other one's), missed = other - largest.
    """
    if study.deciding is None:
        raise ValueError(
            "this data set has no ground truth of its parts, so the right component is unknown: take a mini set"
        )
    rows = []
    for i, mask in enumerate(masking.threshold(heat, mu).numpy()):
        _, boxes, _ = component_boxes(mask, connectivity)
        if len(boxes) < 2:
            continue
        maps = study.deciding[i].expand(len(boxes), -1, -1)
        held = share(maps, box_masks(torch.from_numpy(boxes), mask.shape[-1])).numpy()
        rows.append((i, len(boxes), held[0], held[1:].max()))
    found = pd.DataFrame(rows, columns=["image", "components", "largest", "other"])
    found["missed"] = found.other - found.largest
    return found[found.missed > 0].sort_values("missed", ascending=False, ignore_index=True)


# ---------------------------------------------------------------------- eq. (6): erasure


def level_masks(heat: Tensor, level: float | Tensor, by: str = "mean") -> Tensor:
    """Where heat > level times its mean (eq. 6) or its maximum (WS-DAN's public code): (N, H, W) bool.

    level  a number, or one for each map, (N,)
    """
    if by == "mean":
        return masking.threshold(heat, level)
    if by == "max":
        return heat > torch.as_tensor(level).view(-1, 1, 1) * heat.amax((1, 2), keepdim=True)
    raise ValueError(f'by must be "mean" or "max", got {by!r}')


def moved(masks: Tensor, seed: int = 0) -> Tensor:
    """Each mask (N, H, W) moved by a random offset, wrapping round at the edges: same shape, same area."""
    count, height, width = masks.shape
    generator = torch.Generator().manual_seed(seed)
    down = torch.randint(height, (count,), generator=generator).tolist()
    across = torch.randint(width, (count,), generator=generator).tolist()
    rolled = [m.roll(offset, (0, 1)) for m, *offset in zip(masks, down, across, strict=True)]
    return torch.stack(rolled)


def erasure_sweep(
    net: GHOLMNet,
    study: Study,
    heat: Tensor,
    levels: Sequence[float],
    by: str = "mean",
    fill: str = "mean",
    seed: int = 0,
) -> pd.DataFrame:
    """Erase the attended region, or the same shape moved at random; one row per level, place and image.

    Columns: level, place ("attended" or "moved"), image, erased (share of the view), removed (share of the deciding
    map; NaN where unknown), confidence (probability of the class predicted for the whole image), right (bool).
    ``seed`` sets the random offsets and the noise.
    """
    said = logits_of(net, study.images).argmax(1)
    nothing = torch.full((len(study),), torch.nan)
    tables = []
    for level in levels:
        attended = level_masks(heat, level, by)
        for place, masks in {"attended": attended, "moved": moved(attended, seed)}.items():
            logits = logits_of(net, erased(net, study.images, masks, fill, seed))
            columns = {
                "erased": masks.float().mean((1, 2)),
                "removed": nothing if study.deciding is None else share(study.deciding, masks),
                "confidence": logits.softmax(1).gather(1, said[:, None])[:, 0],
                "right": logits.argmax(1) == study.labels,
            }
            tables.append(_table({"level": level, "place": place}, columns))
    return pd.concat(tables, ignore_index=True)


def erased(net: GHOLMNet, images: Tensor, masks: Tensor, fill: str, seed: int = 0) -> Tensor:
    """Eq. (6) with the network's own mean colour; noise comes from ``seed`` and affects no other random numbers."""
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(seed)
        return masking.erase(images, masks, fill, net.config.image_mean, net.config.image_std)


def after_erasure(
    net: GHOLMNet, study: Study, heat: Tensor, theta: float, fill: str = "mean", seed: int = 0
) -> tuple[pd.DataFrame, Tensor]:
    """Where the network looks after the attended region is erased: a table (one row per image), the second heatmap.

    Columns: image, erased (share of the view), heat_in_hole (share of the second heatmap inside the erased region),
    deciding_before and deciding_after (shares of the first and of the second heatmap on the deciding parts),
    changed (the prediction differs), right. The second heatmap (N, s, s) is for the class predicted after erasing.
    """
    masks = masking.threshold(heat, theta)
    images = erased(net, study.images, masks, fill, seed)
    second = heat_of(net, images)
    before, after = logits_of(net, study.images).argmax(1), logits_of(net, images).argmax(1)
    nothing = torch.full((len(study),), torch.nan)
    places = None if study.deciding is None else study.deciding > 0
    columns = {
        "erased": masks.float().mean((1, 2)),
        "heat_in_hole": share(second, masks),
        "deciding_before": nothing if places is None else share(heat, places),
        "deciding_after": nothing if places is None else share(second, places),
        "changed": before != after,
        "right": after == study.labels,
    }
    return _table({}, columns), second


def best_mu(sweep: pd.DataFrame, mu: float, column: str = "crop_right") -> dict[str, float]:
    """The mu of a ``crop_sweep`` with the most right answers, compared with ``mu`` on the same images.

    Keys: best, best_accuracy, accuracy (of ``mu``) in percent, and p, of McNemar's exact test between the two. The
    best mu was chosen on these same images, so p is, if anything, too small.
    """
    right = {m: rows[column].to_numpy(bool) for m, rows in sweep.groupby("mu")}
    if mu not in right:
        raise ValueError(f"mu = {mu:g} is not in the sweep: {', '.join(f'{m:g}' for m in right)}")
    best = max(right, key=lambda m: right[m].sum())
    return {
        "best": best,
        "best_accuracy": 100 * accuracy(right[best]),
        "accuracy": 100 * accuracy(right[mu]),
        "p": mcnemar(right[best], right[mu]),
    }
