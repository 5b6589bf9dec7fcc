"""CUB-200-2011 in its owner's layout (Wah et al. 2011).

    CUB_200_2011/classes.txt              1 001.Black_footed_Albatross
                 images.txt               1 001.Black_footed_Albatross/name.jpg
                 image_class_labels.txt   1 1
                 train_test_split.txt     1 0            (1 = training)
                 images/
                 bounding_boxes.txt       1 60.0 27.0 325.0 304.0      (optional: x y width height)
                 parts/parts.txt, parts/part_locs.txt    (optional)

Box coordinates start at 0 (the smallest x and y in the owner's list are 0.0): `x, y, w, h` is
the half-open box `x, y, x + w, y + h`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gholm_lib.datasets import lists
from gholm_lib.datasets.lists import Box, DataError, FineGrainedData, Sample

if TYPE_CHECKING:
    import numpy as np

REQUIRED = (
    "classes.txt",
    "images.txt",
    "image_class_labels.txt",
    "train_test_split.txt",
    "images",
)
OPTIONAL = ("bounding_boxes.txt", "parts/parts.txt", "parts/part_locs.txt")


@dataclass(frozen=True)
class PartPoints:
    """Part points of a data set in the CUB layout.

    `points[image_id]` is a float array of shape (number of parts, 3): x and y in pixels of the upright
    image that `load_image` returns, then 1 if the part is visible, else 0 (x and y are then
    meaningless).
    """

    names: tuple[str, ...]
    points: dict[str, np.ndarray]


def read_cub(folder: Path, name: str = "cub") -> FineGrainedData:
    """Read the lists in `folder`; raises `DataError` if the lists or the images are incomplete."""
    lists.require_files(folder, REQUIRED)
    classes = _read_classes(folder / "classes.txt")
    images = _read_images(folder)
    labels = _read_column(folder, "image_class_labels.txt", images, "a class number")
    split = _read_column(folder, "train_test_split.txt", images, "0 (test) or 1 (training)")
    boxes = _read_boxes(folder, images)
    sides: tuple[list[Sample], list[Sample]] = ([], [])  # test, train
    for key, image_id in images.items():
        where, number = labels[key]
        label = lists.class_index(where, number, len(classes))
        side = _side(*split[key])
        sides[side].append(Sample(folder / image_id, label, image_id, boxes.get(key)))
    return lists.finish(name, folder, classes, train=sides[1], test=sides[0])


def cub_parts(root: str | Path) -> PartPoints:
    """Part points of the data set in `root` (`FineGrainedData.root`); raises `DataError` if there are none."""
    import numpy as np  # here: listing data sets does not need it

    folder = Path(root)
    lists.require_files(folder, ("images.txt", "parts/parts.txt", "parts/part_locs.txt"))
    images = _read_images(folder)
    names = lists.read_table(folder / "parts/parts.txt", "id name")
    columns = {key: column for column, key in enumerate(names)}
    points = {image_id: np.zeros((len(names), 3)) for image_id in images.values()}
    path = folder / "parts/part_locs.txt"
    for where, (key, part, *rest) in lists.read_rows(path, "image_id part_id x y visible"):
        if key not in images or part not in columns:
            raise DataError(f"{where}: image '{key}' or part '{part}' is not in any list.")
        points[images[key]][columns[part]] = lists.parse_floats(where, rest, "'x y visible'")
    _turn_upright(folder, points)
    return PartPoints(tuple(rest[0] for _, rest in names.values()), points)


def _turn_upright(folder: Path, points: dict[str, np.ndarray]) -> None:
    """Convert points from stored to upright coordinates, in place, for images that their EXIF data rotate."""
    import numpy as np

    from gholm_lib.datasets import pictures

    shown = [image_id for image_id, rows in points.items() if rows[:, 2].any()]
    files, _ = lists.find_images(folder, shown)
    for image_id in shown:
        turn, (width, height) = pictures.stored_frame(files.get(image_id, folder / image_id))
        rows = points[image_id]
        x, y, visible = rows.T.copy()
        # A point is the centre of a pixel, so the largest x is width - 1.
        x, y = pictures.upright_place(turn, x, y, width - 1, height - 1)
        rows[visible > 0] = np.stack([x, y, visible], 1)[visible > 0]


def _read_classes(path: Path) -> list[str]:
    table = lists.read_table(path, "id name")
    for expected, (key, (where, _)) in enumerate(table.items(), start=1):
        if key != str(expected):
            raise DataError(f"{where}: expected class id {expected}, found '{key}'.")
    return [_readable(rest[0]) for _, rest in table.values()]


def _readable(folder_name: str) -> str:
    """`001.Black_footed_Albatross` -> `Black footed Albatross`."""
    number, dot, rest = folder_name.partition(".")
    return (rest if dot and number.isdigit() else folder_name).replace("_", " ")


def _read_images(folder: Path) -> dict[str, str]:
    table = lists.read_table(folder / "images.txt", "id path")
    return {key: lists.safe_id(where, "images", rest[0]) for key, (where, rest) in table.items()}


def _read_column(folder: Path, name: str, images: dict[str, str], what: str) -> dict[str, tuple[str, int]]:
    table = lists.read_table(folder / name, "id value")
    lists.require_same_ids(folder / "images.txt", images, folder / name, table)
    return {k: (where, lists.parse_ints(where, rest, what)[0]) for k, (where, rest) in table.items()}


def _side(where: str, value: int) -> int:
    if value not in (0, 1):
        raise DataError(f"{where}: expected 0 (test) or 1 (training), found '{value}'.")
    return value


def _read_boxes(folder: Path, images: dict[str, str]) -> dict[str, Box]:
    path = folder / "bounding_boxes.txt"
    if not path.exists():
        return {}
    table = lists.read_table(path, "id x y width height")
    lists.require_same_ids(folder / "images.txt", images, path, table)
    boxes = {}
    for key, (where, rest) in table.items():
        x, y, width, height = lists.parse_floats(where, rest, "'id x y width height'")
        boxes[key] = lists.checked_box(where, x, y, x + width, y + height)
    return boxes
