"""Estimates of the time, disk space and memory that planned runs need.

The time of a run is its work, in forward passes of one image (:func:`passes`), times the measured seconds per pass.
The seconds come from finished runs of the same kind on the same device. If there are none, there is no estimate yet.
"""

from __future__ import annotations

import statistics
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.jobs import Job
from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import DATASETS, DataError, load_dataset
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import project_root, records_folder
from gholm_lib.records import Record

NO_ESTIMATE = "no estimate yet"


def passes(config: Config, train_images: int, test_images: int) -> float:
    """The work of a run in forward passes of one image; a training step costs three (backward counts twice)."""
    branches = 1 + config.crop + config.drop
    trained, tests = config.epochs * train_images, -(-config.epochs // config.evaluate_every)
    if config.max_steps is not None:  # a speed trial
        trained = min(trained, config.max_steps * config.batch_size)
        tests = -(-tests * trained // (config.epochs * train_images))
    return 3.0 * trained * branches + tests * test_images * (1 + config.crop)


def kind(config: Config) -> str:
    """The settings that determine the time and memory of a pass, in words."""
    network = ", ".join((config.backbone, *config.backbone_options))
    words = f"{network} at {config.image_size} pixels, batch {config.batch_size}, {config.branches}"
    words += "" if config.precision == "no" else f", {config.precision}"
    return words + ", checkpointing" * config.checkpointing


@lru_cache
def _images(dataset: str, root: Path | None) -> tuple[int, int] | None:
    try:
        data = load_dataset(dataset, root)
    except DataError:
        expected = DATASETS[dataset].expected
        return expected and expected[1:]
    return len(data.train), len(data.test)


@dataclass
class Estimate:
    """Estimate the seconds of a run from finished runs of the same kind on one device.

    Runs of this session are preferred, because they reflect the present load of the machine.
    """

    device: str
    data_root: Path | None
    # By kind: first the runs of this session, then all others.
    finished: ChainMap[str, list[Record]] = field(default_factory=lambda: ChainMap({}, {}))

    @classmethod
    def of(cls, archive: Archive, options: RunOptions) -> Estimate:
        """Use all records: ``archive``, those kept in the project, and the runs folder (such as short trials)."""
        gpu = torch.cuda.is_available() and options.device != "cpu"
        estimate = cls(torch.cuda.get_device_name() if gpu else "cpu", options.data_root)
        everything = [archive.records] + [Archive.read(f).records for f in (records_folder(), options.runs)]
        for job, record in ChainMap(*everything).items():
            estimate.learn(job, record, session=False)
        return estimate

    def learn(self, job: Job, record: Record, session: bool = True) -> None:
        """Add a finished run. Tests with another mu are ignored: their recorded cost is that of the training."""
        if job.tested_mu is None and record.environment["device"] == self.device:
            runs = self.finished.maps[0 if session else 1]
            runs.setdefault(kind(job.config), []).append(record)

    def seconds(self, job: Job) -> float | None:
        """Seconds of one job; None if no run of its kind has finished, or if the number of images is unknown."""
        images = _images(job.config.dataset, self.data_root)
        runs = self.finished.get(kind(job.config))
        if images is None or runs is None:
            return None
        work = passes(job.config, *images) if job.tested_mu is None else 2.0 * images[1]
        return work * statistics.median(map(_seconds_a_pass, runs[-20:]))

    def left(self, jobs: Sequence[Job]) -> str:
        """The number of jobs left and their time, in words."""
        if not jobs:
            return "nothing left"
        seconds = [self.seconds(j) for j in jobs]
        return f"{len(jobs)} left, {NO_ESTIMATE if None in seconds else f'about {duration(sum(seconds))}'}"

    def basis(self, config: Config) -> str:
        """The peak memory of runs like ``config``, and the runs on which the time estimate is based."""
        runs = self.finished.get(kind(config))
        if runs is None:
            return f"{NO_ESTIMATE}, as no run like this has finished on this device ({self.device})"
        device = "a CPU (perhaps not this one)" if self.device == "cpu" else f"this device ({self.device})"
        peak = max(r.cost["peak_memory_bytes"] for r in runs) / 2**30
        return f"finished runs on {device}: {len(runs)}, peak memory {peak:.1f} GiB"


def _seconds_a_pass(record: Record) -> float:
    return record.cost["seconds"] / passes(record.settings, record.data["train"], record.data["test"])


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3.4 h", "8 days"."""
    for unit, size, limit in (("s", 1, 90), ("min", 60, 90)):
        if seconds < limit * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:.0f} days"


@lru_cache
def _parameters(backbone: str, options: tuple[str, ...]) -> int:
    config = Config(backbone=backbone, backbone_options=options, weights="none")
    with torch.device("meta"):
        return sum(p.numel() for p in GHOLMNet.from_config(config, 100).parameters())


def disk_bytes(config: Config) -> tuple[int, int]:
    """Bytes of a finished run (float32 weights), and the additional bytes during training (with momentum)."""
    weights = 4 * _parameters(config.backbone, config.backbone_options)
    return weights, 2 * weights


def _inside(folder: Path) -> Path:
    """The path relative to the project, if inside: a page that shows a plan should not name anybody's folders."""
    folder, root = Path(folder).resolve(), project_root()
    return folder.relative_to(root) if folder.is_relative_to(root) else folder


def _weights(config: Config) -> str:
    if config.weights == "timm":
        return f"timm's {config.backbone}, from the model hub (or --weights {config.backbone}.safetensors)"
    if config.weights_sha256 is None:
        return config.weights
    return f"timm's {config.backbone}, from {config.weights}, SHA-256 {config.weights_sha256}"


def plan(jobs: Sequence[Job], records: Path, options: RunOptions) -> str:
    """What ``make_runs`` would do: time, runs, disk space and memory, and the basis of the estimate."""
    archive = Archive.read(records)
    todo = [j for j in jobs if j not in archive]
    estimate = Estimate.of(archive, options)
    lines = [
        f"total on {'a CPU' if estimate.device == 'cpu' else estimate.device}: {estimate.left(todo)}",
        f"{len(jobs)} runs and tests are needed, {len(jobs) - len(todo)} already recorded in {_inside(records)}",
    ]
    for job in todo:
        seconds = estimate.seconds(job)
        lines.append(f"  {'?' if seconds is None else duration(seconds):>8}  {job.name}")
    trained = {j.config.run_id: j.config for j in todo}
    kinds = {kind(c): c for c in trained.values()}
    lines += [f"{words}: {estimate.basis(kinds[words])}" for words in sorted(kinds)]
    if any(estimate.seconds(j) is None and j.config.method == "gholm" for j in todo):
        lines.append("for an estimate, try each kind: `gholm train` with its settings and --max-steps 20")
    lines += [f"starting weights: {weights}" for weights in sorted({_weights(c) for c in trained.values()})]
    kept = sum(disk_bytes(c)[0] for c in trained.values())
    working = max((disk_bytes(c)[1] for c in trained.values()), default=0)
    lines.append(
        f"disk: {kept / 2**30:.2f} GiB of weights in {_inside(options.runs)}, {working / 2**30:.2f} GiB more "
        "during training"
    )
    return "\n".join(lines)
