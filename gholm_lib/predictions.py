"""A network's answer to each test image, and its accuracy (eq. 13)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ANSWERS = ("raw", "crop", "both")


@dataclass
class Predictions:
    """The network's answers to N images, in the data set's order.

    label, raw, crop, both  (N,) int16 classes; -1 where a branch was not run
    box                     (N, 4) int16, in pixels of the network's input
    fallback                (N,) bool: nothing was above the threshold, so the box is the whole image
    """

    label: np.ndarray
    raw: np.ndarray
    crop: np.ndarray
    both: np.ndarray
    box: np.ndarray
    fallback: np.ndarray
    image_size: int

    @classmethod
    def empty(cls, count: int, image_size: int) -> Predictions:
        classes = {k: np.full(count, -1, np.int16) for k in ("label", *ANSWERS)}
        return cls(
            **classes,
            box=np.zeros((count, 4), np.int16),
            fallback=np.zeros(count, bool),
            image_size=image_size,
        )

    def correct(self, answer: str = "both") -> np.ndarray:
        """(N,) bool: which answers are right, for "raw", "crop" or "both" (the sum of their logits)."""
        return getattr(self, answer) == self.label

    def summary(self) -> dict[str, float]:
        """Accuracy in percent of each branch that was run; with Crop, also the shares of fallbacks and box area."""
        ran = [a for a in ANSWERS if (getattr(self, a) >= 0).any()]
        result = {a: 100 * accuracy(self.correct(a)) for a in ran}
        if "crop" in ran:
            x0, y0, x1, y1 = self.box.astype(float).T
            result["fallback_share"] = float(self.fallback.mean())
            result["box_area"] = float(((x1 - x0) * (y1 - y0)).mean() / self.image_size**2)
        return result


def accuracy(correct: np.ndarray) -> float:
    """Eq. (13): T_num / A_num, in 0..1."""
    return float(np.mean(correct))
