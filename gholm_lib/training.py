"""One training loop for every run: mixed precision, several processes, checkpoints, resuming.

``train(config)`` writes to ``runs/<run id>/``: ``checkpoint.pt`` during training, then ``model.safetensors``,
``record.json``, ``predictions.npz`` and ``data_root.json``. A run can be killed at any moment. Started again, it
resumes after the last complete epoch and gives the same record, because all random numbers depend only on the seed,
epoch, step and image: no generator state can be lost. A checkpoint or record made from other data or weights is
refused.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import send_to_device
from torch import Tensor
from tqdm.auto import tqdm

from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import DATASETS, FineGrainedData, Sample, load_dataset
from gholm_lib.datasets.folder import SPLIT, split_as_text
from gholm_lib.environment import describe_environment, peak_memory, undisturbed
from gholm_lib.evaluation import predict_all
from gholm_lib.gradcam import NonFiniteError
from gholm_lib.loading import Batches, ImageView, described_colours, loader
from gholm_lib.model import GHOLMNet
from gholm_lib.precision import usable_precision
from gholm_lib.predictions import Predictions
from gholm_lib.progress import log_lines
from gholm_lib.provenance import few, of_record, origin, require_same, split_data
from gholm_lib.records import (
    RECORD,
    Record,
    RecordError,
    load_record,
    note_data_root,
    write_whole,
)

CHECK_EVERY = 10  # steps between checks of the loss on a GPU; each check makes the host wait


def learning_rate(config: Config, epoch: int) -> float:
    """Section 4.2: the learning rate in ``epoch`` (from 0), multiplied by lr_decay at each of lr_decay_epochs."""
    return config.lr * config.lr_decay ** sum(epoch >= e for e in config.lr_decay_epochs)


def parameter_groups(net: GHOLMNet) -> tuple[list[dict[str, Any]], list[float]]:
    """The optimiser's groups of parameters, and by what each multiplies the learning rate (``fresh_rate``)."""
    if net.config.fresh_rate == 1:
        return [{"params": list(net.parameters())}], [1.0]
    fresh = [p for layer in net.fresh_layers() for p in layer.parameters()]
    known = {id(p) for p in fresh}
    others = [p for p in net.parameters() if id(p) not in known]
    return [{"params": others}, {"params": fresh}], [1.0, net.config.fresh_rate]


# A network for a config and a number of classes; it has what this file, evaluation.py and _Meter use of a GHOLMNet.
Factory = Callable[[Config, int], Any]


@dataclass(frozen=True)
class Progress:
    """How far a run has come: what ``train`` tells its watcher after each step and after each epoch.

    curve     the finished epochs, as in ``Record.curve``
    done      steps so far, of ``total`` in the whole run
    an_epoch  steps of one epoch
    seconds   time left, tests included, by the mean of this session
    so_far    gives the means of the unfinished epoch, with the keys of a curve's entry; it waits for a GPU.
              None between epochs
    """

    curve: Sequence[dict[str, Any]]
    done: int
    total: int
    an_epoch: int
    seconds: float
    so_far: Callable[[], dict[str, Any]] | None


Watch = Callable[[Progress], None]


def train(
    config: Config,
    options: RunOptions | None = None,
    data: FineGrainedData | None = None,
    network: Factory | None = None,
    watch: Watch | None = None,
) -> Record:
    """Train one network, resume an interrupted run, or return the record of a finished one.

    network  makes the network, None a GHOLMNet; another method (``Config.method``) needs one of its own
    watch    called after each step and each epoch, in the main process; an exception in it stops the run

    raises  NonFiniteError if a loss term, a weight or a prediction is not finite (the state and the images are saved
            first); OtherOriginError if the run's folder contains a record or a checkpoint made from other data or
            weights; SurroundingsError
    """
    options = options or RunOptions()
    folder = Path(options.runs) / config.run_id
    data = data or load_dataset(config.dataset, options.data_root, config.split_seed)
    if (folder / RECORD).exists():
        record = load_record(folder)
        require_own(folder, record, config, data)
        return record
    with undisturbed(uses_gpu(options), say):
        return _Run(config, options, data, folder, network, watch).run()


def require_own(folder: Path, record: Record, config: Config, data: FineGrainedData) -> None:
    """Compare a finished run's record with the current data and weights; print what it does not record.

    raises OtherOriginError
    """
    now = origin(config, split_data(config, data))
    say(require_same(of_record(record), now, folder, data.root, _ADVICE))


_ADVICE = "choose another folder for your runs (--runs), or remove the run's folder to train it again"


def say(line: str | None) -> None:
    """Print a line in the main process only; None prints nothing."""
    if line and is_main_process():
        print(line, flush=True)


class _Run:
    """The state of one run; ``run`` performs it."""

    def __init__(
        self,
        config: Config,
        options: RunOptions,
        data: FineGrainedData,
        folder: Path,
        network: Factory | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.config, self.options, self.folder = config, options, folder
        self.accelerator = make_accelerator(config, options)
        self.split = split_data(config, data)
        torch.manual_seed(config.seed)
        net = (network or GHOLMNet.from_config)(config, len(self.split.classes))
        if config.channels_last:
            net = net.to(memory_format=torch.channels_last)
        groups, self.rate_factors = parameter_groups(net)
        optimiser = torch.optim.SGD(groups, config.lr, config.momentum, weight_decay=config.weight_decay)
        self.net, self.optimiser = self.accelerator.prepare(net, optimiser)
        self.origin = origin(config, self.split)  # only now, as the hub's weights have been downloaded
        self.curve: list[dict[str, Any]] = []
        self.best: Predictions | None = None
        self.seconds = 0.0  # in earlier sessions of the same run
        self.steps_done = 0
        self.pace = Pace(config.batch_size, self.accelerator.device)
        self.stage = "reading the images"  # for log lines
        self.watch = watch if is_main_process() else None

    @property
    def bare_net(self) -> GHOLMNet:
        return self.accelerator.unwrap_model(self.net)

    def run(self) -> Record:
        self._announce()
        self._resume()
        name = self.config.run_id
        with log_lines(
            lambda: f"{name}: {self.stage}", not self.options.quiet and not sys.stderr.isatty(), say
        ):
            return self._run()

    def _announce(self) -> None:
        """Say what was taken from a weights file, and the mean and std of the input."""
        if not self.options.quiet:
            for line in (*self.bare_net.backbone.weights_notes, described_colours(self.config)):
                say(line)

    def _run(self) -> Record:
        if self.accelerator.device.type == "cuda":  # an earlier run in this process must not count
            torch.cuda.reset_peak_memory_stats(self.accelerator.device)
        config, start = self.config, time.perf_counter()
        batches, images = self._loader(self.split.train, train=True)
        test = self._loader(self.split.test, train=False)[1]
        apart = few(config, self.split.held_out)
        held_out = self._loader(apart, train=False)[1] if apart else None
        predictions, bar, slow = None, self._bar(len(batches)), _SlowSteps(self._warn)
        self.started, self.steps_before = start, self.steps_done  # what the time left is reckoned from
        for epoch in range(len(self.curve), config.epochs):
            if self._out_of_steps():
                break
            batches.epoch = epoch
            entry = self._epoch(epoch, images, bar, slow)
            self._require_finite_weights(epoch)
            final = epoch + 1 == config.epochs or self._out_of_steps()
            if final or (epoch + 1) % config.evaluate_every == 0:
                predictions = self._test(test, epoch)
                entry["test"] = predictions.summary()
                if held_out is not None:
                    entry["held_out"] = self._test(held_out, epoch).summary()
            self.curve.append(entry)
            self._save_checkpoint(self.seconds + time.perf_counter() - start)
            self._report(entry)
            self._tell(len(batches))
            if final:
                break
        bar.close()
        if predictions is None:  # killed between the last epoch and the record
            predictions = self._test(test, len(self.curve) - 1)
        return self._finish(predictions, self.seconds + time.perf_counter() - start)

    # ------------------------------------------------------------------ one epoch

    def _bar(self, steps: int) -> tqdm:
        """Progress over the whole run, so that the remaining time is that of the run, tests included."""
        hidden = self.options.quiet or not self.accelerator.is_main_process
        return tqdm(
            total=steps * self.config.epochs,
            initial=steps * len(self.curve),
            bar_format="{desc} {bar} {n_fmt}/{total_fmt} steps, {remaining} left{postfix}",
            smoothing=0,  # use the mean of this session: the latest steps do not predict the time of tests
            leave=False,
            disable=hidden or None,  # None: show the bar in a terminal, but not in a log
        )

    def _epoch(self, epoch: int, images, bar: tqdm, slow: _SlowSteps) -> dict[str, Any]:
        rate = learning_rate(self.config, epoch)
        for group, factor in zip(self.optimiser.param_groups, self.rate_factors, strict=True):
            group["lr"] = factor * rate
        self.net.train()
        meter, device = _Meter(), self.accelerator.device
        look_every = 1 if device.type == "cpu" else CHECK_EVERY
        bar.set_description(f"epoch {epoch + 1}/{self.config.epochs}")
        slow.start()
        self.pace.begin()
        for step, (pixels, labels, index, *aim) in enumerate(images):
            self.stage = f"epoch {epoch + 1} of {self.config.epochs}, step {step + 1} of {len(images)}"
            pixels, labels, *aim = send_to_device((pixels, labels, *aim), device, non_blocking=True)
            # Theta and stochastic depth: seeded at each step, so that a resumed run repeats them.
            torch.manual_seed(((self.config.seed * 1_000_003 + epoch) * 1_000_003 + step) % 2**63)
            try:
                out = self.net(pixels, labels, *aim)
            except NonFiniteError as error:  # GradCAM is checked at each step, the loss only at some
                ids = self._training_ids(index)
                raise self._failed(f"{error} This happened", epoch, step, {}, ids) from error
            meter.add(out, labels)
            if step % look_every == 0 or step + 1 == len(images):
                self._require_finite(out.losses, meter, epoch, step, index)
                bar.set_postfix(meter.line(), refresh=False)
            self.optimiser.zero_grad(set_to_none=True)
            self.accelerator.backward(out.losses["total"])
            self.optimiser.step()
            self.steps_done += 1
            self.pace.step()
            slow.step()
            bar.update()
            self._tell(len(images), meter.means)
            if self._out_of_steps():
                break
        entry = {"epoch": epoch + 1, "lr": rate, **meter.means(self.accelerator)}
        self.pace.end()
        return entry

    def _tell(self, an_epoch: int, so_far: Callable[[], dict[str, Any]] | None = None) -> None:
        """Tell the watcher; ``so_far`` only inside an epoch."""
        if self.watch is None:
            return
        done, total = self.steps_done, an_epoch * self.config.epochs
        if self.config.max_steps is not None:
            total = min(total, self.config.max_steps)
        each = (time.perf_counter() - self.started) / max(done - self.steps_before, 1)  # seconds
        self.watch(Progress(self.curve, done, total, an_epoch, each * (total - done), so_far))

    def _require_finite(
        self, terms: dict[str, Tensor], meter: _Meter, epoch: int, step: int, index: Tensor
    ) -> None:
        if torch.isfinite(meter.sums["total"]):
            return
        bad = [k for k, v in terms.items() if not torch.isfinite(v)] or ["total of an earlier step"]
        values = {k: float(v.detach()) for k, v in terms.items()}
        said = f"The loss term {bad[0]!r} is not finite (terms: {values})"
        raise self._failed(said, epoch, step, values, self._training_ids(index))

    def _training_ids(self, index: Tensor) -> list[str]:
        return [self.split.train[i].image_id for i in index.tolist()]

    def _require_finite_weights(self, epoch: int) -> None:
        """Check the weights before they are tested and saved: no loss has used those of the last step."""
        bad = [n for n, p in self.bare_net.named_parameters() if not torch.isfinite(p).all()]
        if bad:
            raise self._failed(f"The weights {bad[0]!r} are not finite", epoch, None, {}, [])

    def _failed(
        self, said: str, epoch: int, step: int | None, terms: dict[str, float], images: Sequence[str]
    ) -> NonFiniteError:
        """Save the state and the batch (step None: after the epoch); returns the error to raise."""
        failure = {
            "epoch": epoch + 1,
            "step": None if step is None else step + 1,
            "terms": terms,
            "images": list(images),
            "data": self.origin,
        }
        # The process that detects the failure writes: the other processes' part of the batch may be finite.
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(failure, indent=1)
        write_whole(self.folder / "failure.json", lambda f: f.write(text.encode()))
        write_whole(self.folder / "failure.pt", lambda f: torch.save(self._state(0.0), f))
        good = self.folder / "checkpoint.pt"
        last = f"the last good checkpoint is {good}" if good.exists() else "there is no earlier checkpoint"
        when = f"after epoch {epoch + 1}" if step is None else f"in epoch {epoch + 1}, step {step + 1}"
        return NonFiniteError(
            f"{said} {when}. The state and the batch's images are in "
            f"{self.folder}/failure.pt and failure.json; {last}. Try a lower lr, or precision bf16 or no."
        )

    def _out_of_steps(self) -> bool:
        return self.config.max_steps is not None and self.steps_done >= self.config.max_steps

    # ------------------------------------------------------------------ evaluation

    def _test(self, images, epoch: int) -> Predictions:
        self.stage = f"testing after epoch {epoch + 1}"
        try:
            return self._predict(images)
        except NonFiniteError as error:
            said = f"{error} This happened in the evaluation"
            raise self._failed(said, epoch, None, {}, error.images) from error

    def _predict(self, images) -> Predictions:
        if self.accelerator.num_processes > 1:  # use the batch-norm statistics of the process that saves
            for buffer in self.bare_net.buffers():
                dist.broadcast(buffer, 0)
        return predict_all(self.bare_net, images, self.accelerator, with_crop=self.config.crop)

    def _loader(self, samples: Sequence[Sample], train: bool):
        a = self.accelerator
        batches = Batches(
            len(samples),
            self.config.batch_size if train else 2 * self.config.batch_size,
            self.config.seed if train else None,
            a.process_index,
            a.num_processes,
        )
        view = ImageView(samples, self.config, train)
        return batches, loader(view, batches, self.options.workers, a.device.type == "cuda")

    # ------------------------------------------------------------------ files

    def _state(self, seconds: float) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "data": self.origin,
            "model": self.bare_net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.accelerator.scaler and self.accelerator.scaler.state_dict(),  # fp16 only
            "curve": self.curve,
            "steps_done": self.steps_done,
            "pace": [self.pace.images, self.pace.seconds],
            "seconds": seconds,
        }

    def _save_checkpoint(self, seconds: float) -> None:
        if self.accelerator.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            state = self._state(seconds)
            write_whole(self.folder / "checkpoint.pt", lambda f: torch.save(state, f))

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        say(require_same(state.get("data", {}), self.origin, path, self.split.data.root, _ADVICE))
        try:
            self.bare_net.load_state_dict(state["model"])
        except RuntimeError as error:  # an older checkpoint, which does not record its data
            reason = str(error).splitlines()[-1].strip()
            raise RecordError(f"{path} is from a different network ({reason}); {_ADVICE}") from error
        self.optimiser.load_state_dict(state["optimiser"])
        if state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.curve, self.seconds = state["curve"], state["seconds"]
        self.steps_done = state["steps_done"]
        self.pace.images, self.pace.seconds = state.get("pace", (0, 0.0))  # older checkpoints have none
        self.accelerator.print(f"{self.config.run_id}: resuming after epoch {len(self.curve)}")

    def _finish(self, predictions: Predictions, seconds: float) -> Record:
        device = self.accelerator.device
        tested = [e for e in self.curve if "test" in e]
        answer = "both" if self.config.crop else "raw"
        record = Record(
            config=self.config.to_dict(),
            data=self.origin,
            results={
                "last": predictions.summary(),
                "best_test": _best(tested, "test", answer),
                "held_out": _best(tested, "held_out", answer) if self.split.held_out else None,
            },
            curve=self.curve,
            cost={
                "seconds": round(seconds, 1),
                "images_per_second": float(f"{self.pace.rate:.3g}"),
                "peak_memory_bytes": peak_memory(device),
            },
            environment=describe_environment(
                device, self.accelerator.num_processes, self.accelerator.mixed_precision
            ),
            predictions=predictions,
            about=getattr(self.bare_net, "about", None),
        )
        if self.accelerator.is_main_process:
            weights = {k: v.detach().cpu().contiguous() for k, v in self.bare_net.state_dict().items()}
            data = safetensors.torch.save(weights, {"classes": json.dumps(self.split.classes)})
            write_whole(self.folder / "model.safetensors", lambda f: f.write(data))
            note_data_root(self.folder, self.split.data.root.parent)
            if self.split.data.name not in DATASETS:  # the user's own pictures, to which others may be added
                split = split_as_text(self.split.data).encode()
                write_whole(self.folder / SPLIT, lambda f: f.write(split))
            record.save(self.folder)
            (self.folder / "checkpoint.pt").unlink(missing_ok=True)
            for left in self.folder.glob(".*.part"):  # left by sessions that were killed while writing
                left.unlink(missing_ok=True)
        self.accelerator.wait_for_everyone()
        return record

    def _warn(self, line: str) -> None:
        # A GPU works asynchronously, so the host's step times do not measure it.
        if not self.options.quiet and self.accelerator.device.type == "cpu":
            self.accelerator.print(line)

    def _report(self, entry: dict[str, Any]) -> None:
        if self.options.quiet or "test" not in entry:
            return
        terms = " ".join(f"{k} {v:.3f}" for k, v in entry["losses"].items())
        test = " ".join(f"{k} {entry['test'][k]:.1f}" for k in ("raw", "crop", "both") if k in entry["test"])
        self.accelerator.print(
            f"epoch {entry['epoch']:3d}  loss: {terms}  train {entry['train_accuracy']:.1f} %  test %: {test}"
        )


class Pace:
    """Images per second in training, without tests and without the first step of a session (the warm-up)."""

    def __init__(self, batch_size: int, device: torch.device) -> None:
        self.batch_size, self.device = batch_size, device
        self.images, self.seconds = 0, 0.0
        self._first: float | None = None  # images per second in the first step

    def begin(self) -> None:
        """Call before the first step of an epoch."""
        self._since, self._counted = time.perf_counter(), 0

    def step(self) -> None:
        """Call after each step."""
        self._counted += self.batch_size
        if self._first is None:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self._first = self.batch_size / (time.perf_counter() - self._since)
            self.begin()

    def end(self) -> None:
        """Call after the last step of an epoch, once the GPU has finished its work."""
        self.images += self._counted
        self.seconds += time.perf_counter() - self._since

    @property
    def rate(self) -> float:
        """Images per second over all processes; after only one step, the rate of that step; 0 after none."""
        return self.images / self.seconds if self.images else self._first or 0.0


def is_main_process() -> bool:
    """Whether this is the process that writes and prints, if torchrun or accelerate started several."""
    return os.environ.get("RANK", "0") == "0"


def uses_gpu(options: RunOptions) -> bool:
    """Whether a run with these options uses a GPU."""
    return options.device != "cpu" and torch.cuda.is_available()


def make_accelerator(config: Config, options: RunOptions) -> Accelerator:
    """The accelerator of a run; errors name the option. Create and use it inside ``undisturbed``."""
    if options.device not in ("auto", "cpu", "cuda"):
        raise ValueError(f'device must be "auto", "cpu" or "cuda", got {options.device!r}')
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError('device is "cuda", but PyTorch sees no GPU; `gholm doctor` shows what it finds')
    # cpu=True is needed without a GPU: otherwise Accelerator() would not connect several CPU processes.
    on_cpu = not uses_gpu(options)
    if on_cpu and config.precision == "fp16":
        raise ValueError('precision is "fp16", which needs a GPU; on a CPU use bf16 or no (float32)')
    # accelerate stores precision, device and accumulated steps globally, also those of a notebook's own code.
    GradientState._reset_state()
    AcceleratorState._reset_state(reset_partial_state=not (dist.is_available() and dist.is_initialized()))
    precision, note = usable_precision(config.precision, not on_cpu)
    say(note)
    return Accelerator(cpu=on_cpu, mixed_precision=precision)


def _best(entries: list[dict[str, Any]], chosen_on: str, answer: str) -> dict[str, Any]:
    """The tested epoch with the best accuracy on "test" or "held_out", with its *test* accuracies."""
    entry = max(entries, key=lambda e: e[chosen_on][answer])
    return {"epoch": entry["epoch"], **entry["test"]}


class _SlowSteps:
    """Warns once when several steps in a row take ``SLOW`` times as long as the first ones did."""

    STEPS, SLOW = 5, 5.0

    def __init__(self, warn: Callable[[str], None], clock: Callable[[], float] = time.perf_counter) -> None:
        self.warn, self.clock = warn, clock
        self.last: deque[float] = deque(maxlen=self.STEPS)  # seconds
        self.usual: float | None = None

    def start(self) -> None:
        """Call at the start of an epoch; time before it, such as a test, belongs to no step."""
        self.since = self.clock()

    def step(self) -> None:
        now = self.clock()
        self.last.append(now - self.since)
        self.since = now
        if len(self.last) < self.STEPS:
            return
        seconds = statistics.median(self.last)  # the median, as the first step is often slow
        self.usual = self.usual or seconds
        if seconds >= self.SLOW * self.usual:
            self.warn(
                f"A step now takes {seconds:.2g} s, the first ones took {self.usual:.2g} s: other programs seem to "
                "be using this machine. Stop them, or stop this run and start it again with OMP_WAIT_POLICY=PASSIVE "
                "and fewer threads (OMP_NUM_THREADS); it will resume after the last complete epoch."
            )
            self.usual = float("inf")  # warn only once


class _Meter:
    """Running sums over an epoch, kept on the device until they are read."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.correct = self.images = self.steps = self.fallbacks = 0
        self.area: Tensor | float = 0.0
        self.start = time.perf_counter()

    def add(self, out, labels: Tensor) -> None:
        for name, value in out.losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach()
        self.correct = self.correct + (out.logits.detach().argmax(1) == labels).sum()
        self.images += len(labels)
        self.steps += 1
        if out.attention is not None:
            self.fallbacks += int(out.attention.fallback.sum())  # already on the host
            self.area = self.area + out.attention.box_area.double().sum()

    def means(self, accelerator: Accelerator | None = None) -> dict[str, Any]:
        """Means over the images of this process; with an ``accelerator``, over those of all processes."""
        sums = (*self.sums.values(), self.steps, self.images, self.correct, self.fallbacks, self.area)
        totals = torch.tensor([float(v) for v in sums], dtype=torch.float64)
        if accelerator is not None:
            totals = accelerator.reduce(totals.to(accelerator.device))
        *terms, steps, images, correct, fallbacks, area = totals.tolist()
        result = {
            "losses": {k: v / steps for k, v in zip(self.sums, terms, strict=True)},
            "train_accuracy": 100 * correct / images,
        }
        if isinstance(self.area, Tensor):
            result["fallback_share"] = fallbacks / images
            result["box_area"] = area / images
        return result

    def line(self) -> dict[str, str]:
        """For the progress bar: loss terms, accuracy, images per second."""
        means = self.means()
        shown = {k: f"{v:.2f}" for k, v in means["losses"].items()}
        shown["acc"] = f"{means['train_accuracy']:.0f}%"
        shown["img/s"] = f"{self.images / (time.perf_counter() - self.start):.0f}"
        return shown
