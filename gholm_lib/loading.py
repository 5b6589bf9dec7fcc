"""From an image file to the network's input (section 4.2), and back for display.

An image is first resized to a square (the paper stretches it). The result never changes, so it is computed once
and, if the data set is small, kept in memory. Then come the random steps. Each image has a seed of its own, so
that they depend neither on the number of workers nor on whether the run was resumed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2

from gholm_lib.config import Config, OfWeights
from gholm_lib.datasets import (
    DATASETS,
    CorruptImageError,
    DataError,
    Sample,
    ScaledImageWarning,
    read_image,
)

CACHE_LIMIT = 2**30  # bytes of resized images kept in memory


def resized(image: Image.Image, config: Config) -> Tensor:
    """A PIL image → (3, resize, resize) uint8; without random crops (``random_crop``), image_size instead.

    With ``crop_from="original"``, here and in all that follows, each side is crop_scale times as long.
    """
    side = _resized_side(config)
    image = image.resize((side, side), Image.Resampling[config.interpolation.upper()], reducing_gap=3.0)
    return v2.functional.pil_to_tensor(image)


def _resized_side(config: Config) -> int:
    return config.input_scale * (config.resize if config.random_crop else config.image_size)


def training_transform(config: Config) -> v2.Compose:
    """(3, r, r) uint8 → (3, s, s) float: random crop, flip, brightness and saturation, normalised."""
    steps = [v2.RandomCrop(config.input_scale * config.image_size)] if config.random_crop else []
    steps += [
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(brightness=config.brightness, saturation=config.saturation),
    ]
    return v2.Compose([*steps, *_normalised(config)])


def test_transform(config: Config) -> v2.Compose:
    """(3, r, r) uint8 → (3, s, s) float: centre crop, normalised."""
    return v2.Compose([v2.CenterCrop(config.input_scale * config.image_size), *_normalised(config)])


def to_input(image: Image.Image, config: Config) -> Tensor:
    """One image as the network sees it at test time: (3, s, s) float, normalised."""
    return test_transform(config)(resized(image, config))


def described_colours(config: Config) -> str:
    """The mean and std of the network's input, each with its source, in one line."""

    def words(name: str, value: tuple[float, ...]) -> str:
        source = "of its pretrained weights" if isinstance(value, OfWeights) else "as set"
        return f"{name} {' '.join(f'{v:g}' for v in value)} ({source})"

    mean, std = words("mean", config.image_mean), words("std", config.image_std)
    return f"input of {config.backbone}: {mean}, {std}"


def to_picture(image: Tensor, config: Config) -> Tensor:
    """Undo the normalisation: (..., 3, H, W) float → the same shape in 0..1, for display."""
    mean, std = (
        torch.tensor(v, device=image.device).view(3, 1, 1) for v in (config.image_mean, config.image_std)
    )
    return (image * std + mean).clamp(0, 1)


def _normalised(config: Config) -> list[v2.Transform]:
    return [
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(list(config.image_mean), list(config.image_std)),
    ]


class ImageView(Dataset):
    """Samples as network inputs. Item ``(i, seed)`` → (3, s, s) float, label, i.

    The random steps of training take the seed; for the test transform it is None. For a control (``crop_box``) that
    needs one, the aim of Crop follows: for "random" a place (2,) in 0..1; for "object" and "parts" the box (4,) in
    pixels of the network's input, the whole input if nothing of it is in view; for "whole" another view (3, s, s).
    """

    def __init__(self, samples: Sequence[Sample], config: Config, train: bool) -> None:
        self.samples, self.config = tuple(samples), config
        self.train = train
        self.transform = training_transform(config) if train else test_transform(config)
        side = _resized_side(config)
        self.warned = False
        small = len(self.samples) * 3 * side * side <= CACHE_LIMIT
        self.cache = self._load_all() if small else None

    def _load_all(self) -> list[Tensor]:
        with ThreadPoolExecutor() as pool:  # decoding releases Python's lock
            return list(pool.map(self._load, range(len(self.samples))))

    def _load(self, i: int) -> Tensor:
        path = self.samples[i].path
        try:
            picture = read_image(path)
        except CorruptImageError as error:
            name = self.config.dataset
            check = f"{name} --images" if name in DATASETS else "FOLDER"
            others = f"`gholm data check {check}` lists every such file"
            raise CorruptImageError(f"{str(error).removesuffix('.')}; {others}.") from error
        if picture.scaled and not self.warned:  # a set of such images would give a line for each of them
            self.warned = True
            words = f"{path}: {picture.scaled}; others like it are not named"
            warnings.warn(words, ScaledImageWarning, stacklevel=1)
        return resized(picture.image, self.config)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, item: tuple[int, int | None]) -> tuple[Tensor | int, ...]:
        i, seed = item
        image = self._load(i) if self.cache is None else self.cache[i]
        if seed is None:
            if self.config.crop_box != "random":
                return self._item(i, image)
            seed = (self.config.seed * 1_000_003 + i) % 2**63  # a test repeats its random boxes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._item(i, image)

    def _item(self, i: int, image: Tensor) -> tuple[Tensor | int, ...]:
        label, kind = self.samples[i].label, self.config.crop_box
        if kind in ("object", "parts"):
            view, box = self._with_box(image, self.samples[i])
            return view, label, i, box
        view = self.transform(image)
        if kind == "random":
            return view, label, i, torch.rand(2)
        if kind == "whole":
            return view, label, i, self.transform(image) if self.train else view.flip(-1)
        return view, label, i

    def _with_box(self, image: Tensor, sample: Sample) -> tuple[Tensor, Tensor]:
        """The view, and the sample's aim in it: the smallest box in whole pixels of the network's input, float."""
        side, scale = image.shape[-1], self.config.input_scale
        if sample.aim is None:
            raise ValueError(
                f"{sample.image_id} has no aim for crop_box={self.config.crop_box!r}; take the samples of split_data"
            )
        shares = torch.tensor([sample.aim])
        box = tv_tensors.BoundingBoxes(side * shares, format="XYXY", canvas_size=(side, side))
        view, moved = self.transform(tv_tensors.Image(image), box)
        x0, y0, x1, y1 = (moved.as_subclass(Tensor)[0] / scale).tolist()
        if x0 >= x1 or y0 >= y1:  # the random crop has cut it off
            x0, y0, x1, y1 = 0, 0, self.config.image_size, self.config.image_size
        whole_pixels = [math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)]
        return view.as_subclass(Tensor), torch.tensor(whole_pixels, dtype=torch.float32)

    def __getitems__(self, items: Sequence[tuple[int, int | None]]) -> list | DataError:
        """A batch for a loader, or the error of an image in it: see :class:`_Loader`."""
        try:
            return [self[item] for item in items]
        except DataError as error:
            return error


class _Loader(DataLoader):
    """A loader that raises an image's error as it is.

    PyTorch's own would bring an error that a worker raises as its traceback in words; so workers hand it over.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator serves as well
        for batch in super().__iter__():
            if isinstance(batch, DataError):
                raise batch
            yield batch


def _collate(items: list | DataError) -> Any:
    return items if isinstance(items, DataError) else default_collate(items)


class Batches(Sampler[list]):
    """Batches of ``(index, seed)`` for one process of several.

    In training (with a ``seed``) the processes share the global batch of ``batch_size`` images, so that it does not
    depend on their number; an incomplete last batch is left out. In evaluation each image appears exactly once.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int | None = None, rank: int = 0, processes: int = 1
    ) -> None:
        if seed is not None and batch_size % processes:
            raise ValueError(
                f"batch_size {batch_size} cannot be divided evenly among {processes} processes; "
                f"choose a multiple of {processes}"
            )
        if seed is not None and count < batch_size:
            raise ValueError(
                f"{count} training images do not fill one batch of {batch_size}; "
                f"choose a batch_size of at most {count}"
            )
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.rank, self.processes = rank, processes
        self.epoch = 0

    def __len__(self) -> int:
        if self.seed is not None:
            return self.count // self.batch_size
        own = len(range(self.rank, self.count, self.processes))
        return -(-own // self.batch_size)

    def __iter__(self) -> Iterator[list]:
        return self._train(self.seed) if self.seed is not None else self._test()

    def _train(self, seed: int) -> Iterator[list]:
        generator = torch.Generator().manual_seed((seed * 1_000_003 + self.epoch) % 2**63)
        order = torch.randperm(self.count, generator=generator).tolist()
        seeds = torch.randint(2**62, (self.count,), generator=generator).tolist()
        items = list(zip(order, seeds, strict=True))
        for step in range(len(self)):
            batch = items[step * self.batch_size : (step + 1) * self.batch_size]
            yield batch[self.rank :: self.processes]

    def _test(self) -> Iterator[list]:
        own = range(self.rank, self.count, self.processes)
        for start in range(0, len(own), self.batch_size):
            yield [(i, None) for i in own[start : start + self.batch_size]]


def loader(view: ImageView, batches: Batches, workers: int, pin_memory: bool) -> DataLoader:
    """A loader with ``workers`` processes that read files; images that are in memory need none."""
    workers = 0 if view.cache is not None else workers
    return _Loader(
        view,
        batch_sampler=batches,
        collate_fn=_collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )
