"""Stanford Cars (Krause et al. 2013) in the layout that torchvision reads.

    stanford_cars/cars_train/00001.jpg
                  cars_test/00001.jpg
                  devkit/cars_meta.mat                   class_names
                  devkit/cars_train_annos.mat            annotations: bbox_x1 ... class, fname
                  cars_test_annos_withlabels.mat         the same for the test images

Box coordinates start at 1 and include the last pixel. Class numbers start at 1.
"""

from __future__ import annotations

from pathlib import Path

from gholm_lib.datasets import lists
from gholm_lib.datasets.lists import DataError, FineGrainedData, Sample

REQUIRED = (
    "devkit/cars_meta.mat",
    "devkit/cars_train_annos.mat",
    "cars_test_annos_withlabels.mat",
    "cars_train",
    "cars_test",
)
OPTIONAL = ()
FIELDS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")


def read_cars(folder: Path, name: str = "cars") -> FineGrainedData:
    """Read the lists in `folder`; raises `DataError` if the lists or the images are incomplete."""
    lists.require_files(folder, REQUIRED)
    (names,) = lists.load_mat(folder / "devkit/cars_meta.mat", ["class_names"])
    classes = [str(class_name) for class_name in names]
    train = _read_split(folder, "devkit/cars_train_annos.mat", "cars_train", len(classes))
    test = _read_split(folder, "cars_test_annos_withlabels.mat", "cars_test", len(classes))
    return lists.finish(name, folder, classes, train, test)


def _read_split(folder: Path, mat: str, images: str, classes: int) -> list[Sample]:
    path = folder / mat
    (annotations,) = lists.load_mat(path, ["annotations"])
    _require_fields(path, annotations.dtype.names or ())
    samples = []
    for index, row in enumerate(annotations[list(FIELDS)].tolist(), start=1):
        where = f"{path}, annotation {index}"
        *numbers, image = row
        x0, y0, x1, y1, number = lists.parse_ints(where, numbers, "four corners and a class")
        image_id = lists.safe_id(where, images, str(image))
        label = lists.class_index(where, number, classes)
        box = lists.checked_box(where, x0 - 1, y0 - 1, x1, y1)
        samples.append(Sample(folder / image_id, label, image_id, box))
    return samples


def _require_fields(path: Path, fields: tuple[str, ...]) -> None:
    absent = [field for field in FIELDS if field not in fields]
    if absent == ["class"]:
        raise DataError(
            f"{path}: its annotations have no field 'class'. This is cars_test_annos.mat, the "
            "list without labels, under another name; the list with labels is needed."
        )
    if absent:
        raise DataError(f"{path}: its annotations have no field '{absent[0]}', found {fields}.")
