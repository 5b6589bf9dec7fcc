"""Real photographs that are on every machine: they come with scikit-image, and anybody may show them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gholm_kit.teaching.photos import Photo, PhotoError, read_photo


@dataclass(frozen=True)
class FreePhoto:
    """A photograph of scikit-image's; ``credit`` says who made it and by which licence it may be shown."""

    name: str
    file: str
    credit: str

    @property
    def path(self) -> Path:
        """Where scikit-image keeps it; raises PhotoError, which says how to get it, if it does not."""
        found = find_spec("skimage")
        if found is None or found.origin is None:
            raise PhotoError(
                f"the photograph {self.name!r} comes with scikit-image, which is not installed: "
                "pip install scikit-image"
            )
        path = Path(found.origin).parent / "data" / self.file
        if not path.is_file():
            raise PhotoError(f"scikit-image has no file {path}: pip install --force-reinstall scikit-image")
        return path

    def read(self) -> Photo:
        """The photograph as ``teaching.photos`` has it."""
        return read_photo(self.path, self.name)


# Who made them and the licences are as the functions of skimage.data say.
FREE_PHOTOS = {
    photo.name: photo
    for photo in (
        FreePhoto("cat", "chelsea.png", "Stéfan van der Walt, CC0"),
        FreePhoto("coffee", "coffee.png", "Rachel Michetti, CC0"),
        FreePhoto("rocket", "rocket.jpg", "SpaceX, public domain"),
        FreePhoto("astronaut", "astronaut.png", "NASA, public domain"),
    )
}


def free_photo(name: str) -> Photo:
    """One of ``FREE_PHOTOS`` by name; raises PhotoError for another name, or where scikit-image lacks it."""
    if name not in FREE_PHOTOS:
        raise PhotoError(f"there is no free photograph {name!r}; there are {', '.join(FREE_PHOTOS)}")
    return FREE_PHOTOS[name].read()


def credits_of(names: Iterable[str]) -> str:
    """The line below a figure that shows these photographs."""
    told = "; ".join(f"{name}: {FREE_PHOTOS[name].credit}" for name in names)
    return f"Photographs: {told} (from scikit-image)"
