"""Checks of the exercises, a module a chapter: each takes the reader's answer and says what is wrong with it.

A check returns a sentence that begins with "Right" or raises NotYet; ``run`` shows this as a box.
"""

from gholm_kit.teaching.checks import (
    contrast,
    crops,
    erasure,
    heatmaps,
    open_questions,
    other_maps,
    paper,
    photos,
    start,
    tables,
    training,
)
from gholm_kit.teaching.checks.answers import NotYet, Unsolved
from gholm_kit.teaching.checks.verdict import Verdict, run, yours_if_right

__all__ = [
    "NotYet",
    "Unsolved",
    "Verdict",
    "contrast",
    "crops",
    "erasure",
    "heatmaps",
    "open_questions",
    "other_maps",
    "paper",
    "photos",
    "run",
    "start",
    "tables",
    "training",
    "yours_if_right",
]
