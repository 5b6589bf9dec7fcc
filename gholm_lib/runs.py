"""Working with finished runs: load a trained network, test it again.

Of some mini runs the network itself is kept in ``data/records/networks/``, in half precision, so that the notebooks
open at once and draw the same pictures everywhere.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import safetensors.torch
import torch

from gholm_lib.backbone import load_weights
from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import load_dataset
from gholm_lib.evaluation import predict_all
from gholm_lib.loading import Batches, ImageView, loader
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import records_folder
from gholm_lib.records import RECORD, Record, RecordError, ids_digest, load_record, write_whole
from gholm_lib.training import make_accelerator, split_data, train


def load_network(run: str | Path, device: str | torch.device = "cpu") -> GHOLMNet:
    """The trained network of a finished run's folder, in eval mode."""
    record = load_record(run)
    config = record.settings.replace(weights="none")
    net = GHOLMNet.from_config(config, record.data["classes"])
    load_weights(net, Path(run) / "model.safetensors")
    return net.to(device).eval()


def kept_weights(config: Config) -> Path:
    """Where the network of a run is kept in the project, whether it is there or not."""
    return records_folder() / "networks" / f"{config.run_id}.safetensors"


def keep_network(run: str | Path) -> Path:
    """Put a finished run's network into ``data/records/networks/``, in half precision; returns the file."""
    config = load_record(run).settings
    weights = safetensors.torch.load_file(Path(run) / "model.safetensors")
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    path = kept_weights(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda f: f.write(safetensors.torch.save(half)))
    return path


def kept_network(config: Config, options: RunOptions | None = None) -> GHOLMNet | None:
    """The network of a run that the project keeps, in eval mode; None where it keeps none."""
    if not kept_weights(config).exists():
        return None
    net = GHOLMNet.from_config(config.replace(weights="none"), len(_classes(config, options or RunOptions())))
    load_weights(net, kept_weights(config))
    net.config = config
    return net.eval()


def weights_digest(net: GHOLMNet) -> str:
    """SHA-256 of all weights, names included: the same for the same network on any machine."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def trained_network(config: Config, options: RunOptions | None = None) -> tuple[GHOLMNet, str]:
    """The network that ``config`` describes, in eval mode, and in words where it comes from.

    A finished run in the runs folder comes first, then a kept network. Otherwise it is trained now if that takes a
    minute (the mini sets) or GHOLM_MODE is "full"; in quick mode a real data set raises, and says what to run.
    """
    options = options or RunOptions()
    run = Path(options.runs) / config.run_id
    if not (run / RECORD).exists():
        kept = kept_network(config, options)
        if kept is not None:
            return kept, f"kept network of run {config.run_id} (half precision)"
        if not config.dataset.startswith("mini_") and os.environ.get("GHOLM_MODE", "quick") != "full":
            raise FileNotFoundError(
                f"no finished run {config.run_id} in {options.runs}; make it with `gholm train` and the settings "
                "shown above, or set GHOLM_MODE=full to train it here"
            )
        train(config, options)
    return load_network(run), f"run {config.run_id} in {options.runs}"


def _classes(config: Config, options: RunOptions) -> tuple[str, ...]:
    return split_data(config, load_dataset(config.dataset, options.data_root)).classes


def evaluate_run(run: str | Path, options: RunOptions | None = None, mu: float | None = None) -> Record:
    """Test a finished run's network on its test images; ``mu`` tries another threshold of eq. (5).

    Returns the run's record with the new predictions and "last" results. Raw, Crop and Raw + Crop are all
    measured, also for a network that was trained without a Crop branch.
    """
    options = options or RunOptions()
    record = load_record(run)
    config: Config = record.settings.replace(crop=True, **({} if mu is None else {"mu": mu}))
    accelerator = make_accelerator(config, options)
    net = load_network(run, accelerator.device)
    net.config = config
    split = split_data(config, load_dataset(config.dataset, options.data_root))
    if ids_digest(split.test) != record.data["test_ids_sha256"]:
        raise RecordError(
            f"{run}: the test images of {config.dataset} in {split.data.root} are not those of the run's record"
        )
    view = ImageView(split.test, config, train=False)
    batches = Batches(
        len(view), 2 * config.batch_size, None, accelerator.process_index, accelerator.num_processes
    )
    images = loader(view, batches, options.workers, accelerator.device.type == "cuda")
    record.predictions = predict_all(net, images, accelerator)
    record.results["last"] = record.predictions.summary()
    record.config["mu"] = config.mu
    return record
