"""Working with finished runs: load a trained network, test it again.

For some mini runs, the project also keeps the network, in half precision, in ``data/records/networks/``. With these,
the notebooks need no training and draw the same figures everywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from gholm_lib.backbone import load_weights
from gholm_lib.config import Config, RunOptions, train_command
from gholm_lib.datasets import DATASETS, DataError, FineGrainedData, dataset_info, load_dataset
from gholm_lib.datasets.folder import SPLIT, split_as_kept
from gholm_lib.environment import undisturbed
from gholm_lib.evaluation import predict_all
from gholm_lib.loading import Batches, ImageView, loader
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import data_root, records_folder, runs_folder
from gholm_lib.progress import log_lines
from gholm_lib.provenance import of_record, origin, require_same, split_data
from gholm_lib.records import RECORD, Record, RecordError, load_record, noted_data_roots, write_whole
from gholm_lib.training import make_accelerator, say, train, uses_gpu


class NotMadeError(FileNotFoundError):
    """A run that a figure or a chapter needs and that is not there; the message has the command that makes it."""


def load_network(run: str | Path, device: str | torch.device = "cpu") -> GHOLMNet:
    """Load the trained network from the folder of a finished run, in eval mode."""
    record = load_record(run)
    config = record.settings.replace(weights="none")
    net = GHOLMNet.from_config(config, record.data["classes"])
    load_weights(net, Path(run) / "model.safetensors")
    return net.to(device).eval()


def class_names(run: str | Path) -> tuple[str, ...]:
    """The class names of a finished run, in the order of the network's outputs, from its file of weights.

    raises  RecordError naming the file, if it is missing, damaged or has no names in it
    """
    path = Path(run) / "model.safetensors"
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return tuple(json.loads(file.metadata()["classes"]))
    except Exception as error:  # no such file, not safetensors, no metadata
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RecordError(f"{path} names no classes ({reason}): give the folder of a finished run") from error


def kept_weights(config: Config) -> Path:
    """The file in the project for the network of a run, whether or not it exists."""
    return records_folder() / "networks" / f"{config.run_id}.safetensors"


def keep_network(run: str | Path) -> Path:
    """Save a finished run's network in ``data/records/networks/``, in half precision; returns the file."""
    record = load_record(run)
    weights = safetensors.torch.load_file(Path(run) / "model.safetensors")
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    path = kept_weights(record.settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"data": json.dumps(record.data)}
    write_whole(path, lambda f: f.write(safetensors.torch.save(half, about)))
    return path


def kept_network(config: Config, options: RunOptions | None = None) -> GHOLMNet | None:
    """The network that the project keeps for a run, in eval mode; None if there is none.

    raises OtherOriginError if it was trained on other data than the current ones
    """
    path = kept_weights(config)
    if not path.exists():
        return None
    data = load_dataset(config.dataset, (options or RunOptions()).data_root)
    now = origin(config, split_data(config, data))
    advice = "use a network that you trained yourself (gholm train; give its folder with --runs)"
    require_same(_kept_origin(path), now, path, data.root, advice)
    net = GHOLMNet.from_config(config.replace(weights="none"), now["classes"])
    load_weights(net, path)
    net.config = config
    return net.eval()


def _kept_origin(path: Path) -> dict[str, Any]:
    """The origin of a kept network, from its file; for older files, from the kept record of the same run."""
    with safetensors.safe_open(path, framework="pt") as file:
        about = file.metadata() or {}
    if "data" in about:
        return json.loads(about["data"])
    for folder in records_folder().glob(f"*/{path.stem}"):
        return of_record(load_record(folder))
    return {}


def weights_digest(net: GHOLMNet) -> str:
    """SHA-256 of all weights and their names: equal for the same network on any machine."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _how_to_make(config: Config, options: RunOptions) -> str:
    steps = [train_command(config)]
    if options.runs != runs_folder():
        steps[0] += f" --runs {shlex.quote(str(options.runs))}"
    if options.data_root is not None:
        steps[0] += f" --data-root {shlex.quote(str(options.data_root))}"
    try:
        load_dataset(config.dataset, options.data_root)
    except DataError:
        steps.insert(0, dataset_info(config.dataset).get_command)
    commands = ", then ".join(f"`{step}`" for step in steps)
    return f"no finished run {config.run_id} in {options.runs}; make it with {commands}"


def trained_network(config: Config, options: RunOptions | None = None) -> tuple[GHOLMNet, str]:
    """The trained network for ``config``, in eval mode, and a description of where it comes from.

    A finished run in the runs folder is used first, then a kept network. Otherwise the network is trained now, if
    it is the mini network on a mini set (about a minute) or GHOLM_MODE is "full". For any other, in quick mode, an
    error says what to run.

    raises  NotMadeError, DataError, OtherOriginError
    """
    options = options or RunOptions()
    run = Path(options.runs) / config.run_id
    if not (run / RECORD).exists():
        kept = kept_network(config, options)
        if kept is not None:
            return kept, f"kept network of run {config.run_id} (half precision)"
        takes_a_minute = config.dataset.startswith("mini_") and config.backbone == Config().backbone
        if not takes_a_minute and os.environ.get("GHOLM_MODE", "quick") != "full":
            raise NotMadeError(_how_to_make(config, options))
    train(config, options)  # a finished run is only checked against the data
    return load_network(run), f"run {config.run_id} in {options.runs}"


def evaluate_run(run: str | Path, options: RunOptions | None = None, mu: float | None = None) -> Record:
    """Test a finished run's network on its test images; ``mu`` tries another threshold of eq. (5).

    Returns the run's record with the new predictions and "last" results. Raw, Crop and Raw + Crop are all
    measured, even for a network that was trained without a Crop branch. Without ``options.data_root``, the data are
    expected where the run found them. A network trained in fp16, which needs a GPU, is tested in float32 on a CPU.

    raises  RecordError, DataError; OtherOriginError if test images, labels or class names are not those of the run
    """
    options = options or RunOptions()
    with undisturbed(uses_gpu(options), say):
        return _evaluate(Path(run), options, mu)


def _evaluate(run: Path, options: RunOptions, mu: float | None) -> Record:
    record = load_record(run)
    config: Config = record.settings.replace(crop=True, **({} if mu is None else {"mu": mu}))
    split = split_data(config, run_data(run, options))
    accelerator = make_accelerator(_on_this_device(config, options), options)
    net = load_network(run, accelerator.device)
    net.config = config
    view = ImageView(split.test, config, train=False)
    batches = Batches(
        len(view), 2 * config.batch_size, None, accelerator.process_index, accelerator.num_processes
    )
    images = loader(view, batches, options.workers, accelerator.device.type == "cuda")
    wanted = not options.quiet and not sys.stderr.isatty()
    with log_lines(lambda: f"{run.name}: testing {len(view)} images", wanted, say):
        record.predictions = predict_all(net, images, accelerator)
    record.results["last"] = record.predictions.summary()
    record.config["mu"] = config.mu
    return record


def run_data(run: str | Path, options: RunOptions) -> FineGrainedData:
    """The data of a finished run: in ``options.data_root``, else where the run found them.

    raises  RecordError, DataError; OtherOriginError if test images, labels or class names are not those of the run
    """
    run = Path(run)
    record = load_record(run)
    config = record.settings
    root = options.data_root or _root_of(run, config.dataset)
    data = load_dataset(config.dataset, root, config.split_seed)
    if (run / SPLIT).exists():  # the user's own pictures, to which others may have been added
        data = split_as_kept(data, run / SPLIT)
    now, advice = origin(config, split_data(config, data)), "remove the run's folder to train it anew"
    say(require_same(of_record(record), now, run, data.root, advice, tested_only=True))
    return data


def _on_this_device(config: Config, options: RunOptions) -> Config:
    if config.precision != "fp16" or uses_gpu(options):
        return config
    say("this network was trained in fp16, which needs a GPU; it is tested here in float32")
    return config.replace(precision="no")


def _root_of(run: Path, dataset: str) -> Path | None:
    """Where the run found its data; None (the default folder) if that is gone or was not recorded."""
    noted = noted_data_roots(run)
    folder = DATASETS[dataset].folder if dataset in DATASETS else dataset
    for root in noted:
        if (root / folder).is_dir():
            return root
    if not noted or (data_root() / folder).is_dir():
        return None
    raise DataError(
        f"{run} was made with the data in {noted[-1] / folder}, which no longer exists; they are not in "
        f"{data_root()} either. Give their present folder with --data-root"
    )
