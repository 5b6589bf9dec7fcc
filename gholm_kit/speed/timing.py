"""What the method costs: a training step and an evaluation, stage by stage, against the floor and against peers.

``gholm bench`` prints the tables. The *floor* of a training step is what its three branches cost on the plain timm
backbone: B raw images, then Crop and Drop as 2B images, forward, backward and the optimiser's step. The floor of an
evaluation is two forward passes. Everything that the method adds is overhead.
"""

from __future__ import annotations

import copy
import math
import os
import random
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from unittest import mock

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gholm_kit.speed import peers
from gholm_lib import model
from gholm_lib.config import Config
from gholm_lib.datasets import Sample
from gholm_lib.environment import describe_environment
from gholm_lib.loading import Batches, ImageView, loader
from gholm_lib.model import GHOLMNet

STAGES = (
    "raw forward",
    "heatmap",
    "threshold and boxes",
    "crop",
    "erase",
    "second forward",
    "losses",
    "backward",
    "optimiser",
    "rest",
)
TRAINING, EVALUATION = "training step", "evaluation"
OURS, FLOOR, PEER = "this kit", "floor", "peer"


def interleaved(
    tasks: dict[str, Callable[[], object]],
    repeats: int,
    of: Callable[[list[float]], float] = statistics.median,
) -> dict[str, float]:
    """Seconds of each task: the median of ``repeats`` timings, or another statistic of them.

    The tasks take turns, so that a slow moment hits all alike. ``of=min`` is disturbed least by other programs.

    Each task first runs once without being timed. Each round has a new random order: otherwise a task would always
    find the caches and the memory that the same other task leaves.
    """
    order, shuffle = list(tasks), random.Random(0).shuffle
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(repeats):
        shuffle(order)
        for name in order:
            start = _now()
            tasks[name]()
            times[name].append(_now() - start)
    return {name: of(values) for name, values in times.items()}


def _now() -> float:
    """Seconds, read when a GPU has finished its work."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def stages(
    config: Config | None = None, num_classes: int = 100, device: str = "cpu", repeats: int = 9
) -> pd.DataFrame:
    """A row for each stage of a training step and of an evaluation, in the order in which they run.

    config   backbone, image_size, batch_size, branches, precision; a default Config when None. Weights are the
             packaged ones if there are any, else random: time does not depend on them. Images are noise.
    returns  columns "pass" ("training step" or "evaluation"), "stage", "milliseconds", "share of step" (of the whole
             pass; the stages sum to 1) and "ratio to floor" (milliseconds over those of the whole floor). After the
             stages of each pass come the rows "whole" and "floor".
    """
    return measure(config, num_classes, device, repeats, with_peer=False).stages


@dataclass
class Measurement:
    """stages: see :func:`stages`. ways: time, ratio to floor and memory of the kit, the floor and the peer."""

    stages: pd.DataFrame
    ways: pd.DataFrame
    about: dict[str, object]


def measure(
    config: Config | None = None,
    num_classes: int = 100,
    device: str = "cpu",
    repeats: int = 9,
    with_peer: bool = True,
) -> Measurement:
    """Time all ways of a pass in one interleaved run, then their memory.

    "peak MiB" is on top of weights and optimiser.

    with_peer  also the approach of :mod:`gholm_kit.speed.peers`; its row is empty if a GPU's memory does not suffice
    """
    config = config or Config()
    case = Case(config, num_classes, device)
    watch = {TRAINING: _Watch(), EVALUATION: _Watch()}
    tasks: dict[tuple[str, str], Callable[[], object]] = {
        (TRAINING, OURS): case.step,
        (TRAINING, FLOOR): case.floor_step,
        (EVALUATION, OURS): case.evaluate,
        (EVALUATION, FLOOR): case.floor_evaluate,
    }
    peer = {(TRAINING, PEER): case.peer_step, (EVALUATION, PEER): case.peer_evaluate} if with_peer else {}
    tasks |= {name: task for name, task in peer.items() if _fits(task)}
    watched = {
        (TRAINING, "stages"): lambda: watch[TRAINING].run(case.step),
        (EVALUATION, "stages"): lambda: watch[EVALUATION].run(case.evaluate),
    }
    seconds = {}
    # Separately: an evaluation would pay for the memory that a training step leaves.
    for which in (TRAINING, EVALUATION):
        seconds |= interleaved({n: t for n, t in (tasks | watched).items() if n[0] == which}, repeats)
    peaks = {}
    for name, task in tasks.items():
        case.forget()
        peaks[name] = peak_bytes(task, device)
    parts = {name: w.medians() for name, w in watch.items()}
    ways = _way_table([*tasks, *(name for name in peer if name not in tasks)], seconds, peaks)
    return Measurement(_stage_table(parts, seconds), ways, about(config, num_classes, device))


def _fits(task: Callable[[], object]) -> bool:
    """Whether a GPU's memory suffices for ``task``."""
    try:
        task()
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return False
    return True


def _stage_table(parts: dict[str, dict[str, float]], seconds: dict) -> pd.DataFrame:
    rows = []
    for which, spans in parts.items():
        whole, floor, total = seconds[which, OURS], seconds[which, FLOOR], sum(spans.values())
        rows += [(which, stage, spans[stage], spans[stage] / total) for stage in STAGES if stage in spans]
        rows += [(which, "whole", whole, 1.0), (which, "floor", floor, floor / whole)]
    table = pd.DataFrame(rows, columns=["pass", "stage", "milliseconds", "share of step"])
    floors = table["pass"].map({which: seconds[which, FLOOR] for which in parts})
    table["ratio to floor"] = table["milliseconds"] / floors
    table["milliseconds"] *= 1000
    return table


def _way_table(names: list[tuple[str, str]], seconds: dict, peaks: dict) -> pd.DataFrame:
    rows = []
    for which, way in names:
        time_, peak = seconds.get((which, way), math.nan), peaks.get((which, way), math.nan)
        rows.append((which, way, 1000 * time_, time_ / seconds[which, FLOOR], peak / 2**20))
    return pd.DataFrame(rows, columns=["pass", "way", "milliseconds", "ratio to floor", "peak MiB"])


class Case:
    """One setting, with everything that the tasks of a measurement need. Each method is one task."""

    def __init__(self, config: Config, num_classes: int, device: str) -> None:
        self.config, self.device, self.num_classes = config, torch.device(device), num_classes
        if self.device.type == "cuda":  # as in training
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.manual_seed(config.seed)
        weights = "packaged" if config.backbone == Config.backbone else "none"
        self.net = self._placed(GHOLMNet.from_config(config.replace(weights=weights), num_classes))
        self.tested = copy.deepcopy(self.net).eval()  # a copy, as switching the mode takes time too
        self.optimiser = self._sgd(self.net)
        size = (config.batch_size, 3, config.image_size, config.image_size)
        self.images = torch.randn(size, device=self.device)
        self.labels = torch.randint(num_classes, size[:1], device=self.device)
        # As in the network: Crop and Drop together in one batch.
        self.extra = self.images.repeat(config.crop + config.drop, 1, 1, 1)
        self.extra_labels = self.labels.repeat(config.crop + config.drop)

    def _placed(self, net: nn.Module) -> nn.Module:
        net = net.to(self.device)
        return net.to(memory_format=torch.channels_last) if self.config.channels_last else net

    def _sgd(self, net: nn.Module) -> torch.optim.Optimizer:
        c = self.config
        return torch.optim.SGD(net.parameters(), c.lr, c.momentum, weight_decay=c.weight_decay)

    def _autocast(self):
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        kind = kinds.get(self.config.precision)
        return torch.autocast(self.device.type, dtype=kind, enabled=kind is not None)

    def learn(self, loss: Callable[[], Tensor], optimiser: torch.optim.Optimizer) -> None:
        with self._autocast():
            value = loss()
        optimiser.zero_grad(set_to_none=True)
        with model.record_function("backward"):  # the model's name, which a _Watch replaces
            value.backward()
        with model.record_function("optimiser"):
            optimiser.step()

    def step(self) -> None:
        """A training step of the network, as in :mod:`gholm_lib.training`."""
        self.learn(lambda: self.net(self.images, self.labels).losses["total"], self.optimiser)

    def floor_step(self) -> None:
        """The plain backbone on as many images."""
        backbone = self.net.backbone

        def loss() -> Tensor:
            value = F.cross_entropy(backbone(self._formatted(self.images)).float(), self.labels)
            if len(self.extra):
                logits = backbone(self._formatted(self.extra))
                value = value + F.cross_entropy(logits.float(), self.extra_labels)
            return value

        self.learn(loss, self.optimiser)

    def evaluate(self) -> None:
        with torch.no_grad(), self._autocast():
            self.tested.predict(self.images)

    def floor_evaluate(self) -> None:
        with torch.no_grad(), self._autocast():
            for _ in range(2):
                self.tested.backbone(self._formatted(self.images))

    def _formatted(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.config.channels_last else images

    def peer_step(self) -> None:
        with _full_float32():
            peers.training_step(self.peer, self.peer_optimiser, self.images, self.labels, self.config)

    def peer_evaluate(self) -> None:
        with _full_float32():
            peers.evaluate(self.peer_tested, self.images, self.config)

    def forget(self) -> None:
        """Drop the gradients of earlier tasks, so that all tasks start with the same memory in use."""
        for name in {"net", "peer", "peer_tested"} & vars(self).keys():
            getattr(self, name).zero_grad(set_to_none=True)

    @cached_property
    def peer(self) -> nn.Module:
        """A network of its own, as memory format and precision are not the kit's."""
        plain = self.config.replace(weights="none", checkpointing=False)
        return GHOLMNet.from_config(plain, self.num_classes).backbone.to(self.device)

    @cached_property
    def peer_tested(self) -> nn.Module:
        return copy.deepcopy(self.peer).eval()

    @cached_property
    def peer_optimiser(self) -> torch.optim.Optimizer:
        return self._sgd(self.peer)


@contextmanager
def _full_float32() -> Iterator[None]:
    """PyTorch's default on a GPU, where the kit allows TF32."""
    kit = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = kit


class _Watch:
    """Seconds that a task spends in each stage, one dict for each run.

    During a run, a span of its own takes the place of ``record_function`` in :mod:`gholm_lib.model`. At both ends of
    such a span, a GPU must finish its work. What is in no span is "rest".
    """

    def __init__(self) -> None:
        self.runs: list[dict[str, float]] = []

    def run(self, task: Callable[[], object]) -> None:
        self.seconds = defaultdict(float)
        with mock.patch.object(model, "record_function", self._span):
            start = _now()
            task()
            whole = _now() - start
        self.runs.append(self.seconds | {"rest": whole - sum(self.seconds.values())})

    @contextmanager
    def _span(self, stage: str) -> Iterator[None]:
        start = _now()
        yield
        self.seconds[stage] += _now() - start

    def medians(self) -> dict[str, float]:
        """Without the first run, which warms up."""
        runs = self.runs[1:]
        return {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}


def peak_bytes(task: Callable[[], object], device: str) -> int:
    """Peak memory of ``task`` in bytes, on top of what was in use before it."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        task()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler complains where there is no GPU
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as seen:
        task()
    changes = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = accumulate(e.nbytes() for e in sorted(changes, key=lambda e: e.start_ns()))
    return max(held, default=0)


def about(config: Config, num_classes: int, device: str) -> dict[str, object]:
    """Setting, machine and versions, for each row of a result."""
    environment = describe_environment(torch.device(device), 1)
    keep = ("device", "processor", "threads", "torch", "timm", "python", "platform", "commit")
    return {
        "model": config.backbone,
        "classes": num_classes,
        "size": config.image_size,
        "batch": config.batch_size,
        "precision": config.precision,
        "checkpointing": config.checkpointing,
        **{k: environment[k] for k in keep},
        "cores": os.cpu_count(),
    }


def loader_rates(
    config: Config, samples: Sequence[Sample], device: str = "cpu", workers: int = 2, repeats: int = 3
) -> pd.DataFrame:
    """Images per second from the loader, beside what a training step takes.

    samples  training images, at least a batch
    returns  columns "way" (kept in memory, from files, from files by workers, training step) and "images a second"
    """
    batches = Batches(len(samples), config.batch_size, config.seed)
    kept, files = ImageView(samples, config, train=True), ImageView(samples, config, train=True)
    kept.cache, files.cache = kept.cache or kept._load_all(), None
    pin = torch.device(device).type == "cuda"
    loaders = {
        "kept in memory": loader(kept, batches, 0, pin),
        "from files": loader(files, batches, 0, pin),
        f"from files, {workers} workers": loader(files, batches, workers, pin),
    }
    count = len(batches) * config.batch_size
    tasks = {way: partial(deque, images, maxlen=0) for way, images in loaders.items()}
    rates = {way: count / s for way, s in interleaved(tasks, repeats).items()}
    case = Case(config, len({s.label for s in samples}), device)
    rates["training step"] = config.batch_size / interleaved({"step": case.step}, repeats)["step"]
    return pd.DataFrame(list(rates.items()), columns=["way", "images a second"])
