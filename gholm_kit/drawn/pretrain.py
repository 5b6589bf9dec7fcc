"""Pretraining of the mini backbones: where their starting weights come from.

The paper starts from ImageNet-22k; the mini networks start from weights learned here, on drawn animals and
machines whose combination of parts belongs to none of the mini sets' classes. Each picture is labelled by the
variant of each of its parts (many small classifiers, thrown away afterwards), so the network learns to see small
parts, not the classes that it will be tested on. ``gholm pretrain`` writes the weights and a record beside them.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from gholm_kit.drawn import FAMILY_NAMES, get_family
from gholm_kit.drawn.write import worker_pool
from gholm_lib import masking
from gholm_lib.backbone import MINI2, create_backbone, packaged_weights
from gholm_lib.config import IMAGENET_MEAN, IMAGENET_STD
from gholm_lib.environment import describe_environment
from gholm_lib.records import write_whole

NO_LABEL = -100  # cross_entropy's ignore_index: a part that the pictured object does not have
FAR = 0.2  # of the picture's side: a cell farther than this from every part is called empty
MARGIN = 0.06  # left out on each side when measuring, as at test time
_STREAM = 7919  # keeps these pictures' seeds apart from those of the mini sets


@dataclass(frozen=True)
class PretrainSettings:
    """Settings of the pretraining; written into its record."""

    backbone: str = MINI2
    """Which backbone: gholm_convnext_mini2, gholm_convnext_mini or another small one of timm's."""
    images: int = 12000
    """Pictures, a quarter of each family."""
    held_out: int = 800
    """Further pictures that only measure."""
    epochs: int = 8
    """Passes over the pictures."""
    batch_size: int = 32
    """Pictures a step."""
    lr: float = 2e-3
    """Peak learning rate of AdamW, warmed up over one epoch and lowered to 0 along a cosine."""
    weight_decay: float = 0.02
    """AdamW."""
    resize: int = 182
    """Side to which a picture is scaled."""
    image_size: int = 112
    """Side of the network's input."""
    zoom: float = 0.5
    """Smallest cut-out, as a share of the picture's side; enlarged to image_size like a crop."""
    empty_weight: float = 0.3
    """Weight of the features' energy where no part is; 0 leaves it out."""
    seed: int = 0
    """Seeds pictures, weights and order."""


@dataclass(frozen=True)
class Drawn:
    """N pictures and what is known of their parts, one column for each of the P parts of all families."""

    images: Tensor  # (N, 3, resize, resize) uint8
    labels: Tensor  # (N, P) int64, the part's variant; NO_LABEL for another family's parts and hidden ones
    points: Tensor  # (N, P, 2) float32, x and y of the part as shares of the picture's side

    def __len__(self) -> int:
        return len(self.images)


def part_columns() -> list[tuple[str, str, int]]:
    """The columns of the labels: (family, part, number of variants)."""
    return [
        (name, part, len(variants))
        for name in FAMILY_NAMES
        for part, variants in get_family(name).variants.items()
    ]


def draw(count: int, start: int, settings: PretrainSettings, desc: str) -> Drawn:
    """Pictures number ``start`` to ``start + count`` of the pretraining stream."""
    numbers = range(start, start + count)
    with worker_pool() as pool:
        results = pool.map(_draw_one, numbers, [settings] * count, chunksize=50)
        pairs = list(tqdm(results, total=count, desc=desc, unit="img", disable=None))
    images, labels, points = zip(*pairs, strict=True)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return Drawn(pixels, torch.from_numpy(np.stack(labels)), torch.from_numpy(np.stack(points)))


def _draw_one(number: int, settings: PretrainSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cv2.setNumThreads(1)
    family = get_family(FAMILY_NAMES[number % len(FAMILY_NAMES)])
    rng = np.random.default_rng([_STREAM, settings.seed, number])
    traits = family.random_traits(rng)
    image, truth = family.picture(traits, rng)
    columns = part_columns()
    labels = np.full(len(columns), NO_LABEL, np.int64)
    points = np.zeros((len(columns), 2), np.float32)
    for k, (name, part, _) in enumerate(columns):
        point = truth.points[part] if name == family.name else None
        if point is not None:
            labels[k] = family.variants[part].index(traits[part])
            points[k] = point
    side = settings.resize
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return small, labels, points / image.shape[0]


class PartNet(nn.Module):
    """The backbone with one classifier for each part of each family."""

    def __init__(self, backbone: str = MINI2) -> None:
        super().__init__()
        self.sizes = [variants for _, _, variants in part_columns()]
        self.starts = torch.tensor(list(accumulate([0, *self.sizes[:-1]])))
        self.backbone = create_backbone(backbone, sum(self.sizes), "none")
        self.detector = nn.Conv2d(self.backbone.num_features, sum(self.sizes), 1)
        nn.init.constant_(self.detector.bias, -4.0)  # a part is rarely in a given cell

    def loss(self, images: Tensor, labels: Tensor, points: Tensor) -> dict[str, Tensor]:
        """Three terms; images (B, 3, s, s), labels (B, P), points (B, P, 2).

        "whole"  cross-entropy of each part's variant from the pooled features
        "place"  detection: a variant's own channel is to answer at its part's place, and nowhere else. From the
                 whole picture alone, a part of one percent of the pixels gives too weak a signal to start from.
        "empty"  share of the features' energy in cells far from every part. GradCAM sums the features of a cell with
                 the head's weights: features that vanish where nothing is give no heat there.
        """
        features = self.backbone.forward_features(images)
        whole, places = self.backbone.forward_head(features), self.detector(features)
        count = (labels != NO_LABEL).sum().clamp(min=1)
        pairs = zip(whole.split(self.sizes, dim=1), labels.unbind(1), strict=True)
        total = sum(F.cross_entropy(y, t, ignore_index=NO_LABEL, reduction="sum") for y, t in pairs)
        return {
            "whole": total / count,
            "place": self._detection(places, labels, points) / count,
            "empty": empty_energy(features, labels, points),
        }

    def _detection(self, places: Tensor, labels: Tensor, points: Tensor) -> Tensor:
        """Focal loss (Lin et al., 2017, gamma 2) of (B, V, h, w) against the cells in which the parts lie."""
        h, w = places.shape[-2:]
        target = torch.zeros_like(places)
        image, part = (labels != NO_LABEL).nonzero(as_tuple=True)
        channel = self.starts[part] + labels[image, part]
        x = (points[image, part, 0] * w).long().clamp(0, w - 1)
        y = (points[image, part, 1] * h).long().clamp(0, h - 1)
        target[image, channel, y, x] = 1
        loss = F.binary_cross_entropy_with_logits(places, target, reduction="none")
        return (loss * (1 - torch.exp(-loss)) ** 2).sum()


def empty_energy(features: Tensor, labels: Tensor, points: Tensor) -> Tensor:
    """Share of the energy of features (B, C, h, w) in cells farther than FAR from every labelled part, in 0..1.

    Pictures without a labelled part say nothing about where their object is, and are left out.
    """
    known = labels != NO_LABEL  # (B, P)
    y, x = (torch.arange(n).add(0.5).div(n) for n in features.shape[-2:])
    cells = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flip(-1).reshape(1, -1, 2)
    distance = torch.cdist(cells.to(points), points).masked_fill(~known[:, None], math.inf)
    empty = (distance.amin(-1) > FAR) & known.any(1, keepdim=True)  # (B, h * w)
    energy = features.square().sum(1).flatten(1)[known.any(1)]
    return (energy * empty[known.any(1)]).sum() / energy.sum().clamp(min=1e-12)


def augmented(
    drawn: Drawn, index: Tensor, settings: PretrainSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A random cut-out of each picture, enlarged; flip, brightness and saturation; parts outside lose their label.

    returns images (B, 3, s, s) normalised, labels (B, P), points (B, P, 2) of the cut-out in 0..1
    """
    images, side = drawn.images[index].float() / 255, settings.resize
    u = torch.rand(len(index), 6, generator=generator)
    width = (side * (settings.zoom + (1 - settings.zoom) * u[:, 0])).long()
    x, y = ((side - width) * u[:, 1]).long(), ((side - width) * u[:, 2]).long()
    pixels = masking.crop(images, torch.stack([x, y, x + width, y + width], 1), settings.image_size)
    corner = torch.stack([x, y], 1)[:, None]
    points = (drawn.points[index] * side - corner) / width[:, None, None]
    flip = u[:, 3] < 0.5
    pixels = torch.where(flip.view(-1, 1, 1, 1), pixels.flip(-1), pixels)
    points[..., 0] = torch.where(flip[:, None], 1 - points[..., 0], points[..., 0])
    outside = ((points < 0) | (points > 1)).any(-1)
    grey = pixels.mean(1, keepdim=True)
    pixels = grey + (pixels - grey) * (0.6 + 0.8 * u[:, 4]).view(-1, 1, 1, 1)
    pixels = (pixels * (0.8 + 0.4 * u[:, 5]).view(-1, 1, 1, 1)).clamp(0, 1)
    return _normalised(pixels), drawn.labels[index].masked_fill(outside, NO_LABEL), points


def _normalised(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def part_accuracy(net: PartNet, drawn: Drawn, settings: PretrainSettings) -> dict[str, float]:
    """Share of pictures whose variant is named rightly from the middle of the picture, by "family part"."""
    net.eval()
    margin = round(MARGIN * settings.resize)
    middle = torch.tensor([[margin, margin, settings.resize - margin, settings.resize - margin]])
    outputs: list[list[Tensor]] = []
    for images in drawn.images.split(100):
        pixels = masking.crop(images.float() / 255, middle.expand(len(images), -1), settings.image_size)
        pixels = _normalised(pixels)
        said = net.backbone(pixels).split(net.sizes, dim=1)
        outputs.append([y.argmax(1) for y in said])
    net.train()
    result = {}
    for k, (family, part, _) in enumerate(part_columns()):
        said, truth = torch.cat([o[k] for o in outputs]), drawn.labels[:, k]
        known = truth != NO_LABEL
        result[f"{family} {part}"] = float((said == truth)[known].double().mean())
    return result


def pretrain(settings: PretrainSettings = PretrainSettings(), out: Path | None = None) -> None:
    """Make a mini backbone's starting weights, and their record beside them.

    Args:
        settings: What to draw and how to train.
        out: Weights file to write (default: the packaged one, gholm_lib/weights/).
    """
    out = Path(out) if out is not None else packaged_weights(settings.backbone)
    start = time.perf_counter()
    train = draw(settings.images, 0, settings, "drawing")
    test = draw(settings.held_out, settings.images, settings, "drawing held-out")
    torch.manual_seed(settings.seed)
    net = PartNet(settings.backbone).to(memory_format=torch.channels_last)
    curve = []
    optimiser = torch.optim.AdamW(net.parameters(), settings.lr, weight_decay=settings.weight_decay)
    generator = torch.Generator().manual_seed(settings.seed)
    for epoch in range(settings.epochs):
        loss = _epoch(net, optimiser, train, settings, epoch, generator)
        accuracy = part_accuracy(net, test, settings)
        mean = sum(accuracy.values()) / len(accuracy)
        curve.append({"epoch": epoch + 1, "loss": loss, "held_out_part_accuracy": mean})
        print(f"epoch {epoch + 1:2d}  loss {loss:.3f}  held-out parts {100 * mean:.1f} %", flush=True)
    record = {
        "command": _command(settings),
        "what": "drawn pictures whose parts' combination is in none of the mini sets' classes",
        "settings": asdict(settings),
        "parameters": sum(p.numel() for p in net.backbone.parameters()),
        "held_out_part_accuracy": accuracy,
        "curve": curve,
        "seconds": round(time.perf_counter() - start),
        "environment": describe_environment(torch.device("cpu"), 1),
    }
    _write(net, record, out)


def _epoch(net, optimiser, drawn: Drawn, settings, epoch: int, generator) -> float:
    order = torch.randperm(len(drawn), generator=generator).split(settings.batch_size)
    total = 0.0
    for step, index in enumerate(tqdm(order, desc=f"epoch {epoch + 1}", leave=False, disable=None)):
        for group in optimiser.param_groups:
            group["lr"] = _rate(settings, epoch + step / len(order))
        terms = net.loss(*augmented(drawn, index, settings, generator))
        loss = terms["whole"] + terms["place"] + settings.empty_weight * terms["empty"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        total += float(loss.detach())
    return total / len(order)


def _rate(settings: PretrainSettings, epochs_done: float) -> float:
    if epochs_done < 1:
        return settings.lr * epochs_done
    along = (epochs_done - 1) / max(settings.epochs - 1, 1)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * along))


def _command(settings: PretrainSettings) -> str:
    changed = [f for f in fields(settings) if getattr(settings, f.name) != f.default]
    options = [f" --{f.name.replace('_', '-')} {getattr(settings, f.name)}" for f in changed]
    return "gholm pretrain" + "".join(options)


def _write(net: PartNet, record: dict, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    drop = {"head.fc.weight", "head.fc.bias"}  # the part classifiers have done their work
    weights = {k: v.contiguous() for k, v in net.backbone.state_dict().items() if k not in drop}
    data = safetensors.torch.save(weights)
    write_whole(out, lambda f: f.write(data))
    text = json.dumps(record, indent=1)
    write_whole(out.with_suffix(".json"), lambda f: f.write(text.encode()))
