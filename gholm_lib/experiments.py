"""Working with finished runs: load a trained network, test it again."""

from __future__ import annotations

from pathlib import Path

import torch

from gholm_lib.backbone import load_weights
from gholm_lib.config import Config
from gholm_lib.datasets import load_dataset
from gholm_lib.evaluation import predict_all
from gholm_lib.model import GHOLMNet
from gholm_lib.records import Record, load_record
from gholm_lib.training import RunOptions, make_accelerator, split_data
from gholm_lib.transforms import Batches, ImageView, loader


def load_network(run: str | Path, device: str | torch.device = "cpu") -> GHOLMNet:
    """The trained network of a finished run's folder, in eval mode."""
    record = load_record(run)
    config = record.settings.replace(weights="none")
    net = GHOLMNet.from_config(config, record.data["classes"])
    load_weights(net, Path(run) / "model.safetensors")
    return net.to(device).eval()


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
    view = ImageView(split.test, config, train=False)
    batches = Batches(
        len(view), 2 * config.batch_size, None, accelerator.process_index, accelerator.num_processes
    )
    images = loader(view, batches, options.workers, accelerator.device.type == "cuda")
    record.predictions = predict_all(net, images, accelerator)
    record.results["last"] = record.predictions.summary()
    record.config["mu"] = config.mu
    return record
