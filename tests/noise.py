"""Small data sets of noise for runs that take a second."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def noise_in_cubs_layout(
    root: Path,
    train: int = 6,
    test: int = 4,
    size: tuple[int, int] = (40, 44),
    tint: Callable[[np.ndarray, int], None] = lambda pixels, label: None,
) -> Path:
    """Two classes below ``root``, ``train`` and ``test`` pictures of each; returns ``root``.

    size  height and width; tint(pixels, label) may change the noise of a class
    """
    folder, rng = root / "CUB_200_2011", np.random.default_rng(0)
    lines = {"images": [], "image_class_labels": [], "train_test_split": []}
    for k in range(2 * (train + test)):
        label, number = divmod(k, train + test)
        name = f"00{label + 1}.Class/{number}.png"
        pixels = rng.integers(0, 200, (*size, 3), dtype=np.uint8)
        tint(pixels, label)
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / name)
        lines["images"].append(f"{k + 1} {name}")
        lines["image_class_labels"].append(f"{k + 1} {label + 1}")
        lines["train_test_split"].append(f"{k + 1} {int(number < train)}")
    lines["classes"] = ["1 001.Class", "2 002.Class"]
    for name, rows in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return root
