"""Figures of chapter 00, one function each: from data, a network or a record to a figure."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from gholm_kit import style
from gholm_kit.drawn import MiniTruth
from gholm_lib import masking
from gholm_lib.datasets import FineGrainedData, Sample, load_image
from gholm_lib.loading import to_input
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import figures_folder
from gholm_lib.records import Record


def variance_samples(
    data: FineGrainedData, classes: Sequence[int], rows: int = 3, seed: int = 0
) -> list[list[Sample]]:
    """``rows`` training images of each class, chosen at random by ``seed``, for :func:`variance_grid`."""
    rng, columns = np.random.default_rng(seed), []
    for label in classes:
        own = [s for s in data.train if s.label == label]
        columns.append([own[k] for k in rng.choice(len(own), rows, replace=False)])
    return columns


def variance_grid(data: FineGrainedData, columns: Sequence[Sequence[Sample]]) -> Figure:
    """Figure 1: one column per class, one row per image. What varies within a column does not decide the class."""
    fig, axes = style.styled(len(columns), len(columns[0]), size=(1.9, 1.9), squeeze=False)
    for column, samples in enumerate(columns):
        for row, sample in enumerate(samples):
            title = data.classes[sample.label].replace(" ", "\n", 1) if row == 0 else ""
            style.picture(axes[row, column], np.asarray(load_image(sample.path)), title)
    style.say_if_drawn(fig, data.name)
    return fig


def contact_sheet(data: FineGrainedData, notes: Sequence[str], columns: int = 8, cell: int = 128) -> Path:
    """Write ``figures/contact_sheet_<name>.jpg``: one row per class, with its name and a note on the left.

    notes  one text for each class, for example the parts in which it differs from the others
    """
    margin = 230
    sheet = Image.new("RGB", (margin + columns * cell, len(data.classes) * cell), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    for row, name in enumerate(data.classes):
        own = [s for s in data.test if s.label == row][:columns]
        for column, sample in enumerate(own):
            image = load_image(sample.path).resize((cell, cell), Image.Resampling.LANCZOS)
            sheet.paste(image, (margin + column * cell, row * cell))
        words = "\n".join([*textwrap.wrap(name, 24), *textwrap.wrap(notes[row], 26)])
        pen.multiline_text((8, row * cell + 10), words, fill="black", font=font)
    path = figures_folder() / f"contact_sheet_{data.name}.jpg"
    sheet.save(path, quality=88)
    return path


def class_notes(truth: MiniTruth) -> list[str]:
    """For each class of a mini set, the deciding parts whose variant is not the most common one."""
    usual = {
        p: Counter(truth.traits(c)[p] for c in truth.classes).most_common(1)[0][0]
        for p in truth.deciding_parts
    }
    departures = [{p: v for p, v in truth.traits(c).items() if p in usual} for c in truth.classes]
    return [
        ", ".join(f"{p}: {v}".replace("_", " ") for p, v in traits.items() if v != usual[p])
        for traits in departures
    ]


def the_difference(data: FineGrainedData, a: Sample, b: Sample, part_points: dict) -> Figure:
    """Two pictures of similar classes: the whole picture, and close-ups of the parts that tell them apart.

    part_points maps a part's name to its (x, y) in picture ``a`` and in picture ``b``.
    """
    fig, axes = style.styled(1 + len(part_points), 2, size=(2.9, 2.9), squeeze=False)
    for row, sample in enumerate((a, b)):
        image = np.asarray(load_image(sample.path))
        style.picture(axes[row, 0], image, data.classes[sample.label])
        for column, (part, points) in enumerate(part_points.items(), start=1):
            style.picture(axes[row, column], _around(image, points[row]), part.replace("_", " "))
    return fig


def _around(image: np.ndarray, point: tuple[float, float], half: int = 28) -> np.ndarray:
    h, w = image.shape[:2]
    x = int(np.clip(point[0], half, w - half))
    y = int(np.clip(point[1], half, h - half))
    return image[y - half : y + half, x - half : x + half]


@torch.no_grad()
@style.in_style
def network_paths(
    net: GHOLMNet, samples: Sequence[Sample], classes: Sequence[str], theta: float = 1.5
) -> Figure:
    """Figure 6, one row per image: image, heatmap, mask and box, crop, erased image. Uses the training code."""
    config, device = net.config, next(net.parameters()).device
    given = torch.stack([to_input(load_image(s.path), config) for s in samples]).to(device)
    net.eval()
    images, out = net.seen(given), net.attend(given)
    drop_mask = masking.threshold(out.heat, theta)
    erased = masking.erase(images, drop_mask, config.fill, config.image_mean, config.image_std)
    erased_logits = net.classify(erased)
    crops = net.crops(given, out.crop_boxes)
    fig, axes = style.styled(5, len(samples), size=(2.7, 3.3), squeeze=False)
    ends = style.heat_top(config.dataset)
    for row, sample in enumerate(samples):
        ax = axes[row]
        image = style.pixels(images[row], config)
        heat = out.heat[row].cpu().numpy()
        style.picture(ax[0], image, "1 image\n" + _verdict(out.raw_logits[row], sample, classes))
        artist = style.heat_over(ax[1], image, heat, config.mu, "2 heatmap, contour\nat μ (eq. 1-3, 5)", ends)
        mask = masking.threshold(out.heat[row : row + 1], config.mu)[0].cpu().numpy()
        style.picture(
            ax[2], np.where(mask[..., None], image, 0.25 * image), "3 mask, box of its\nlargest component"
        )
        style.box(ax[2], out.crop_boxes[row].tolist())
        crop_title = "4 crop, enlarged\n" + _verdict(out.crop_logits[row], sample, classes)
        style.picture(ax[3], style.pixels(crops[row], config), crop_title)
        erased_title = f"5 erased, θ = {theta:g}\n" + _verdict(erased_logits[row], sample, classes)
        style.picture(ax[4], style.pixels(erased[row], config), erased_title)
    style.heat_bar(fig, artist, axes.ravel().tolist(), config.mu)
    style.say_if_drawn(fig, config.dataset)
    return fig


def _verdict(logits: torch.Tensor, sample: Sample, classes: Sequence[str]) -> str:
    p = logits.float().softmax(0)
    said = int(p.argmax())
    mark = "✓" if said == sample.label else "✗"
    return style.wrapped(f"{mark} {classes[said]} {100 * float(p[said]):.0f} %", 2.2, 15)


@style.in_style
def training_curve(record: Record) -> Figure:
    """Loss terms and test accuracy (Raw, Crop and Raw + Crop) over the epochs of a run."""
    fig, (left, right) = style.styled(2, 1, size=(7.3, 4.2))
    epochs = [e["epoch"] for e in record.curve]
    for term in record.curve[0]["losses"]:
        if term != "total":
            style.curve(left, epochs, [e["losses"][term] for e in record.curve], term)
    left.set(xlabel="epoch", ylabel="loss (training)", title="Loss of each branch")
    left.legend(loc="center left", bbox_to_anchor=(1, 0.5))  # the lines are everywhere in the panel
    tested = [e for e in record.curve if "test" in e]
    for answer in ("raw", "crop", "both"):
        if answer in tested[0]["test"]:
            values = [e["test"][answer] for e in tested]
            style.curve(right, [e["epoch"] for e in tested], values, answer)
    chance = 100 / record.data["classes"]
    right.axhline(chance, color="grey", linestyle=":", linewidth=1.5)
    right.text(epochs[0], chance + 1.5, "chance", color="grey")
    right.set(xlabel="epoch", ylabel="accuracy in %", title="Test images (eq. 13)", ylim=(0, 100))
    right.legend(loc="lower right", frameon=True, edgecolor="none")
    for ax in (left, right):
        ax.xaxis.get_major_locator().set_params(integer=True)
    style.say_if_drawn(fig, record.config["dataset"])
    return fig


def curve_in_words(record: Record) -> str:
    """What :func:`training_curve` shows: first and last value of each loss, and the last accuracies."""
    first, last = (record.curve[k]["losses"] for k in (0, -1))
    losses = [
        f"{style.LABELS[term]} from {first[term]:.2f} to {last[term]:.2f}"
        for term in first
        if term != "total"
    ]
    tested = next(e["test"] for e in reversed(record.curve) if "test" in e)
    right = [f"{style.LABELS[k]} {tested[k]:.1f} %" for k in ("raw", "crop", "both") if k in tested]
    return f"Left, losses: {', '.join(losses)}. Right, accuracy after the last epoch: {', '.join(right)}"


@torch.no_grad()
def paths_in_words(net: GHOLMNet, samples: Sequence[Sample], classes: Sequence[str]) -> str:
    """What :func:`network_paths` shows: what Raw and Crop say of each image."""
    device = next(net.parameters()).device
    out = net.attend(torch.stack([to_input(load_image(s.path), net.config) for s in samples]).to(device))
    told = []
    for k, sample in enumerate(samples):
        said = (_verdict(logits[k], sample, classes) for logits in (out.raw_logits, out.crop_logits))
        told.append("{}: Raw {}, Crop {}".format(classes[sample.label], *(" ".join(v.split()) for v in said)))
    return f"Image, heatmap with the contour at mu, mask and box, crop, erased image. {'; '.join(told)}"
