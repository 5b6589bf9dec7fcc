"""The paper's six figures for a preset, with their alt text, for ``gholm reproduce --figure`` and chapter 06."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import timm
import torch
from matplotlib.figure import Figure

from gholm_lib import figures, plots
from gholm_lib.backbone import create_backbone
from gholm_lib.config import Config
from gholm_lib.datasets import FineGrainedData, Sample, load_dataset
from gholm_lib.experiments import kept_weights, trained_network
from gholm_lib.figures import contrast
from gholm_lib.figures import paper as drawings
from gholm_lib.model import GHOLMNet
from gholm_lib.records import RECORD
from gholm_lib.reproduce import grid
from gholm_lib.training import RunOptions, split_data
from gholm_lib.transforms import Batches, ImageView, loader

Drawn = tuple[Figure, str]  # figure, alt text


def network_at_hand(config: Config, options: RunOptions) -> GHOLMNet | None:
    """The trained network of a config if there is one, kept or in the runs folder; never trains."""
    if (Path(options.runs) / config.run_id / RECORD).exists() or kept_weights(config).exists():
        return trained_network(config, options)[0]
    return None


def some_images(data: FineGrainedData, count: int, seed: int) -> list[Sample]:
    """Test images of ``count`` different classes, drawn from the seed; nobody picks them."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(len(data.classes), count, replace=False)
    return [data.test[int(rng.choice([i for i, s in enumerate(data.test) if s.label == k]))] for k in classes]


def _first(preset: str, options: RunOptions) -> tuple[GHOLMNet, FineGrainedData]:
    """The network of row 4 on the first data set; trains it where it is not at hand."""
    config = grid.config_for(preset, "cub")
    return trained_network(config, options)[0], load_dataset(config.dataset, options.data_root)


def figure_1(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """Classes that look alike, and how much one class varies."""
    data = load_dataset(grid.DATASETS[preset]["cub"], options.data_root)
    shown = sorted(np.random.default_rng(seed).choice(len(data.classes), 5, replace=False).tolist())
    return (
        figures.variance_grid(data, shown, rows=3, seed=seed),
        "Figure 1: columns are classes, rows are images; pose, place and light differ within a column",
    )


def figure_2(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """The whole network, with one image's own pictures."""
    net, data = _first(preset, options)
    path = drawings.follow(net, some_images(data, 1, seed)[0])
    return (
        drawings.whole_network(path, net.config),
        "Figure 2: an image goes through ConvNeXt to logits; their gradient gives a heatmap; from it come a crop "
        "and an erased image, which go through the same ConvNeXt; each branch has a loss, eq. (11) ties two of them",
    )


def figure_3(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """GradCAM step by step."""
    net, data = _first(preset, options)
    path = drawings.follow(net, some_images(data, 1, seed)[0])
    return (
        drawings.gradcam_flow(path, net.config),
        "Figure 3: image, four feature maps with their weights, the weighted sum, what ReLU leaves, the heatmap",
    )


def figure_4(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """The ConvNeXt block, of the paper's network and, beside it, of the mini backbone."""
    with torch.device("meta"):
        backbones = {"ConvNeXt-S": timm.create_model("convnext_small")}
        if preset == "mini":
            backbones["mini backbone"] = create_backbone(Config.backbone, 2, "none")
    return (
        drawings.convnext_block(backbones),
        "Figure 4: a ConvNeXt block from bottom to top: 7 by 7 depthwise convolution, layer norm, 1 by 1 up, GELU, "
        "1 by 1 down, and the residual round them",
    )


@torch.no_grad()
def figure_5(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """Positive and negative samples of the first training batch, for one anchor."""
    net, data = _first(preset, options)
    split = split_data(net.config, data)
    view = ImageView(split.train, net.config, train=True)
    batches = Batches(len(view), net.config.batch_size, seed=seed)
    images, labels, _ = next(iter(loader(view, batches, workers=0, pin_memory=False)))
    boxes = net.attend(images).crop_boxes
    anchor = int((labels == labels.mode().values).nonzero()[0])
    pictures = contrast.pictures_of(images, boxes, net.config)
    return (
        contrast.anchor_pairs(pictures, labels, anchor, split.classes, net.config.dataset),
        "Figure 5: one anchor of a batch, its few positives (its class, and its own crop) and its many negatives",
    )


def figure_6(preset: str, options: RunOptions, seed: int = 0, images: int = 2) -> Drawn:
    """The branches on all four data sets; a set whose network is not at hand says "not run"."""
    columns = []
    for dataset in grid.DATASETS[preset]:
        config = grid.config_for(preset, dataset)
        net = network_at_hand(config, options)
        if net is None:
            columns.append((config.dataset, "", None))
            continue
        data = load_dataset(config.dataset, options.data_root)
        for sample in some_images(data, images, seed):
            path = drawings.follow(net, sample)
            said = drawings.verdict(path.raw + path.cropped, sample.label, data.classes)
            columns.append((config.dataset, said, path))
    return (
        drawings.branch_grid(columns, grid.config_for(preset, "cub").mu),
        "Figure 6: columns are test images of the four sets, drawn at random; rows: image with the answer, heatmap "
        "with the contour at mu and the box, crop, erased image",
    )


_FIGURES = (figure_1, figure_2, figure_3, figure_4, figure_5, figure_6)


def figure(number: int, preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """One of the paper's figures, and its alt text."""
    return _FIGURES[number - 1](preset, options, seed)


def write_figure(number: int, preset: str, options: RunOptions) -> Path:
    """Draw a figure and save it as PNG and SVG."""
    drawn, _ = figure(number, preset, options)
    return plots.save(drawn, f"06_figure_{number}_{preset}")
