"""The paper's six figures for a preset, with alt text and their sources, for ``gholm reproduce --figure`` and
chapter 06."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timm
import torch

from gholm_kit import style
from gholm_kit.drawn import MiniTruth, load_truth
from gholm_kit.reproduction import jobs
from gholm_kit.reproduction.sheets import Drawn, Entry, about, branch_sheet, failure_sheet
from gholm_kit.teaching.deciding_parts import box_masks, deciding_map, share
from gholm_kit.teaching.figures import contrast, start
from gholm_kit.teaching.figures import paper as drawings
from gholm_kit.teaching.figures.crops import answer
from gholm_lib.backbone import create_backbone
from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import DataError, FineGrainedData, Sample, load_dataset
from gholm_lib.loading import Batches, ImageView, loader
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import figures_folder
from gholm_lib.provenance import split_data
from gholm_lib.records import RECORD, load_record
from gholm_lib.runs import NotMadeError, kept_network, kept_weights, load_network, trained_network
from gholm_lib.training import require_own


def trained(config: Config, options: RunOptions) -> tuple[GHOLMNet, str]:
    """A trained network, and where it comes from.

    The kept network if there is one, so that a figure is the same everywhere; otherwise a run, also one that started
    from a local copy of the model hub's weights.

    raises  NotMadeError, DataError, OtherOriginError
    """
    run = _finished_run(config, options)
    if kept_weights(config).exists() or run is None:
        kept = kept_network(config, options)
        source = f"kept network of run {config.run_id} (half precision)"
        return trained_network(config, options) if kept is None else (kept, source)
    require_own(run, load_record(run), config, load_dataset(config.dataset, options.data_root))
    return load_network(run), f"run {run.name} in {run.parent}"


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


def _first(preset: str, options: RunOptions) -> tuple[GHOLMNet, FineGrainedData]:
    """The network of row 4 on the first data set."""
    config = jobs.config_for(preset, "cub")
    return trained(config, options)[0], load_dataset(config.dataset, options.data_root)


EXAMPLES = 60  # test images, in random order, among which an image that explains the method is looked for


class Example(NamedTuple):
    """An image for Figures 2 and 3, its path through the network, and how it was chosen, in a sentence."""

    sample: Sample
    path: drawings.Path
    rule: str


def explaining_image(net: GHOLMNet, data: FineGrainedData, seed: int = 0) -> Example:
    """A test image on which the method works, chosen by a rule: a figure of a failure explains little.

    Of ``EXAMPLES`` images in random order, those count on which Raw and Crop are both correct. Where the deciding
    parts are known, it is the one whose crop holds most of them above its share of the image, which is what a box of
    its size would hold by chance; else it is the first. If none counts, it is the first of all; the rule says so.
    """
    order = np.random.default_rng(seed).permutation(len(data.test))[:EXAMPLES]
    truth = load_truth(data.root) if data.name.startswith("mini_") else None
    found: list[tuple[float, Sample, drawings.Path]] = []
    for sample in (data.test[k] for k in order):
        path = drawings.follow(net, sample)
        if sample.label == int(path.raw.argmax()) == int(path.cropped.argmax()):
            found.append((_held(truth, sample, path, net.config) if truth else 0.0, sample, path))
            if not truth:
                break
    among = f"{len(order)} test images in random order"
    if not found:
        sample = data.test[order[0]]
        rule = f"The first of {among}; Raw and Crop are both correct on none of them."
        return Example(sample, drawings.follow(net, sample), rule)
    _, sample, path = max(found, key=lambda one: one[0])
    rule = f"The first of {among} on which Raw and Crop are both correct."
    if truth:
        rule = (
            f"Raw and Crop are both correct on {len(found)} of {among}; the figure shows the one whose crop "
            "holds most of the deciding parts for its size."
        )
    return Example(sample, path, rule)


def _held(truth: MiniTruth, sample: Sample, path: drawings.Path, config: Config) -> float:
    """Share of the deciding parts inside the crop's box, less the box's share of the image."""
    inside = box_masks(torch.tensor([path.box]), config.image_size)
    return float(share(deciding_map(truth, sample, config)[None], inside) - inside.float().mean())


def _answers(path: drawings.Path, classes: Sequence[str]) -> str:
    """What the branches say of an image, for alt texts."""
    raw, crop = (answer(logits, classes) for logits in (path.raw, path.cropped))
    x0, y0, x1, y1 = path.box
    part = (x1 - x0) * (y1 - y0) / path.heat.size
    return f"Raw says {raw}; Crop says {crop}; the crop is {100 * part:.0f} % of the image."


def figure_1(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """Classes that look alike, and the variation within a class."""
    data = load_dataset(jobs.DATASETS[preset]["cub"], options.data_root)
    shown = sorted(np.random.default_rng(seed).choice(len(data.classes), 5, replace=False).tolist())
    columns = start.variance_samples(data, shown, rows=3, seed=seed)
    return Drawn(
        start.variance_grid(data, columns),
        f"Figure 1: columns are classes ({', '.join(data.classes[k] for k in shown)}), rows are three images of "
        "each; pose, place and light differ within a column, and a row looks much alike",
        about(seed, images=[s for column in columns for s in column]),
    )


def figure_2(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """The whole network, with the intermediate pictures of one image, see :func:`explaining_image`."""
    net, data = _first(preset, options)
    sample, path, rule = explaining_image(net, data, seed)
    return Drawn(
        drawings.whole_network(path, net.config),
        "Figure 2: an image goes through ConvNeXt to logits; their gradient gives a heatmap; this gives a crop and "
        "an erased image, which go through the same ConvNeXt; each branch has a loss, eq. (11) links two of them. "
        f"{_answers(path, data.classes)} How the image was chosen: {rule}",
        about(seed, [net], [sample]),
    )


def figure_3(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """GradCAM step by step, for the image of Figure 2."""
    net, data = _first(preset, options)
    sample, path, rule = explaining_image(net, data, seed)
    summed = (path.weights[:, None, None] * path.features).sum(0)
    hottest = tuple(int(k) for k in np.unravel_index(path.heat.argmax(), path.heat.shape))
    return Drawn(
        drawings.gradcam_flow(path, net.config),
        "Figure 3: image, four feature maps with their weights, the weighted sum, the result of ReLU, the heatmap. "
        f"ReLU sets {int((summed <= 0).sum())} of {summed.numel()} places to zero; the heat is largest at row "
        f"{hottest[0]}, column {hottest[1]} of {path.heat.shape[0]} × {path.heat.shape[1]}. "
        f"How the image was chosen: {rule}",
        about(seed, [net], [sample]),
    )


def figure_4(preset: str, options: RunOptions, seed: int = 0) -> Drawn:
    """The ConvNeXt block of the paper's network and, for the preset mini, of the mini backbone beside it."""
    with torch.device("meta"):
        backbones = {"ConvNeXt-S": timm.create_model("convnext_small")}
        if preset == "mini":
            backbones["mini backbone"] = create_backbone(Config.backbone, 2, "none")
    steps = "; ".join(
        f"{name}: {', '.join(drawings.block_steps(net))}".replace("\n", " ")
        for name, net in backbones.items()
    )
    return Drawn(
        drawings.convnext_block(backbones),
        "Figure 4: a ConvNeXt block from bottom to top, with a residual connection round all its steps. "
        + steps,
        about(seed),
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
        f"Figure 5: {contrast.pairs_in_words(labels, anchor, split.classes)}",
        about(seed, [net], [split.train[k] for k in places.tolist()]),
    )


def figure_6(preset: str, options: RunOptions, seed: int = 0, images: int = 2) -> Drawn:
    """The branches on all four data sets; a set without data or network is marked so.

    raises  NotMadeError if there is no network for any of them
    """
    return branch_sheet(_entries(preset, options), seed, images)


def figure_6_failures(preset: str, options: RunOptions, seed: int = 0, images: int = 2) -> Drawn:
    """Like ``figure_6``, but for wrong answers: the first ones of each set when its test images are visited in
    random order."""
    return failure_sheet(_entries(preset, options), seed, images)


def _entries(preset: str, options: RunOptions) -> list[Entry]:
    """The network and images of each data set, where there are both."""
    entries = [_entry(jobs.config_for(preset, dataset), options) for dataset in jobs.DATASETS[preset]]
    if all(isinstance(entry.found, str) for entry in entries):
        raise NotMadeError(
            f"no trained network of the preset {preset}; `gholm reproduce --figure 6 --preset {preset}` makes those "
            "of the data sets that are here (`gholm data list`)"
        )
    return entries


def _entry(config: Config, options: RunOptions) -> Entry:
    try:
        data = load_dataset(config.dataset, options.data_root)
    except DataError:
        return Entry(config.dataset, "not here")
    if not _is_at_hand(config, options):
        return Entry(config.dataset, "not run")
    net = trained(config, options)[0]
    return Entry(config.dataset, (net, split_data(net.config, data)))


def show(
    draw: Callable[[str, RunOptions, int], Drawn], preset: str, options: RunOptions, seed: int = 0
) -> None:
    """Display a figure in a notebook or, where its data or its network are missing, print how to get them."""
    try:
        drawn = draw(preset, options, seed)
    except (NotMadeError, DataError) as error:
        print(f"skipped: {error}")
    else:
        style.show(drawn.figure, drawn.alt)


def trained_or_reason(config: Config, options: RunOptions) -> tuple[GHOLMNet | None, str]:
    """``trained``; where data or network are missing, None and the sentence that says how to get them."""
    try:
        return trained(config, options)
    except (NotMadeError, DataError) as error:
        return None, str(error)


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
