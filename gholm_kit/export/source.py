"""Which network is exported, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gholm_lib.config import RunOptions, load_config
from gholm_lib.datasets import DATASETS, DataError, load_dataset
from gholm_lib.imagenet import imagenet_network
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import records_folder
from gholm_lib.provenance import split_data
from gholm_lib.records import RECORD, Record, load_record
from gholm_lib.runs import class_names, kept_network, kept_weights, load_network

IMAGENET = "imagenet"


@dataclass(frozen=True)
class Source:
    """A network in eval mode, the names of its classes, and the record of its run; None for ImageNet's own.

    half  whether its weights were kept in half precision, while the record's results are from the full ones
    """

    name: str
    net: GHOLMNet
    classes: tuple[str, ...]
    record: Record | None = None
    half: bool = False

    @property
    def described(self) -> dict[str, object]:
        """What a program needs to use the graph: how a picture becomes its input, thresholds, classes."""
        config = self.net.config
        return {
            "name": self.name,
            "backbone": config.backbone,
            "classes": list(self.classes),
            "image_size": config.image_size,
            "scale": config.input_scale,
            "resize": config.resize if config.random_crop else config.image_size,
            "interpolation": config.interpolation,
            "mean": list(config.image_mean),
            "std": list(config.image_std),
            "mu": config.mu,
            "mu_times": config.mu_times,
            "theta": [config.theta_low, config.theta_high],
            "theta_times": config.theta_times,
            "connectivity": int(config.connectivity),
            "fill": config.fill,
        }


def open_source(name: str, options: RunOptions | None = None) -> Source:
    """The network called ``name``.

    name    "imagenet" · the folder of a finished run · the id of a run in ``options.runs`` or of one whose
            network the project keeps · a mini set: the chapters' network for it
    raises  ValueError for a name that is none of these; RecordError, DataError, WeightsError
    """
    options = options or RunOptions()
    if name == IMAGENET:
        net, classes = imagenet_network()
        return Source(net.config.backbone, net, classes)
    if name in DATASETS and DATASETS[name].is_mini:
        name = load_config("mini", dataset=name).run_id
    for run in (Path(name), Path(options.runs) / name):
        if (run / RECORD).is_file():
            record = load_record(run)
            return Source(record.settings.run_id, load_network(run), class_names(run), record)
    return _kept(name, options)


def _kept(name: str, options: RunOptions) -> Source:
    found = sorted(records_folder().glob(f"*/{name}/{RECORD}")) if Path(name).name == name else []
    record = load_record(found[0].parent) if found else None
    config = None if record is None else record.settings
    if record is None or config is None or not kept_weights(config).is_file():
        kept = ", ".join(sorted(f.stem for f in (records_folder() / "networks").glob("*.safetensors")))
        raise ValueError(
            f"no network {name!r}: give imagenet, a mini set, the folder of a finished run (with {RECORD}), or "
            f"a run whose network is kept: {kept or 'none is'}"
        )
    net = kept_network(config, options)
    assert net is not None  # its file is there
    classes = split_data(config, load_dataset(config.dataset, options.data_root)).classes
    return Source(name, net, tuple(classes), record, half=True)


def pictures_of(source: Source, options: RunOptions | None = None, count: int = 100) -> list[Path]:
    """Files of test images of the source's data set, evenly spaced; [] if the data are not here."""
    if source.record is None:
        return []
    config = source.record.settings
    try:
        data = load_dataset(config.dataset, (options or RunOptions()).data_root)
    except DataError:
        return []
    samples = split_data(config, data).test
    step = max(1, len(samples) // count)
    return [sample.path for sample in samples[::step][:count]]
