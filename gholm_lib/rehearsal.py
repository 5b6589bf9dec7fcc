"""Estimate the cost of a run from a few seconds of training and testing: ``gholm train --dry-run``."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate.utils import send_to_device

from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import FineGrainedData, load_dataset
from gholm_lib.environment import peak_memory, undisturbed
from gholm_lib.progress import log_lines
from gholm_lib.provenance import spread
from gholm_lib.records import RECORD
from gholm_lib.training import _Run, say, uses_gpu

TRAINING, TESTING = 6.0, 2.0  # seconds for each; at least two steps are made
_BATCHES = 4  # batches of training images that are read


def rehearse(config: Config, options: RunOptions, data: FineGrainedData | None = None) -> str:
    """Steps, images, time, memory and disk space of a run, in words; nothing is written.

    The times are for this machine under its present load.

    raises  what ``train`` raises before its first step
    """
    data = data or load_dataset(config.dataset, options.data_root, config.split_seed)
    with undisturbed(uses_gpu(options), say):
        run = _Run(config, options, data, Path(options.runs) / config.run_id)
        with log_lines(
            lambda: f"{config.run_id}: measuring", not options.quiet and not sys.stderr.isatty(), say
        ):
            return _measured(run)


def _measured(run: _Run) -> str:
    training, steps = _seconds_an_image(run, _training_step(run), TRAINING)
    # Testing comes after training, as in a run, so that the peak memory includes both.
    testing, _ = _seconds_an_image(run, _test_step(run), TESTING)
    return "\n".join([_state(run), *_counts(run), *_costs(run, training, testing, steps)])


def _training_step(run: _Run) -> Callable[[], int]:
    """A function that makes one training step on a few batches of real images and returns the batch size."""
    size = run.config.batch_size
    batches, images = run._loader(spread(run.split.train, _BATCHES * size), train=True)
    run.net.train()

    def endless():
        while True:
            yield from images
            batches.epoch += 1

    source = endless()

    def step() -> int:
        pixels, labels, _, *aim = send_to_device(next(source), run.accelerator.device)
        run.optimiser.zero_grad(set_to_none=True)
        run.accelerator.backward(run.net(pixels, labels, *aim).losses["total"])
        run.optimiser.step()
        return size

    return step


def _test_step(run: _Run) -> Callable[[], int]:
    few = spread(run.split.test, 2 * run.config.batch_size)
    images = run._loader(few, train=False)[1]

    def step() -> int:
        run._predict(images)
        return len(few)

    return step


def _seconds_an_image(run: _Run, step: Callable[[], int], seconds: float) -> tuple[float, int]:
    """Seconds per image, measured over about ``seconds`` without the first step, and the number of steps."""
    step()
    device, steps, images = run.accelerator.device, 0, 0
    start = _now(device)
    while steps < 1 or _now(device) - start < seconds:
        images += step()
        steps += 1
    return (_now(device) - start) / images, steps


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _state(run: _Run) -> str:
    if (run.folder / RECORD).exists():
        return f"{run.config.run_id}: already finished in {run.folder}; the following is for training again"
    if (run.folder / "checkpoint.pt").exists():
        return f"{run.config.run_id}: started in {run.folder}, would be resumed; the following is for the whole run"
    return f"{run.config.run_id}: a new run, in {run.folder}"


def _counts(run: _Run) -> list[str]:
    split, c = run.split, run.config
    apart = f" ({len(split.held_out)} more held out)" if split.held_out else ""
    steps = len(split.train) // c.batch_size
    total = min(steps * c.epochs, c.max_steps or steps * c.epochs)
    return [
        f"images: {len(split.train)} for training{apart}, {len(split.test)} for testing, "
        f"{len(split.classes)} classes",
        f"steps: {steps} per epoch, {c.batch_size} images each, {total} in total; {_tests(c, steps)} tests",
    ]


def _tests(config: Config, steps: int) -> int:
    epochs = config.epochs if config.max_steps is None else min(config.epochs, -(-config.max_steps // steps))
    return -(-epochs // config.evaluate_every)


def _costs(run: _Run, training: float, testing: float, measured: int) -> list[str]:
    c, split, device = run.config, run.split, run.accelerator.device
    steps = len(split.train) // c.batch_size
    trained = min(steps * c.epochs, c.max_steps or steps * c.epochs) * c.batch_size
    tested = _tests(c, steps) * (len(split.test) + len(split.held_out))
    hours = (trained * training + tested * testing) / 3600
    weights = sum(v.numel() * v.element_size() for v in run.bare_net.state_dict().values())
    momentum = sum(p.numel() * p.element_size() for p in run.bare_net.parameters())
    free = shutil.disk_usage(_existing(run.folder)).free
    on_cpu = f"CPU, {torch.get_num_threads()} threads"
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else on_cpu
    return [
        f"time: {1000 * training:.3g} ms per image in training (measured over {measured} steps, {where}), "
        f"{1000 * testing:.3g} ms in testing",
        f"total: about {hours:.1f} h" if hours >= 1.5 else f"total: about {60 * hours:.1f} min",
        f"memory: a peak of {peak_memory(device) / 2**30:.2f} GiB in these steps",
        f"disk: {weights / 2**20:.0f} MiB for the finished run, {(weights + momentum) / 2**20:.0f} MiB more during "
        f"training; {free / 2**30:.1f} GiB are free",
    ]


def _existing(folder: Path) -> Path:
    return next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())
