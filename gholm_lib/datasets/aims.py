"""The true boxes that a control's crop takes in place of the heatmap's (``crop_box`` of the Config).

"object" is the owner's box. "parts" is the box round the discs that hold every variant of each deciding part; it
depends on no label, and only the drawn sets know it (``ground_truth/truth.json``, from ``gholm data get mini``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

from gholm_lib.datasets.lists import DataError, FineGrainedData, Sample

Shares = tuple[float, float, float, float]


def with_aims(data: FineGrainedData, kind: str) -> FineGrainedData:
    """The data set with each sample's ``aim``; ``kind`` is "object" or "parts".

    raises DataError if the data set does not know these boxes
    """
    box_of = _object_box if kind == "object" else _parts_box(data)

    def aimed(sample: Sample) -> Sample:
        box = box_of(sample)
        if box is None:
            raise DataError(
                f'crop_box="{kind}" needs a box for each image, but {data.name} has none for {sample.image_id}; '
                f"{_ADVICE[kind]}, or choose another crop_box"
            )
        width, height = _upright_size(sample.path)
        x0, x1 = (min(max(x / width, 0.0), 1.0) for x in box[0::2])
        y0, y1 = (min(max(y / height, 0.0), 1.0) for y in box[1::2])
        return replace(sample, aim=(x0, y0, x1, y1))

    return replace(data, train=tuple(map(aimed, data.train)), test=tuple(map(aimed, data.test)))


_ADVICE = {
    "object": "add the owner's boxes (`gholm data check` names their file)",
    "parts": "only the drawn sets (mini_birds, ...) know their deciding parts",
}


def _object_box(sample: Sample) -> Shares | None:
    return sample.box


def _parts_box(data: FineGrainedData) -> Callable[[Sample], Shares | None]:
    path = data.root / "ground_truth" / "truth.json"
    regions = _regions(path, path.stat().st_mtime_ns) if path.is_file() else {}

    def box(sample: Sample) -> Shares | None:
        discs = regions.get(sample.image_id)
        if not discs:
            return None
        low = [min(disc[axis] - disc[2] for disc in discs) for axis in (0, 1)]
        high = [max(disc[axis] + disc[2] for disc in discs) for axis in (0, 1)]
        return (low[0], low[1], high[0], high[1])

    return box


@lru_cache
def _regions(path: Path, time: int) -> dict[str, list[list[float]]]:
    """For each image, the discs x, y, radius in pixels; a file with another ``time`` is read again."""
    try:
        images = json.loads(path.read_text(encoding="utf-8"))["images"]
        return {name: list(about["regions"].values()) for name, about in images.items()}
    except (ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{path} cannot be read ({error!r}); draw it again: gholm data get mini") from error


@cache
def _upright_size(path: Path) -> tuple[int, int]:
    from gholm_lib.datasets.pictures import stored_frame  # here: listing sets opens no image

    turn, (width, height) = stored_frame(path)
    # A file that is no picture has no size; opening it says so.
    return (max(height, 1), max(width, 1)) if turn >= 5 else (max(width, 1), max(height, 1))
