"""The paper's six figures for a preset, with alt text and their sources, for ``gholm reproduce --figure`` and
chapter 06."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from matplotlib.figure import Figure

from gholm_kit import style
from gholm_kit.reproduction import jobs
from gholm_kit.teaching.figures import contrast, start
from gholm_kit.teaching.figures import paper as drawings
from gholm_lib.backbone import create_backbone
from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import FineGrainedData, Sample, load_dataset
from gholm_lib.loading import Batches, ImageView, loader
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import figures_folder
from gholm_lib.provenance import split_data
from gholm_lib.records import RECORD, load_record
from gholm_lib.runs import kept_network, kept_weights, load_network, trained_network, weights_digest
from gholm_lib.training import require_own


class Drawn(NamedTuple):
    """A figure with its alt text and its sources; ``about`` is saved in the files."""

    figure: Figure
    alt: str
    about: dict[str, Any]  # seed, runs (config and SHA-256 of the weights of each network), ids of the images


def _about(seed: int, nets: Iterable[GHOLMNet] = (), images: Iterable[Sample] = ()) -> dict[str, Any]:
    return {
        "seed": seed,
        "runs": [{"config": n.config.to_dict(), "weights_sha256": weights_digest(n)} for n in nets],
        "images": [s.image_id for s in images],
    }


def _network(config: Config, options: RunOptions) -> GHOLMNet:
    """The kept network if there is one, so that the figure is the same everywhere; otherwise a trained one."""
    run = _finished_run(config, options)
    if kept_weights(config).exists() or run is None:
        return kept_network(config, options) or trained_network(config, options)[0]
    require_own(run, load_record(run), config, load_dataset(config.dataset, options.data_root))
    return load_network(run)


def _is_at_hand(config: Config, options: RunOptions) -> bool:
    """Whether a trained network is available, kept or in the runs folder, without training."""
    return kept_weights(config).exists() or _finished_run(config, options) is not None


def _finished_run(config: Config, options: RunOptions) -> Path | None:
    """The folder of a finished run with these settings; a local copy of the hub's weights counts as the hub."""
    runs = Path(options.runs)
    if (runs / config.run_id / RECORD).exists():
        return runs / config.run_id
    found = (
        sorted(runs.glob(f"{config.dataset}-*-s{config.seed}/{RECORD}")) if config.weights == "timm" else []
    )
    same = (p.parent for p in found if jobs.from_hub(load_record(p.parent).settings) == config)
    return next(same, None)


def some_images(data: FineGrainedData, count: int, seed: int) -> list[Sample]:
    """Test images of ``count`` different classes, chosen at random from the seed, not by hand."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(len(data.classes), count, replace=False)
    return [data.test[int(rng.choice([i for i, s in enumerate(data.test) if s.label == k]))] for k in classes]


def _first(preset: str, options: RunOptions) -> tuple[GHOLMNet, FineGrainedData]:
    """The network of row 4 on the first data set."""
    config = jobs.config_for(preset, "cub")
    return _network(config, options), load_dataset(config.dataset, options.data_root)


def figure_1(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """Classes that look alike, and the variation within a class."""
    data = load_dataset(jobs.DATASETS[preset]["cub"], options.data_root)
    shown = sorted(np.random.default_rng(seed).choice(len(data.classes), 5, replace=False).tolist())
    columns = start.variance_samples(data, shown, rows=3, seed=seed)
    return Drawn(
        start.variance_grid(data, columns),
        "Figure 1: columns are classes, rows are images; pose, place and light differ within a column",
        _about(seed, images=[s for column in columns for s in column]),
    )


def figure_2(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """The whole network, with the intermediate pictures of one image."""
    net, data = _first(preset, options)
    (sample,) = some_images(data, 1, seed)
    return Drawn(
        drawings.whole_network(drawings.follow(net, sample), net.config),
        "Figure 2: an image goes through ConvNeXt to logits; their gradient gives a heatmap; this gives a crop and "
        "an erased image, which go through the same ConvNeXt; each branch has a loss, eq. (11) links two of them",
        _about(seed, [net], [sample]),
    )


def figure_3(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """GradCAM step by step."""
    net, data = _first(preset, options)
    (sample,) = some_images(data, 1, seed)
    return Drawn(
        drawings.gradcam_flow(drawings.follow(net, sample), net.config),
        "Figure 3: image, four feature maps with their weights, the weighted sum, the result of ReLU, the heatmap",
        _about(seed, [net], [sample]),
    )


def figure_4(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """The ConvNeXt block of the paper's network and, for the preset mini, of the mini backbone beside it."""
    with torch.device("meta"):
        backbones = {"ConvNeXt-S": timm.create_model("convnext_small")}
        if preset == "mini":
            backbones["mini backbone"] = create_backbone(Config.backbone, 2, "none")
    return Drawn(
        drawings.convnext_block(backbones),
        "Figure 4: a ConvNeXt block from bottom to top: 7 by 7 depthwise convolution, layer norm, 1 by 1 up, GELU, "
        "1 by 1 down, and the residual connection round them",
        _about(seed),
    )


@torch.no_grad()
def figure_5(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """Positive and negative samples of the first training batch, for one anchor."""
    net, data = _first(preset, options)
    split = split_data(net.config, data)
    view = ImageView(split.train, net.config, train=True)
    batches = Batches(len(view), net.config.batch_size, seed=seed)
    images, labels, places = next(iter(loader(view, batches, workers=0, pin_memory=False)))
    boxes = net.attend(images).crop_boxes
    anchor = int((labels == labels.mode().values).nonzero()[0])
    pictures = contrast.pictures_of(images, boxes, net.config)
    return Drawn(
        contrast.anchor_pairs(pictures, labels, anchor, split.classes, net.config.dataset),
        "Figure 5: one anchor of a batch, its few positives (its class, and its own crop) and its many negatives",
        _about(seed, [net], [split.train[k] for k in places.tolist()]),
    )


def figure_6(preset: str, options: RunOptions, seed: int = 0, images: int = 2) -> Drawn:
    """The branches on all four data sets; a set without a trained network is marked "not run"."""

    def pick(net: GHOLMNet, data: FineGrainedData) -> Iterator[Column]:
        for sample in some_images(data, images, seed):
            path = drawings.follow(net, sample)
            yield sample, drawings.verdict(path.raw + path.cropped, sample.label, data.classes), path

    return _branch_sheet(
        preset,
        options,
        seed,
        pick,
        "Figure 6: columns are test images of the four sets, drawn at random; rows: image with the answer, heatmap "
        "with the contour at mu and the box, crop, erased image",
    )


def figure_6_failures(preset: str, options: RunOptions, seed: int = 0, images: int = 2) -> Drawn:
    """Like ``figure_6``, but for wrong answers: the first ones of each set when its test images are visited in
    random order."""

    def pick(net: GHOLMNet, data: FineGrainedData) -> Iterator[Column]:
        left = images
        for k in np.random.default_rng(seed).permutation(len(data.test)):
            sample = data.test[k]
            path = drawings.follow(net, sample)
            said = int((path.raw + path.cropped).argmax())
            if said != sample.label:
                yield sample, drawings.mistake(data.classes[said], data.classes[sample.label]), path
                left -= 1
            if not left:
                return

    return _branch_sheet(
        preset,
        options,
        seed,
        pick,
        "Figure 6 for wrong answers: columns are test images of the four sets that the network gets wrong, the "
        "first in a random order; rows: image with predicted and true class, heatmap, crop, erased image",
    )


Column = tuple[Sample, str, drawings.Path]  # image, caption, its path through the network


def _branch_sheet(preset: str, options: RunOptions, seed: int, pick, alt: str) -> Drawn:
    """Four rows of pictures for the images of each set that ``pick(net, data)`` yields."""
    columns, nets, samples = [], [], []
    for dataset in jobs.DATASETS[preset]:
        config = jobs.config_for(preset, dataset)
        if not _is_at_hand(config, options):
            columns.append((config.dataset, "", None))
            continue
        net = _network(config, options)
        nets.append(net)
        for sample, caption, path in pick(net, load_dataset(config.dataset, options.data_root)):
            samples.append(sample)
            columns.append((config.dataset, caption, path))
    mu = jobs.config_for(preset, "cub").mu
    return Drawn(drawings.branch_grid(columns, mu), alt, _about(seed, nets, samples))


# Figure number → {ending of the file name: function that draws it}.
_FIGURES = {
    1: {"": figure_1},
    2: {"": figure_2},
    3: {"": figure_3},
    4: {"": figure_4},
    5: {"": figure_5},
    6: {"": figure_6, "_failures": figure_6_failures},
}


def write_figure(number: int, preset: str, options: RunOptions, redraw: bool = False) -> list[Path]:
    """Draw a figure and save it as PNG and SVG; returns the PNGs."""
    return [
        save(draw(preset, options), _name(number, ending, preset), redraw)
        for ending, draw in _FIGURES[number].items()
    ]


def save(drawn: Drawn, name: str, redraw: bool = False) -> Path:
    """Save a figure in ``figures/``; the files note what it was drawn from.

    redraw  save even if the kept figure was drawn from the same settings, weights and images
    """
    return style.save(drawn.figure, name, about=drawn.about, kept=not redraw)


def _name(number: int, ending: str, preset: str) -> str:
    return f"06_figure_{number}{ending}_{preset}"


def differing_figures(preset: str, options: RunOptions, numbers: Sequence[int] = jobs.FIGURES) -> list[Path]:
    """The kept figures whose settings, weights or images differ from those of a figure drawn now.

    Pixels are not compared, because they depend on fonts and on the version of Matplotlib.
    """
    folder, found = figures_folder(), []
    for number in numbers:
        drawable = all(_is_at_hand(j.config, options) for j in jobs.figure_jobs(number, preset))
        for ending, draw in _FIGURES[number].items():
            path = folder / f"{_name(number, ending, preset)}.png"
            if not (drawable and path.exists()) or style.made_from(path) != draw(preset, options).about:
                found.append(path)
    return found
