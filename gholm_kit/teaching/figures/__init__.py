"""Pictures that the notebooks show, a module a chapter; each is one function: data or records in, figure out."""

from gholm_kit.teaching.figures import (
    contrast,
    crops,
    erasure,
    heatmaps,
    other_maps,
    paper,
    photos,
    start,
    tables,
    training,
)

__all__ = [
    "contrast",
    "crops",
    "erasure",
    "heatmaps",
    "other_maps",
    "paper",
    "photos",
    "start",
    "tables",
    "training",
]
