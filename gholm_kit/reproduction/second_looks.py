"""What does a second look do for a network that was never trained for one? ``gholm reproduce --second-looks``.

An ImageNet network looks twice at photographs, without any training: at the whole picture (Raw), then at a crop of
it. The answer is the sum of both logits, as at the paper's test time (section 3.1). Controls look at a box of the
same size elsewhere, or at the mirror image. Each look follows the same Raw pass, so all differences are paired.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from gholm_kit.reproduction.questions import LEDGER, Question, Reading
from gholm_lib.config import Config
from gholm_lib.datasets import read_image
from gholm_lib.datasets.samples import PAGE, Photograph, listed, read_samples
from gholm_lib.environment import describe_environment
from gholm_lib.imagenet import imagenet_network, imagenet_wordnet_ids
from gholm_lib.loading import to_input
from gholm_lib.masking import crop, move_boxes
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import records_folder
from gholm_lib.records import RecordError, write_whole

MUS = (0.8, 1.0, 1.2, 1.4, 1.7, 2.0, 2.25, 2.5)
SOURCES = (
    "input",
    "original",
)  # what the box is cut from: what Raw sees, or the photograph at twice that size
PLACES = ("heatmap", "random", "centre")  # where the box is; all three have the same size
AGAIN = "mirrored"
# The ledger's questions about the box, as far as a network without training can answer them. "crop_from" is not
# here: it is asked at each mu.
ASKED = (
    "cam_weighted",
    "connectivity",
    "crop_padding",
    "thresholds",
    "crop_mask",
    "crop_min_size",
    "crop_square",
)
BATCH = 20
ABOUT, ANSWERS = "about.json", "answers.npz"


@dataclass(frozen=True)
class SecondLooks:
    """Answers to N photographs, after each of M second looks.

    about   settings of the network, names of the looks, files, environment
    label   (N,) the true classes
    raw     (N,) answers of the first look
    second  (M, N) answers of each second look alone
    both    (M, N) answers of the sum of the logits
    area    (M, N) share of the picture that the second look sees
    """

    about: dict[str, Any]
    label: np.ndarray
    raw: np.ndarray
    second: np.ndarray
    both: np.ndarray
    area: np.ndarray

    @cached_property
    def place(self) -> dict[str, int]:
        """Name of a look → its row."""
        return {name: k for k, name in enumerate(self.about["looks"])}

    def correct(self, look: str | None, answer: str = "both") -> np.ndarray:
        """(1, N) bool, as ``uncertainty.difference`` takes it: None for Raw; ``answer`` "second" or "both"."""
        given = self.raw if look is None else getattr(self, answer)[self.place[look]]
        return (given == self.label)[None]

    def save(self, folder: Path) -> None:
        """Write both files, the answers first."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self, name) for name in ("label", "raw", "second", "both", "area")}
        text = json.dumps(self.about, indent=1)
        write_whole(folder / ANSWERS, lambda f: np.savez_compressed(f, **arrays))
        write_whole(folder / ABOUT, lambda f: f.write(text.encode()))


def load_second_looks(folder: Path | None = None) -> SecondLooks:
    """The kept answers, or those in another folder; raises RecordError, which names the file."""
    path = (folder or kept_folder()) / ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        with np.load(path.with_name(ANSWERS)) as arrays:
            return SecondLooks(about, **arrays)
    except Exception as error:  # a damaged .npz raises BadZipFile, zlib.error, EOFError ...
        raise RecordError(
            f"{path} (with {ANSWERS}) cannot be read: {error or type(error).__name__}"
        ) from error


def kept_folder() -> Path:
    """Where the answers behind the kept table are."""
    return records_folder() / "second_looks"


# ---------------------------------------------------------------------- what is looked at


def look_names() -> list[str]:
    """Every second look, in the order of the record: those at each mu, the readings of the box, "mirrored"."""
    at_mus = [look_name(source, place, mu) for mu in MUS for place in PLACES for source in SOURCES]
    return [*at_mus, *(r.name for _, r in readings()), AGAIN]


def look_name(source: str, place: str, mu: float) -> str:
    """ "input heatmap 1.7": the crop of eq. (5), cut from the network's input."""
    return f"{source} {place} {mu:g}"


def readings() -> list[tuple[Question, Reading]]:
    """The ledger's other readings of the box that change nothing else, with their questions."""
    asked = [(question, r) for question in LEDGER if question.key in ASKED for r in question.readings]
    return [(q, r) for q, r in asked if not any(name.startswith("theta") for name in r.changes)]


def measure(root: Path | None = None, progress: bool = True) -> SecondLooks:
    """Look twice at all photographs below a data root: about a quarter of an hour on one core.

    raises  DataError if photographs are missing; WeightsError
    """
    photographs, ids = read_samples(root), imagenet_wordnet_ids()
    net, _ = imagenet_network()
    # The same place, as a share of the room that the box leaves, at each mu.
    places = torch.rand(len(photographs), 2, generator=torch.Generator().manual_seed(0))
    starts = tqdm(range(0, len(photographs), BATCH), unit=f"{BATCH} photos", disable=not progress)
    parts = [_look_at(net, photographs[k : k + BATCH], places[k : k + BATCH]) for k in starts]
    raw, second, both, area = (torch.cat(values, -1).numpy() for values in zip(*parts, strict=True))
    label = np.array([ids.index(p.wordnet_id) for p in photographs])
    answers = (a.astype(np.int16) for a in (label, raw, second, both))
    return SecondLooks(_about(net.config), *answers, area.astype(np.float16))


def _about(config: Config) -> dict[str, Any]:
    return {
        "looks": look_names(),
        "photographs": {"page": PAGE, "count": len(listed())},
        "config": config.to_dict(),
        "environment": describe_environment(torch.device("cpu"), 1),
    }


@dataclass(frozen=True)
class _Batch:
    """Photographs as the network sees them (b, 3, s, s), at twice that size, and what Raw makes of them."""

    images: Tensor
    originals: Tensor
    raw: Tensor  # (b, K)
    heat: Tensor  # (b, s, s)
    places: Tensor  # (b, 2) of the random boxes


@torch.no_grad()
def _look_at(net: GHOLMNet, photographs: Sequence[Photograph], places: Tensor) -> tuple[Tensor, ...]:
    """Answers of Raw (b,), of each second look alone (M, b) and in the sum (M, b), and areas (M, b)."""
    opened = [read_image(p.path).image for p in photographs]
    wide = net.config.replace(crop_from="original")
    images, originals = (torch.stack([to_input(i, c) for i in opened]) for c in (net.config, wide))
    batch = _Batch(images, originals, *net.raw_and_heat(images), places)
    looks = [*_at_each_mu(net, batch), *_by_each_reading(net, batch), _mirrored(net, batch)]
    logits, area = (torch.stack(each) for each in zip(*looks, strict=True))
    return batch.raw.argmax(-1), logits.argmax(-1), (batch.raw + logits).argmax(-1), area


Look = tuple[Tensor, Tensor]  # logits (b, K) and area (b,)


def _at_each_mu(net: GHOLMNet, batch: _Batch) -> Iterator[Look]:
    """The looks at boxes of each mu."""
    side = net.config.image_size
    for mu in MUS:
        boxes = net.boxes(batch.heat, mu)
        for moved in (boxes, move_boxes(boxes, (side, side), batch.places), move_boxes(boxes, (side, side))):
            for pictures, scale in ((batch.images, 1), (batch.originals, 2)):
                yield net.classify(crop(pictures, scale * moved, side)), _area(moved, side)


def _area(boxes: Tensor, size: int) -> Tensor:
    """Share of the picture in each box: (b,)."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1) / size**2


def _by_each_reading(net: GHOLMNet, batch: _Batch) -> Iterator[Look]:
    """The crop by the ledger's other readings, each at the mu that it names, else at the default."""
    for _, reading in readings():
        other = copy.copy(net)  # shares the weights
        other.config = net.config.replace(**reading.changes)
        seen = other.attend(batch.images)
        yield seen.crop_logits, seen.attention.box_area


def _mirrored(net: GHOLMNet, batch: _Batch) -> Look:
    return net.classify(batch.images.flip(-1)), torch.ones(len(batch.images))
