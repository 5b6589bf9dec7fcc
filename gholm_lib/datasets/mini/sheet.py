"""Contact sheets: rows of pictures with names, to judge a family by eye."""

from __future__ import annotations

import cv2
import numpy as np

from gholm_lib.datasets.mini.family import Family


def contact_sheet(family: Family, columns: int = 8, seed: int = 0, truth: bool = False) -> np.ndarray:
    """One row per class, ``columns`` pictures each, the class name on the left: (H, W, 3) uint8 RGB.

    ``truth`` draws the box and the visible part masks over the pictures.
    """
    rows = []
    for k, name in enumerate(family.classes):
        cells = []
        for j in range(columns):
            image, truth_ = family.picture(family.traits(name), np.random.default_rng([seed, k, j]))
            cells.append(_with_truth(image, truth_) if truth else image)
        label = np.full((cells[0].shape[0], 170, 3), 255, np.uint8)
        for i, line in enumerate(name.replace("_", " ").split()):
            cv2.putText(
                label, line, (6, 60 + 24 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA
            )
        rows.append(np.concatenate([label, *cells], 1))
    return np.concatenate(rows, 0)


def _with_truth(image: np.ndarray, truth) -> np.ndarray:
    out = image.copy()
    colours = np.random.default_rng(1).integers(60, 255, (64, 3), dtype=np.uint8)
    for code in np.unique(truth.part_map[truth.part_map > 1]):
        out[truth.part_map == code] = colours[code]
    for x, y, r in truth.regions.values():
        cv2.circle(out, (int(x), int(y)), int(r), (255, 255, 0), 1, cv2.LINE_AA)
    x0, y0, x1, y1 = truth.box
    cv2.rectangle(out, (x0, y0), (x1 - 1, y1 - 1), (255, 255, 255), 1)
    return out
