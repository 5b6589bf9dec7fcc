"""Checks of the exercises, a module a chapter: each takes the reader's answer and says what is wrong with it."""

from gholm_kit.teaching.checks import (
    contrast,
    crops,
    erasure,
    heatmaps,
    open_questions,
    paper,
    photos,
    start,
    tables,
    training,
)
from gholm_kit.teaching.checks.answers import NotYet

__all__ = [
    "NotYet",
    "contrast",
    "crops",
    "erasure",
    "heatmaps",
    "open_questions",
    "paper",
    "photos",
    "start",
    "tables",
    "training",
]
