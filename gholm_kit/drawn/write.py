"""Draw the mini sets to disk, each in the layout of the real set it stands for.

The same bytes each time: every picture has a seed of its own, MAT files get a fixed header. A set is drawn into
a temporary folder and renamed at the end, so half a set is never mistaken for a whole one.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
import scipy.io
from tqdm.auto import tqdm

from gholm_kit.drawn import FAMILY_NAMES, get_family
from gholm_kit.drawn.family import Family
from gholm_kit.drawn.scene import SIZE, GroundTruth
from gholm_kit.drawn.truth import FOLDER
from gholm_lib.datasets.check import try_read
from gholm_lib.datasets.lists import missing_images
from gholm_lib.datasets.registry import DATASETS

VERSION = 5  # raise it when a picture or its truth changes: sets drawn by another version are drawn anew
SEED = 2023
TRAIN, TEST = 40, 60  # pictures a class
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class Picture:
    """One picture to draw."""

    family: str
    class_name: str
    label: int
    number: int  # within its class, training pictures first
    path: str  # relative to the set's folder

    @property
    def train(self) -> bool:
        return self.number < TRAIN


@dataclass(frozen=True)
class Drawn:
    """A picture that lies on disk."""

    picture: Picture
    truth: GroundTruth


def draw_all(root: Path, progress: bool = True) -> list[Path]:
    """Draw every mini set that is missing under the data root; returns their folders."""
    folders = [Path(root) / DATASETS[name].folder for name in FAMILY_NAMES]
    missing = [
        (n, f) for n, f in zip(FAMILY_NAMES, folders, strict=True) if not is_complete(get_family(n), f)
    ]
    if missing:
        with worker_pool() as pool:
            for name, folder in missing:
                _draw_set(get_family(name), folder, progress, pool)
    return folders


def draw_family(name: str, folder: Path, progress: bool = True) -> bool:
    """Draw one mini set into ``folder``; False when it was there already, whole and of this version."""
    family, folder = get_family(name), Path(folder)
    if is_complete(family, folder):
        return False
    with worker_pool() as pool:
        _draw_set(family, folder, progress, pool)
    return True


def worker_pool() -> ProcessPoolExecutor:
    """Processes that draw. Spawned, not forked: a fork of a process in which PyTorch has run can hang."""
    return ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))


def _draw_set(family: Family, folder: Path, progress: bool, pool: ProcessPoolExecutor) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        drawn = _draw_pictures(family, temporary, progress, pool)
        _LAYOUTS[family.name].write_lists(temporary, family, drawn)
        _write_truth(temporary, family, drawn)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_complete(family: Family, folder: Path) -> bool:
    """Whether the set in ``folder`` is whole and what this version draws."""
    try:
        about = json.loads((folder / FOLDER / "truth.json").read_text())
        maps = [f"{FOLDER}/part_maps/{i}.png" for i in about["images"]]
        if about["version"] != VERSION or missing_images(folder, [*about["images"], *maps]):
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return try_read(DATASETS[family.name], folder)[0] is not None


def picture_seed(family: str, label: int, number: int) -> list[int]:
    """Seed of a picture: no two alike, none that pretraining uses."""
    return [SEED, FAMILY_NAMES.index(family), label, number]


def _draw_pictures(family: Family, folder: Path, progress: bool, pool: ProcessPoolExecutor) -> list[Drawn]:
    pictures = [
        Picture(family.name, name, label, n, _LAYOUTS[family.name].path(name, label, n))
        for label, name in enumerate(family.classes)
        for n in range(TRAIN + TEST)
    ]
    for parent in sorted({(folder / p.path).parent for p in pictures}):
        parent.mkdir(parents=True)
        (folder / FOLDER / "part_maps" / parent.relative_to(folder)).mkdir(parents=True)
    truths = pool.map(_draw_one, pictures, [folder] * len(pictures), chunksize=20)
    bar = tqdm(truths, total=len(pictures), desc=family.name, unit="img", disable=not progress or None)
    return [Drawn(p, t) for p, t in zip(pictures, bar, strict=True)]


def _draw_one(picture: Picture, folder: Path) -> GroundTruth:
    cv2.setNumThreads(1)  # one process a core already
    family = get_family(picture.family)
    rng = np.random.default_rng(picture_seed(picture.family, picture.label, picture.number))
    image, truth = family.picture(family.traits(picture.class_name), rng)
    jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    (folder / picture.path).write_bytes(jpeg.tobytes())
    png = cv2.imencode(".png", truth.part_map)[1]
    (folder / FOLDER / "part_maps" / f"{picture.path}.png").write_bytes(png.tobytes())
    return truth


def _write_truth(folder: Path, family: Family, drawn: list[Drawn]) -> None:
    images = {
        d.picture.path: {
            "points": {k: p and [round(v, 2) for v in p] for k, p in d.truth.points.items()},
            "regions": {k: [round(v, 2) for v in r] for k, r in d.truth.regions.items()},
        }
        for d in drawn
    }
    about = {
        "version": VERSION,
        "note": "Drawn, not photographed: teaching data of the GHOLM-Net kit.",
        "parts": family.parts,
        "classes": {name: dict(family.traits(name)) for name in family.classes},
        "images": images,
    }
    (folder / FOLDER / "truth.json").write_text(json.dumps(about))


# ---------------------------------------------------------------------- the four layouts


@dataclass(frozen=True)
class _Layout:
    path: Callable[[str, int, int], str]  # class name, label, number in class → path of the image
    write_lists: Callable[[Path, Family, list[Drawn]], None]


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name)


def _cub_path(name: str, label: int, number: int) -> str:
    return f"images/{label + 1:03d}.{_plain(name)}/{_plain(name)}_{number + 1:04d}.jpg"


def _cub_lists(folder: Path, family: Family, drawn: list[Drawn]) -> None:
    (folder / "parts").mkdir()
    lines: dict[str, list[str]] = {
        "images.txt": [],
        "image_class_labels.txt": [],
        "train_test_split.txt": [],
        "bounding_boxes.txt": [],
        "parts/part_locs.txt": [],
    }
    for k, d in enumerate(drawn, start=1):
        x0, y0, x1, y1 = d.truth.box
        lines["images.txt"].append(f"{k} {d.picture.path.removeprefix('images/')}")
        lines["image_class_labels.txt"].append(f"{k} {d.picture.label + 1}")
        lines["train_test_split.txt"].append(f"{k} {int(d.picture.train)}")
        lines["bounding_boxes.txt"].append(f"{k} {x0:.1f} {y0:.1f} {x1 - x0:.1f} {y1 - y0:.1f}")
        for j, point in enumerate(d.truth.points.values(), start=1):
            x, y = point or (0.0, 0.0)
            lines["parts/part_locs.txt"].append(f"{k} {j} {x:.1f} {y:.1f} {int(point is not None)}")
    lines["classes.txt"] = [f"{i} {i:03d}.{_plain(c)}" for i, c in enumerate(family.classes, start=1)]
    lines["parts/parts.txt"] = [f"{i} {p}" for i, p in enumerate(family.parts, start=1)]
    for name, rows in lines.items():
        (folder / name).write_text("\n".join(rows) + "\n", newline="\n")


def _aircraft_path(name: str, label: int, number: int) -> str:
    return f"data/images/{label * (TRAIN + TEST) + number + 1:07d}.jpg"


def _aircraft_lists(folder: Path, family: Family, drawn: list[Drawn]) -> None:
    lines = {
        "variants.txt": list(family.classes),
        "images_variant_trainval.txt": [_variant(d) for d in drawn if d.picture.train],
        "images_variant_test.txt": [_variant(d) for d in drawn if not d.picture.train],
        "images_box.txt": [f"{Path(d.picture.path).stem} {_one_based(d)}" for d in drawn],
    }
    for name, rows in lines.items():
        (folder / "data" / name).write_text("\n".join(rows) + "\n", newline="\n")


def _variant(d: Drawn) -> str:
    return f"{Path(d.picture.path).stem} {d.picture.class_name}"


def _one_based(d: Drawn) -> str:
    x0, y0, x1, y1 = d.truth.box
    return f"{x0 + 1} {y0 + 1} {x1} {y1}"  # 1-based, last pixel included


def _cars_path(name: str, label: int, number: int) -> str:
    if number < TRAIN:
        return f"cars_train/{label * TRAIN + number + 1:05d}.jpg"
    return f"cars_test/{label * TEST + number - TRAIN + 1:05d}.jpg"


def _cars_lists(folder: Path, family: Family, drawn: list[Drawn]) -> None:
    (folder / "devkit").mkdir()
    _save_mat(folder / "devkit/cars_meta.mat", {"class_names": _cells(list(family.classes))})
    train = [d for d in drawn if d.picture.train]
    test = [d for d in drawn if not d.picture.train]
    _save_mat(folder / "devkit/cars_train_annos.mat", {"annotations": _car_rows(train)})
    _save_mat(folder / "cars_test_annos_withlabels.mat", {"annotations": _car_rows(test)})


def _car_rows(drawn: list[Drawn]) -> np.ndarray:
    names = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
    rows = np.empty((1, len(drawn)), dtype=[(n, object) for n in names])
    for k, d in enumerate(drawn):
        x0, y0, x1, y1 = d.truth.box
        numbers = [x0 + 1, y0 + 1, x1, y1, d.picture.label + 1]
        rows[0, k] = (*(np.array([[v]], np.uint16) for v in numbers), Path(d.picture.path).name)
    return rows


def _dogs_path(name: str, label: int, number: int) -> str:
    synset = f"n{label + 1:08d}"
    return f"Images/{synset}-{_plain(name)}/{synset}_{number + 1}.jpg"


def _dogs_lists(folder: Path, family: Family, drawn: list[Drawn]) -> None:
    for d in drawn:
        note = folder / "Annotation" / Path(d.picture.path).relative_to("Images").with_suffix("")
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(_dog_xml(d), newline="\n")
    for split in ("train", "test"):
        rows = [d for d in drawn if d.picture.train == (split == "train")]
        files = [d.picture.path.removeprefix("Images/") for d in rows]
        table = {
            "file_list": _cells(files, column=True),
            "annotation_list": _cells([f.removesuffix(".jpg") for f in files], column=True),
            "labels": np.array([[d.picture.label + 1] for d in rows], np.float64),
        }
        _save_mat(folder / f"{split}_list.mat", table)


def _dog_xml(d: Drawn) -> str:
    x0, y0, x1, y1 = d.truth.box
    corners = zip(("xmin", "ymin", "xmax", "ymax"), (x0, y0, x1, y1), strict=True)
    box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners)
    return (
        f"<annotation><filename>{Path(d.picture.path).stem}</filename>"
        f"<size><width>{SIZE}</width><height>{SIZE}</height><depth>3</depth></size>"
        f"<object><name>{escape(d.picture.class_name)}</name><bndbox>{box}</bndbox></object></annotation>\n"
    )


def _cells(values: list[str], column: bool = False) -> np.ndarray:
    array = np.empty((len(values), 1) if column else (1, len(values)), object)
    array.ravel()[:] = values
    return array


def _save_mat(path: Path, table: dict) -> None:
    """Like scipy.io.savemat, without the time of day that it writes into the header."""
    scipy.io.savemat(path, table, do_compression=True)
    content = bytearray(path.read_bytes())
    content[:116] = b"MATLAB 5.0 MAT-file, mini set of the GHOLM-Net kit".ljust(116)
    path.write_bytes(content)


_LAYOUTS = {
    "mini_birds": _Layout(_cub_path, _cub_lists),
    "mini_aircraft": _Layout(_aircraft_path, _aircraft_lists),
    "mini_cars": _Layout(_cars_path, _cars_lists),
    "mini_dogs": _Layout(_dogs_path, _dogs_lists),
}
