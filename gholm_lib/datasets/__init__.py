"""The data: readers for four real sets and four drawn ones, their check and their download."""

from .base import (
    CorruptImageError,
    DataError,
    FineGrainedData,
    ImageDataset,
    Sample,
    ScaledImageWarning,
    load_image,
    read_image,
)
from .check import CheckReport, check_dataset, list_datasets
from .cub import PartPoints, cub_parts
from .registry import DATASETS, Archive, DatasetInfo, data_root, dataset_info, load_dataset

__all__ = [
    "DATASETS",
    "Archive",
    "CheckReport",
    "CorruptImageError",
    "DataError",
    "DatasetInfo",
    "FineGrainedData",
    "ImageDataset",
    "PartPoints",
    "Sample",
    "ScaledImageWarning",
    "check_dataset",
    "cub_parts",
    "data_root",
    "dataset_info",
    "get_dataset",
    "list_datasets",
    "load_dataset",
    "load_image",
    "read_image",
]


def get_dataset(name, root=None, progress=True):
    """Draw or download a data set: see `gholm_lib.datasets.download.get_dataset`."""
    # Imported here: pooch and requests are needed for nothing else.
    from .download import get_dataset as get

    return get(name, root, progress)
