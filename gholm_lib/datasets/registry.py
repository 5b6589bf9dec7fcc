"""The eight data sets by name: folder, reader, download and the counts of Table 1. Any other name is a folder of
one's own pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gholm_lib.datasets import aircraft, cars, cub, dogs
from gholm_lib.datasets.folder import read_folder
from gholm_lib.datasets.lists import DataError, FineGrainedData
from gholm_lib.paths import data_root


@dataclass(frozen=True)
class ArchiveFile:
    """One file to download.

    `checksum` is `"md5:..."` or `"sha256:..."`, or None if nobody has published one; `source` says
    who published it. `size` (bytes of the download, approximate) is used to check the free disk space.
    """

    base_url: str
    filename: str
    checksum: str | None
    source: str
    size: int

    @property
    def url(self) -> str:
        return f"{self.base_url.rstrip('/')}/{self.filename}"


@dataclass(frozen=True)
class DatasetInfo:
    """What is known about a data set before it is downloaded or drawn.

    `expected` is (classes, training images, test images) from the paper's Table 1. `ends` is the
    owner's first and last class. Both are None for the drawn sets. `inner` is the folder inside the
    archives that becomes `folder`; "" means the whole archive. `stands_for` is the real set whose layout a
    drawn set has.
    """

    name: str
    title: str
    folder: str
    reader: Callable[[Path, str], FineGrainedData]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    page: str
    terms: str
    download: str
    expected: tuple[int, int, int] | None = None
    ends: tuple[str, str] | None = None
    archives: tuple[ArchiveFile, ...] = ()
    inner: str = ""
    stands_for: str | None = None

    @property
    def is_mini(self) -> bool:
        return self.name.startswith("mini_")

    @property
    def is_own(self) -> bool:
        """Whether these are the user's own pictures, one folder a class."""
        return self.name not in DATASETS

    @property
    def get_command(self) -> str:
        return "gholm data get mini" if self.is_mini else f"gholm data get {self.name}"

    @property
    def next_step(self) -> str:
        if self.is_own:
            return "`gholm data check FOLDER` shows what is in it"
        if self.is_mini:
            return f"`{self.get_command}` draws it; `gholm data check {self.name}` lists what is missing"
        return (
            f"`{self.get_command}` fetches it or says where to get it; "
            f"`gholm data check {self.name}` lists what is missing"
        )


# The registry of TensorFlow Datasets has the size and SHA-256 of the owner's three archives
# (tensorflow_datasets/url_checksums/stanford_dogs.txt); the owner publishes none.
_DOGS_URL = "http://vision.stanford.edu/aditya86/ImageNetDogs"
_TFDS = "the checksum registry of TensorFlow Datasets"

_REAL = (
    DatasetInfo(
        name="cub",
        title="CUB-200-2011",
        folder="CUB_200_2011",
        reader=cub.read_cub,
        required=cub.REQUIRED,
        optional=cub.OPTIONAL,
        page="https://www.vision.caltech.edu/datasets/cub_200_2011/",
        terms="Non-commercial research and education; the photographs belong to their authors.",
        download="1.1 GB from CaltechDATA, MD5 published by the owner",
        expected=(200, 5994, 5794),
        ends=("Black footed Albatross", "Common Yellowthroat"),
        archives=(
            ArchiveFile(
                "https://data.caltech.edu/records/65de6-vp158/files",
                "CUB_200_2011.tgz",
                "md5:97eceeb196236b17998738112f37df78",
                "CaltechDATA, the owner",
                1_150_585_339,
            ),
        ),
        inner="CUB_200_2011",
    ),
    DatasetInfo(
        name="aircraft",
        title="FGVC-Aircraft",
        folder="fgvc-aircraft-2013b",
        reader=aircraft.read_aircraft,
        required=aircraft.REQUIRED,
        optional=aircraft.OPTIONAL,
        page="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
        terms="Non-commercial research; the photographs belong to their authors.",
        download="2.75 GB from the Visual Geometry Group, Oxford, MD5 published by the owner",
        expected=(100, 6667, 3333),
        ends=("707-320", "Yak-42"),
        archives=(
            ArchiveFile(
                "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives",
                "fgvc-aircraft-2013b.tar.gz",
                "md5:d4acdd33327262359767eeaa97a4f732",
                "VGG Oxford, the owner",
                2_750_000_000,
            ),
        ),
        inner="fgvc-aircraft-2013b",
    ),
    DatasetInfo(
        name="cars",
        title="Stanford Cars",
        folder="stanford_cars",
        reader=cars.read_cars,
        required=cars.REQUIRED,
        optional=cars.OPTIONAL,
        page="https://ai.stanford.edu/~jkrause/cars/car_dataset.html (gone since 2023)",
        terms="Non-commercial research; the photographs belong to their authors.",
        download="by hand: the owner's link is dead; the command says which files to put where",
        expected=(196, 8144, 8041),
        ends=("AM General Hummer SUV 2000", "smart fortwo Convertible 2012"),
    ),
    DatasetInfo(
        name="dogs",
        title="Stanford Dogs",
        folder="stanford_dogs",
        reader=dogs.read_dogs,
        required=dogs.REQUIRED,
        optional=dogs.OPTIONAL,
        page="http://vision.stanford.edu/aditya86/ImageNetDogs/",
        terms="ImageNet's terms: non-commercial research and education.",
        download="0.8 GB from Stanford in three archives, SHA-256 from TensorFlow Datasets",
        expected=(120, 12000, 8580),
        ends=("Chihuahua", "African hunting dog"),
        archives=(
            ArchiveFile(
                _DOGS_URL,
                "lists.tar",
                "sha256:34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c",
                _TFDS,
                481_280,
            ),
            ArchiveFile(
                _DOGS_URL,
                "annotation.tar",
                "sha256:662ed36f707be6b195c2fda392d8e153e83af28cedc8e2134a649f198def30fd",
                _TFDS,
                21_852_160,
            ),
            ArchiveFile(
                _DOGS_URL,
                "images.tar",
                "sha256:a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
                _TFDS,
                793_579_520,
            ),
        ),
    ),
)


def _mini(real: DatasetInfo, family: str) -> DatasetInfo:
    """A drawn family, in the layout of the real set that it replaces."""
    name = f"mini_{family}"
    return DatasetInfo(
        name=name,
        title=f"Mini {family} (drawn)",
        folder=name,
        reader=real.reader,
        required=real.required,
        optional=real.optional,
        page="drawn by this kit (gholm_kit/drawn)",
        terms="MIT, as the kit itself; teaching data.",
        download="nothing to download, drawn on your machine in seconds",
        stands_for=real.name,
    )


_FAMILIES = ("birds", "aircraft", "cars", "dogs")

DATASETS: dict[str, DatasetInfo] = {info.name: info for info in (*_REAL, *map(_mini, _REAL, _FAMILIES))}


def dataset_info(name: str, root: str | Path | None = None, split_seed: int = 0) -> DatasetInfo:
    """The data set with this name, else the folder of one's own pictures of this name below the data root.

    Raises `DataError`, with the known names, if there is neither.
    """
    if name in DATASETS:
        return DATASETS[name]
    folder = data_root(root) / name
    if not folder.is_dir():
        raise DataError(
            f"Unknown data set '{name}'. Known: {', '.join(DATASETS)}, or a folder of your own pictures, one folder "
            f"a class; there is no folder {folder}."
        )
    return DatasetInfo(
        name=name,
        title=f"Own pictures {name}",
        folder=name,
        reader=partial(read_folder, seed=split_seed),
        required=(),
        optional=(),
        page="your own",
        terms="Yours.",
        download="nothing to download",
    )


def locate(text: str, root: str | Path | None = None) -> tuple[str, Path | None]:
    """(name, data root) of a data set that may be given as a folder: `leaves`, `../photos/leaves`.

    A known name, or a folder below the data root, is not looked for elsewhere. Raises `DataError` for a path to no
    folder, and for a folder of one's own that has the name of a known set.
    """
    given = None if root is None else Path(root)
    if text in DATASETS or (Path(text).name == text and (data_root(root) / text).is_dir()):
        return text, given
    below, folder = (data_root(root) / text).resolve(), Path(text).expanduser().resolve()
    folder = below if below.is_dir() else folder
    if not folder.is_dir():
        if Path(text).name == text:
            return text, given  # `dataset_info` says what there is
        raise DataError(f"There is no folder {folder}: give a folder of pictures, one folder a class.")
    if folder.name in DATASETS and DATASETS[folder.name].folder != folder.name:
        raise DataError(
            f"{folder} has the name of a known data set: rename it, for example to my_{folder.name}."
        )
    return folder.name, folder.parent


def load_dataset(name: str, root: str | Path | None = None, split_seed: int = 0) -> FineGrainedData:
    """Read the lists of a data set and compare them with the files on disk.

    Images are not opened (`check_dataset(name, images=True)` opens them). Raises `DataError` with the
    exact path that was expected, what was found instead and the command to run next.
    """
    info = dataset_info(name, root, split_seed)
    folder = data_root(root) / info.folder
    try:
        return info.reader(folder, name)
    except DataError as error:
        raise DataError(f"{info.title}: {error}\n  Next: {info.next_step}.") from error
