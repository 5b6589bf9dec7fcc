"""Data sets: readers for the four real sets and the four drawn ones, checks and downloads."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gholm_lib.datasets.aims import with_aims
from gholm_lib.datasets.check import CheckReport, check_dataset, list_datasets
from gholm_lib.datasets.cub import PartPoints, cub_parts
from gholm_lib.datasets.lists import DataError, FineGrainedData, Sample
from gholm_lib.datasets.registry import DATASETS, ArchiveFile, DatasetInfo, dataset_info, load_dataset

if TYPE_CHECKING:
    from gholm_lib.datasets.images import CorruptImageError, ScaledImageWarning, load_image, read_image

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
    "ScaledImageWarning",
    "check_dataset",
    "cub_parts",
    "dataset_info",
    "list_datasets",
    "load_dataset",
    "load_image",
    "read_image",
    "with_aims",
]


def __getattr__(name: str) -> Any:
    """Import the image functions on first use, so that listing data sets loads neither Pillow nor NumPy."""
    if name in ("CorruptImageError", "ScaledImageWarning", "load_image", "read_image"):
        return getattr(import_module("gholm_lib.datasets.images"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
