"""What a chapter examines: a network in eval mode and the images that it is asked about."""

from __future__ import annotations

from dataclasses import dataclass

from gholm_kit.drawn import MiniTruth, load_truth
from gholm_kit.teaching.ready import network_or_drawn
from gholm_lib.config import Config, load_config
from gholm_lib.datasets import DataError, FineGrainedData, Sample, samples
from gholm_lib.imagenet import imagenet_classes, imagenet_network, imagenet_wordnet_ids
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import data_root


@dataclass(frozen=True)
class Subject:
    """A network, its settings and where it comes from; a data set, and its ground truth if it is drawn."""

    config: Config
    net: GHOLMNet
    source: str
    data: FineGrainedData
    truth: MiniTruth | None


def open_subject(dataset: str, seed: int = 0) -> Subject:
    """The network and images of a data set.

    dataset  a name in the list of data sets: with the network trained on it. "samples": 500 photographs, with a
             network that has ImageNet's own classifier and was not trained further
    Where the network or its images are not here, the drawn family takes their place, and a line says what to run.

    raises   DataError, NotMadeError or WeightsError if nothing can take their place
    """
    if dataset == samples.NAME:
        try:
            return _photographs()
        except DataError as error:
            dataset = "mini_birds"
            print(f"{dataset} is used instead of the photographs: {error}")
    preset = "mini" if dataset.startswith("mini_") else "paper"
    config, data, net, source = network_or_drawn(load_config(preset, dataset=dataset, seed=seed))
    truth = load_truth(data.root) if config.dataset.startswith("mini_") else None
    return Subject(config, net, source, data, truth)


def _photographs() -> Subject:
    data = sample_photographs()
    net, _ = imagenet_network()
    return Subject(net.config, net, f"{net.config.backbone}, trained on ImageNet alone", data, None)


def sample_photographs() -> FineGrainedData:
    """The photographs of ``gholm data get samples`` as test images of ImageNet's 1000 classes."""
    ids = imagenet_wordnet_ids()
    test = tuple(Sample(p.path, ids.index(p.wordnet_id), p.path.name) for p in samples.read_samples())
    return FineGrainedData(samples.NAME, data_root() / samples.FOLDER, imagenet_classes(), (), test)
