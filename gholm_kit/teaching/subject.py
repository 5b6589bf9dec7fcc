"""What a chapter examines: a network in eval mode and the images that it is asked about."""

from __future__ import annotations

from dataclasses import dataclass

from gholm_kit.drawn import MiniTruth, load_truth
from gholm_lib.config import Config, load_config
from gholm_lib.datasets import FineGrainedData, Sample, load_dataset, samples
from gholm_lib.imagenet import imagenet_classes, imagenet_network, imagenet_wordnet_ids
from gholm_lib.model import GHOLMNet
from gholm_lib.paths import data_root
from gholm_lib.runs import trained_network


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
    raises   NotMadeError, DataError or WeightsError, which say what to run
    """
    if dataset == samples.NAME:
        data = sample_photographs()
        net, _ = imagenet_network()
        return Subject(net.config, net, f"{net.config.backbone}, trained on ImageNet alone", data, None)
    drawn = dataset.startswith("mini_")
    config = load_config("mini" if drawn else "paper", dataset=dataset, seed=seed)
    data = load_dataset(dataset)
    net, source = trained_network(config)
    return Subject(config, net, source, data, load_truth(data.root) if drawn else None)


def sample_photographs() -> FineGrainedData:
    """The photographs of ``gholm data get samples`` as test images of ImageNet's 1000 classes."""
    ids = imagenet_wordnet_ids()
    test = tuple(Sample(p.path, ids.index(p.wordnet_id), p.path.name) for p in samples.read_samples())
    return FineGrainedData(samples.NAME, data_root() / samples.FOLDER, imagenet_classes(), (), test)
