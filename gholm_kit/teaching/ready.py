"""What a chapter starts from: its data and its trained network or, where these are not here, the drawn ones."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gholm_lib.config import Config, RunOptions, load_config
from gholm_lib.datasets import DATASETS, DataError, FineGrainedData, dataset_info, load_dataset
from gholm_lib.model import GHOLMNet
from gholm_lib.provenance import OtherOriginError
from gholm_lib.records import RecordError
from gholm_lib.runs import NotMadeError, load_network, run_data, trained_network


class Ready(NamedTuple):
    """A trained network in eval mode, with its settings and data."""

    config: Config
    data: FineGrainedData
    net: GHOLMNet
    source: str  # where the network comes from


def here_or_drawn(dataset: str, root: Path | None = None) -> str:
    """The data set or, where it is not here, the drawn family that stands for it, and then a line says so."""
    drawn = _drawn(dataset)
    try:
        load_dataset(dataset, root)
    except DataError:
        if drawn == dataset:
            raise
        print(f"{dataset} is not here, so {drawn} is used instead; {dataset_info(dataset).next_step}")
        return drawn
    return dataset


def network_or_drawn(config: Config, options: RunOptions | None = None, run: str = "") -> Ready:
    """The network for ``config`` or, where it or its data are not here, the drawn family's, and a line says so.

    run     instead of ``config``, the folder of a finished run
    raises  DataError or NotMadeError if nothing stands for it; OtherOriginError if the data are not those of the run
    """
    options = options or RunOptions()
    drawn = load_config("mini", dataset=_drawn(config.dataset), seed=config.seed)
    try:
        return _of_run(run, options) if run else _of_settings(config, options)
    except OtherOriginError:
        raise
    except (DataError, NotMadeError, RecordError) as error:
        if not dataset_info(drawn.dataset).is_mini or (config == drawn and not run):
            raise
        print(f"{drawn.dataset} is used instead of {run or config.run_id}: {' '.join(str(error).split())}")
    return _of_settings(drawn, options)


def _of_settings(config: Config, options: RunOptions) -> Ready:
    net, source = trained_network(config, options)
    return Ready(config, load_dataset(config.dataset, options.data_root), net, source)


def _of_run(run: str, options: RunOptions) -> Ready:
    net = load_network(run)
    return Ready(net.config, run_data(run, options), net, run)


def _drawn(dataset: str) -> str:
    """The drawn family that stands for a real data set; any other data set itself."""
    return next((name for name, info in DATASETS.items() if info.stands_for == dataset), dataset)
