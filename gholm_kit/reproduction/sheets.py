"""Figure 6 and its counterpart for wrong answers, for any trained networks: four pictures for each test image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from gholm_kit import style
from gholm_kit.teaching.figures import paper as drawings
from gholm_lib.config import RunOptions
from gholm_lib.datasets import FineGrainedData, Sample
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import records_folder
from gholm_lib.provenance import Split, split_data
from gholm_lib.records import RECORD, load_record
from gholm_lib.runs import NotMadeError, kept_network, kept_weights, load_network, run_data, weights_digest
from gholm_lib.training import uses_gpu


class Drawn(NamedTuple):
    """A figure with its alt text and its sources; ``about`` is saved in the files."""

    figure: Figure
    alt: str
    about: dict[str, Any]  # seed, runs (config and SHA-256 of the weights of each network), ids of the images


def about(seed: int, nets: Iterable[GHOLMNet] = (), images: Iterable[Sample] = ()) -> dict[str, Any]:
    """The sources of a figure, see ``Drawn``."""
    return {
        "seed": seed,
        "runs": [{"config": n.config.to_dict(), "weights_sha256": weights_digest(n)} for n in nets],
        "images": [s.image_id for s in images],
    }


class Entry(NamedTuple):
    """A network and the images of its run, or the reason, in two words, why there is none."""

    label: str  # begins with the data set's name
    found: tuple[GHOLMNet, Split] | str


Column = tuple[Sample, str, drawings.Path]  # image, caption, its path through the network
NEAR_TIE = 0.01  # a smaller margin of an answer is one


def some_images(data: FineGrainedData | Split, count: int, seed: int) -> list[Sample]:
    """Test images of ``count`` different classes, chosen at random from the seed, not by hand."""
    rng = np.random.default_rng(seed)
    present = sorted({s.label for s in data.test})
    classes = rng.choice(present, min(count, len(present)), replace=False)
    return [data.test[int(rng.choice([i for i, s in enumerate(data.test) if s.label == k]))] for k in classes]


def branch_sheet(entries: Iterable[Entry], seed: int = 0, images: int = 2) -> Drawn:
    """Figure 6: random test images of each entry, with heatmap, box, crop and erased image."""

    def pick(net: GHOLMNet, split: Split) -> Iterator[Column]:
        for sample in some_images(split, images, seed):
            path = drawings.follow(net, sample)
            yield sample, drawings.verdict(path.raw + path.cropped, sample.label, split.classes), path

    alt = (
        "Figure 6: test images, drawn at random; for each the image, the heatmap with the contour at mu and the "
        "box, the crop, the erased image."
    )
    return _sheet(entries, seed, pick, alt)


def failure_sheet(entries: Iterable[Entry], seed: int = 0, images: int = 2) -> Drawn:
    """Like ``branch_sheet``, but for wrong answers: the first ones when test images are visited in random order.

    A near tie is passed over: another processor may answer it otherwise.
    """

    def pick(net: GHOLMNet, split: Split) -> Iterator[Column]:
        left = images
        for k in np.random.default_rng(seed).permutation(len(split.test)):
            sample = split.test[k]
            path = drawings.follow(net, sample)
            logits = path.raw + path.cropped
            said = int(logits.argmax())
            if said != sample.label and margin(logits) > NEAR_TIE:
                yield sample, drawings.mistake(split.classes[said], split.classes[sample.label]), path
                left -= 1
            if not left:
                return

    alt = (
        "Figure 6 for wrong answers: the first test images in a random order that the network gets wrong; for each "
        "the image, the heatmap, the crop, the erased image."
    )
    return _sheet(entries, seed, pick, alt)


def margin(logits: Tensor) -> float:
    """The distance of the two largest of the logits (K,), as a share of the largest magnitude."""
    first, second = logits.topk(2).values
    return float((first - second) / logits.abs().max())


def _sheet(
    entries: Iterable[Entry], seed: int, pick: Callable[[GHOLMNet, Split], Iterator[Column]], alt: str
) -> Drawn:
    columns: list[drawings.Shown] = []
    nets, samples = [], []
    for label, found in entries:
        if isinstance(found, str):
            columns.append((label, found, None))
            continue
        nets.append(found[0])
        picked = list(pick(*found))
        samples += [sample for sample, _, _ in picked]
        columns += [(label, caption, path) for _, caption, path in picked] or [(label, "none wrong", None)]
    return Drawn(drawings.branch_grid(columns), f"{alt} {answers(columns)}", about(seed, nets, samples))


def answers(columns: Sequence[drawings.Shown]) -> str:
    """What Figure 6 shows, for its alt text: how many predictions are correct, and what each image was called."""
    captions = [caption for _, caption, path in columns if path is not None]
    right = sum(caption.startswith("✓") for caption in captions)
    told = "; ".join(f"{dataset}: {caption}".replace("\n", ", ") for dataset, caption, _ in columns)
    return f"{right} of {len(captions)} are correct. {told}."


# ---------------------------------------------------------------------- any finished runs


def write_sheets(
    runs: Sequence[str], out: Path, options: RunOptions, seed: int = 0, images: int = 2
) -> list[Path]:
    """Draw both sheets for finished runs, as PNG and SVG; returns the PNGs.

    runs    folders of runs, or their ids
    out     a file name that ends in .png; or a folder, for figure_6.png
    images  test images of each run
    raises  NotMadeError, DataError, OtherOriginError, RecordError
    """
    if not runs:
        raise ValueError("name at least one finished run: its folder, or its id below the runs folder")
    if images < 1:
        raise ValueError(f"images must be 1 or more, got {images}")
    if out.suffix not in ("", ".png"):
        raise ValueError(f"--out takes a name that ends in .png, or a folder, got {out}")
    path = out if out.suffix else out / "figure_6.png"
    entries = _entries([_folder(run, options) for run in runs], options)
    sheets = {"": branch_sheet, "_failures": failure_sheet}
    written = []
    for ending, make in sheets.items():
        drawn = make(entries, seed, images)
        written.append(style.save(drawn.figure, path.stem + ending, about=drawn.about, folder=path.parent))
    return written


def _folder(run: str, options: RunOptions) -> Path:
    """The folder of a run that is given by its folder or its id, finished here or kept in the project."""
    candidates = [Path(run), Path(options.runs) / run, *sorted(records_folder().glob(f"*/{run}"))]
    for folder in candidates:
        if (folder / RECORD).exists():
            return folder
    raise NotMadeError(
        f"no finished run {run!r}: expected a folder that contains {RECORD}, or the name of one in {options.runs} "
        "or among the kept records"
    )


def _entries(folders: Sequence[Path], options: RunOptions) -> list[Entry]:
    nets = [_network(folder, options) for folder in folders]
    datasets = [net.config.dataset for net in nets]
    entries = []
    for folder, net in zip(folders, nets, strict=True):
        config, data = net.config, run_data(folder, options)
        label = config.dataset
        if datasets.count(label) > 1:  # the columns of several networks must not look like those of one
            label += f"\n{config.branches.replace('+', ' + ')}\n{config.digest}, seed {config.seed}"
        entries.append(Entry(label, (net, split_data(config, data))))
    return entries


def _network(folder: Path, options: RunOptions) -> GHOLMNet:
    config = load_record(folder).settings
    if not (folder / "model.safetensors").exists() and kept_weights(config).exists():
        net = kept_network(config, options)
        assert net is not None
    else:
        net = load_network(folder)
    net.config = config
    return net.to("cuda" if uses_gpu(options) else "cpu")
