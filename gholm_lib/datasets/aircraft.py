"""FGVC-Aircraft 2013b in its owner's layout (Maji et al. 2013), variants as classes.

    fgvc-aircraft-2013b/data/images/1025794.jpg
                             variants.txt                   707-320
                             images_variant_trainval.txt    1025794 707-320
                             images_variant_test.txt
                             images_box.txt                 1025794 xmin ymin xmax ymax   (optional)

The name of a variant may contain spaces and slashes (`F/A-18`, `DHC-8-100`, `Eurofighter Typhoon`).
Box coordinates start at 1 and include the last pixel (the owner's README: the top-left pixel is (1,1)).
The owner's photographs have a banner of 20 pixels at the bottom with the photographer's name. The reader
does not remove it.
"""

from __future__ import annotations

from pathlib import Path

from gholm_lib.datasets import lists
from gholm_lib.datasets.lists import Box, DataError, FineGrainedData, Sample

REQUIRED = (
    "data/variants.txt",
    "data/images_variant_trainval.txt",
    "data/images_variant_test.txt",
    "data/images",
)
OPTIONAL = ("data/images_box.txt",)


def read_aircraft(folder: Path, name: str = "aircraft") -> FineGrainedData:
    """Read the lists in `folder`/data; raises `DataError` if the lists or the images are incomplete."""
    lists.require_files(folder, REQUIRED)
    classes = _read_variants(folder / "data/variants.txt")
    boxes = _read_boxes(folder / "data/images_box.txt")
    train, test = (
        _read_split(folder, f"data/images_variant_{split}.txt", classes, boxes)
        for split in ("trainval", "test")
    )
    return lists.finish(name, folder, list(classes), train, test)


def _read_variants(path: Path) -> dict[str, int]:
    classes: dict[str, int] = {}
    for where, (variant,) in lists.read_rows(path, "variant"):
        if variant in classes:
            raise DataError(f"{where}: the variant '{variant}' is listed twice.")
        classes[variant] = len(classes)
    return classes


def _read_boxes(path: Path) -> dict[str, Box] | None:
    if not path.exists():
        return None
    boxes = {}
    for key, (where, rest) in lists.read_table(path, "id xmin ymin xmax ymax").items():
        x0, y0, x1, y1 = lists.parse_ints(where, rest, "'id xmin ymin xmax ymax'")
        boxes[key] = lists.checked_box(where, x0 - 1, y0 - 1, x1, y1)
    return boxes


def _read_split(
    folder: Path, relative: str, classes: dict[str, int], boxes: dict[str, Box] | None
) -> list[Sample]:
    samples = []
    for key, (where, (variant,)) in lists.read_table(folder / relative, "id variant").items():
        if variant not in classes:
            raise DataError(f"{where}: the variant '{variant}' is not in data/variants.txt.")
        if boxes is not None and key not in boxes:
            raise DataError(f"{where}: image '{key}' has no line in data/images_box.txt.")
        image_id = lists.safe_id(where, "data/images", f"{key}.jpg")
        box = None if boxes is None else boxes[key]
        samples.append(Sample(folder / image_id, classes[variant], image_id, box))
    return samples
