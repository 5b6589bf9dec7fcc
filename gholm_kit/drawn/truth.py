"""Ground truth of a mini set on disk: what no photograph set knows about its images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from gholm_lib.datasets.lists import DataError

FOLDER = "ground_truth"


@dataclass(frozen=True)
class MiniTruth:
    """Ground truth of the mini set in ``root``."""

    root: Path

    @cached_property
    def _about(self) -> dict:
        path = self.root / FOLDER / "truth.json"
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({error}); draw it again: gholm data get mini") from error

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts' names; part k has code 2 + k in a part map."""
        return tuple(self._about["parts"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the labels."""
        return tuple(self._about["classes"])

    def traits(self, class_name: str) -> dict[str, str]:
        """Part → variant, for one class."""
        return self._about["classes"][class_name]

    def differing_parts(self, a: str, b: str) -> tuple[str, ...]:
        """The parts that tell class ``a`` from class ``b``."""
        return tuple(p for p in self.parts if self.traits(a)[p] != self.traits(b)[p])

    @cached_property
    def deciding_parts(self) -> tuple[str, ...]:
        """The parts that differ between any two classes."""
        classes = list(self._about["classes"].values())
        return tuple(p for p in self.parts if len({c[p] for c in classes}) > 1)

    def points(self, image_id: str) -> dict[str, tuple[float, float] | None]:
        """Centre (x, y) in pixels of each part's visible pixels; None when hidden."""
        return self._about["images"][image_id]["points"]

    def regions(self, image_id: str) -> dict[str, tuple[float, float, float]]:
        """x, y, radius in pixels of a disc that holds every variant of a deciding part."""
        return self._about["images"][image_id]["regions"]

    def part_map(self, image_id: str) -> np.ndarray:
        """(H, W) uint8: 0 background, 1 object, 2 + k part k; what is visible."""
        path = self.root / FOLDER / "part_maps" / f"{image_id}.png"
        try:  # not cv2.imread: on Windows it cannot open a path with letters beyond ASCII
            data = np.frombuffer(path.read_bytes(), np.uint8)
        except OSError:
            data = np.empty(0, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
        if image is None:
            raise DataError(f"no part map {path}, or a broken one; draw the set again: gholm data get mini")
        return image


def load_truth(root: str | Path) -> MiniTruth:
    """Ground truth of the mini set in the folder ``root`` (``load_dataset(name).root``)."""
    truth = MiniTruth(Path(root))
    truth.parts  # noqa: B018 - read now, so that a missing file is told now
    return truth
