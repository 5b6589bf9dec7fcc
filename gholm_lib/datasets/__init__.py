"""The data: readers for four real sets and four drawn ones, their check and their download."""

from gholm_lib.datasets.check import CheckReport, check_dataset, list_datasets
from gholm_lib.datasets.cub import PartPoints, cub_parts
from gholm_lib.datasets.images import CorruptImageError, load_image
from gholm_lib.datasets.lists import DataError, FineGrainedData, Sample
from gholm_lib.datasets.registry import DATASETS, ArchiveFile, DatasetInfo, dataset_info, load_dataset

__all__ = [
    "DATASETS",
    "ArchiveFile",
    "CheckReport",
    "CorruptImageError",
    "DataError",
    "DatasetInfo",
    "FineGrainedData",
    "PartPoints",
    "Sample",
    "check_dataset",
    "cub_parts",
    "dataset_info",
    "list_datasets",
    "load_dataset",
    "load_image",
]
