"""How long the runs of a plan take, and how much disk and memory: worked out from finished runs."""

from __future__ import annotations

import statistics
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.jobs import Job
from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import DATASETS, DataError, load_dataset
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import project_root, records_folder
from gholm_lib.records import Record

# Operations a second that a GPU sustains, in a plan's rule of three; data sheets promise several times as many.
ASSUMED_RATES = (5e12, 15e12, 50e12)


def passes(config: Config, train_images: int, test_images: int) -> float:
    """Work of a run in forward passes of one image: a training step costs three (forward, and backward twice)."""
    branches = 1 + config.crop + config.drop
    trained, tests = config.epochs * train_images, -(-config.epochs // config.evaluate_every)
    if config.max_steps is not None:  # a trial of speed
        trained = min(trained, config.max_steps * config.batch_size)
        tests = -(-tests * trained // (config.epochs * train_images))
    return 3.0 * trained * branches + tests * test_images * (1 + config.crop)


@lru_cache
def _flops(backbone: str, options: tuple[str, ...], size: int) -> float:
    """Floating point operations of one image's forward pass, counted without computing it."""
    config = Config(
        backbone=backbone, backbone_options=options, weights="none", crop=False, sup=False, drop=False
    )
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        GHOLMNet.from_config(config, 100)(torch.empty(1, 3, size, size))
    return float(counter.get_total_flops())


def flops(config: Config) -> float:
    """Floating point operations of one image's forward pass."""
    return _flops(config.backbone, config.backbone_options, config.image_size)


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
    """Seconds of a run, from finished ones: the same network and size on the same device where there are any.

    Seconds for each floating point operation are taken from finished runs and multiplied by the operations of a run
    to be made. ``fresh`` are those of this session, which know how busy the machine is now, and come first.
    """

    device: str
    data_root: Path | None
    known: list[tuple[Config, str, float]] = field(
        default_factory=list
    )  # settings, device, seconds an operation
    fresh: list[tuple[Config, str, float]] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, archive: Archive, options: RunOptions) -> Estimate:
        """From all records: ``archive``, the kept ones, and the runs folder (trials of a few steps)."""
        gpu = torch.cuda.is_available() and options.device != "cpu"
        estimate = cls(torch.cuda.get_device_name() if gpu else "cpu", options.data_root)
        everything = [archive.records] + [Archive.read(f).records for f in (records_folder(), options.runs)]
        for job, record in dict(ChainMap(*everything)).items():
            if job.tested_mu is None:
                estimate.known.append(estimate._rate(record))
                estimate._remember(record)
        return estimate

    def learn(self, job: Job, record: Record) -> None:
        """Take in a run of this session."""
        if job.tested_mu is None:
            self.fresh.append(self._rate(record))
            self._remember(record)

    def _rate(self, record: Record) -> tuple[Config, str, float]:
        config = record.settings
        work = passes(config, record.data["train"], record.data["test"]) * flops(config)
        return config, record.environment["device"], record.cost["seconds"] / work

    def _remember(self, record: Record) -> None:
        key = _kind(record.settings)
        self.memory[key] = max(self.memory.get(key, 0), record.cost["peak_memory_bytes"])

    def seconds(self, job: Job) -> float | None:
        """Seconds of one job; None when nothing is known."""
        work, rate = self.operations(job), self._rate_for(job.config)
        return None if work is None or rate is None else work * rate

    def operations(self, job: Job) -> float | None:
        """Floating point operations of one job; None where nobody says how many images there are."""
        images = _images(job.config.dataset, self.data_root)
        if images is None:
            return None
        work = passes(job.config, *images) if job.tested_mu is None else 2.0 * images[1]
        return work * flops(job.config)

    def _rate_for(self, config: Config) -> float | None:
        for pool in self._pools(config):
            if pool:
                return statistics.median(rate for *_, rate in pool[-20:])
        return None

    def _pools(self, config: Config) -> list[list]:
        def alike(runs: list) -> list:
            return [
                r for r in runs if r[0].backbone == config.backbone and r[0].image_size == config.image_size
            ]

        here = [r for r in self.known if r[1] == self.device]
        return [alike(self.fresh), alike(here), self.fresh, here]

    def left(self, jobs: Sequence[Job]) -> str:
        """How much is left, in words."""
        if not jobs:
            return "nothing left"
        seconds = [self.seconds(j) for j in jobs]
        if None in seconds:
            return f"{len(jobs)} left, for how long no finished run tells yet"
        return f"{len(jobs)} left, about {duration(sum(seconds))}"

    def basis(self, config: Config) -> str:
        """What the estimate for runs such as ``config`` rests on."""
        names = (
            "finished runs of this session",
            f"finished runs of this network at this size {self._where()}",
            "finished runs of another network in this session, by counted operations: rough",
            f"finished runs of another network {self._where()}, by counted operations: rough",
        )
        for pool, name in zip(self._pools(config), names, strict=True):
            if pool:
                return f"{len(pool[-20:])} {name}"
        trial = f"gholm train --preset paper --dataset {config.dataset} --max-steps 20"
        return f"nothing: no run is finished on this device ({self.device}); a trial tells, for example `{trial}`"

    def _where(self) -> str:
        return (
            "on a CPU, perhaps another than this"
            if self.device == "cpu"
            else f"on this device ({self.device})"
        )


def _kind(config: Config) -> str:
    return f"{config.backbone} at {config.image_size} pixels, batch {config.batch_size}, {config.branches}"


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3.4 h", "8 days"."""
    for unit, size, limit in (("s", 1, 90), ("min", 60, 90)):
        if seconds < limit * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:.0f} days"


def _on_a_gpu(operations: float) -> str:
    took = ", ".join(f"{rate / 1e12:.0f} T/s {duration(operations / rate)}" for rate in ASSUMED_RATES)
    return f"on a GPU that sustains (assumed, not measured) {took}"


@lru_cache
def _parameters(backbone: str, options: tuple[str, ...]) -> int:
    config = Config(backbone=backbone, backbone_options=options, weights="none")
    with torch.device("meta"):
        return sum(p.numel() for p in GHOLMNet.from_config(config, 100).parameters())


def disk_bytes(config: Config) -> tuple[int, int]:
    """Bytes that a run leaves (float32 weights), and needs while it trains (and the optimiser's momentum)."""
    weights = 4 * _parameters(config.backbone, config.backbone_options)
    return weights, 2 * weights


def _inside(folder: Path) -> Path:
    """As seen from the project, where it lies there: a page that shows a plan need not name anybody's folders."""
    folder, root = Path(folder).resolve(), project_root()
    return folder.relative_to(root) if folder.is_relative_to(root) else folder


def _weights(config: Config) -> str:
    if config.weights == "timm":
        return f"timm's {config.backbone}, from the model hub (or --weights {config.backbone}.safetensors)"
    if config.weights_sha256 is None:
        return config.weights
    return f"timm's {config.backbone}, from {config.weights}, SHA-256 {config.weights_sha256}"


def plan(jobs: Sequence[Job], records: Path, options: RunOptions) -> str:
    """What ``make_runs`` would do: runs, hours, disk and memory, and what the estimate rests on."""
    archive = Archive.read(records)
    todo = [j for j in jobs if j not in archive]
    estimate = Estimate.of(archive, options)
    lines = [
        f"{len(jobs)} runs and tests are needed, {len(jobs) - len(todo)} are recorded in {_inside(records)}"
    ]
    for job in todo:
        seconds = estimate.seconds(job)
        lines.append(f"  {'?' if seconds is None else duration(seconds):>8}  {job.name}")
    trained = {j.config.run_id: j.config for j in todo}
    for kind in sorted({_kind(c) for c in trained.values()}):
        peak = estimate.memory.get(kind)
        held = (
            f"{peak / 2**30:.1f} GiB at most in a process that made such a run"
            if peak
            else "not measured yet"
        )
        lines.append(f"memory, {kind}: {held}")
    for weights in sorted({_weights(c) for c in trained.values()}):
        lines.append(f"starting weights: {weights}")
    for dataset in sorted({c.dataset for c in trained.values()}):
        config = next(c for c in trained.values() if c.dataset == dataset)
        lines.append(f"hours, {dataset}: rest on {estimate.basis(config)}")
    operations = [estimate.operations(j) for j in todo]
    if todo and None not in operations:
        lines.append(f"operations: {sum(operations):.2g}; {_on_a_gpu(sum(operations))}")
    kept = sum(disk_bytes(c)[0] for c in trained.values())
    working = max((disk_bytes(c)[1] for c in trained.values()), default=0)
    lines.append(
        f"disk: {kept / 2**30:.2f} GiB of weights in {_inside(options.runs)}, {working / 2**30:.2f} GiB more "
        "while a run trains"
    )
    return "\n".join([*lines, f"in all: {estimate.left(todo)}"])
