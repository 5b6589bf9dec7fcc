"""A small data set for runs that take a second."""

from pathlib import Path

import numpy as np
from PIL import Image


def noise_in_cubs_layout(root: Path) -> Path:
    """Two classes of noise below ``root``, six images each to train and four to test; returns ``root``."""
    folder, rng = root / "CUB_200_2011", np.random.default_rng(0)
    lines = {"images": [], "image_class_labels": [], "train_test_split": []}
    for k in range(20):
        label, number = divmod(k, 10)
        name = f"00{label + 1}.Class/{number}.png"
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 200, (40, 44, 3), dtype=np.uint8)).save(folder / "images" / name)
        lines["images"].append(f"{k + 1} {name}")
        lines["image_class_labels"].append(f"{k + 1} {label + 1}")
        lines["train_test_split"].append(f"{k + 1} {int(number < 6)}")
    lines["classes"] = ["1 001.Class", "2 002.Class"]
    for name, rows in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return root
