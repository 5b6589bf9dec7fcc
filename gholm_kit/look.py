"""``gholm look``: the whole method on any photographs, with ImageNet's classes or those of a trained network.

``look_at`` does it for one photo: read the file, heatmap, box and crop, erased image, five best classes of each
branch. ``look_at_all`` does it for many and writes a picture of each, a page of all, and a line of JSON each.
"""

from __future__ import annotations

import difflib
import html
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from matplotlib.figure import Figure
from tqdm.auto import tqdm

from gholm_kit import style
from gholm_kit.teaching.figures.photos import NAMES, explorer_panel
from gholm_kit.teaching.photos import (
    Look,
    Photo,
    PhotoError,
    box_in_photo,
    in_words,
    learned_from,
    look,
    read_photo,
    top,
    way_in,
)
from gholm_lib.backbone import LITE0
from gholm_lib.datasets.folder import SUFFIXES
from gholm_lib.imagenet import imagenet_network
from gholm_lib.loading import to_input
from gholm_lib.masking import FILLS
from gholm_lib.model import GHOLMNet
from gholm_lib.records import write_whole
from gholm_lib.runs import class_names, load_network

PAGE, LINES = "index.html", "looks.jsonl"
DPI = 110


@dataclass(frozen=True)
class Eye:
    """A network in eval mode, its class names, and the settings of a look; mu and theta as in eq. (5) and (6)."""

    net: GHOLMNet
    classes: tuple[str, ...]
    mu: float
    theta: float
    fill: str
    target: int | None = None  # class of the heatmap; None: the predicted one

    def small_print(self, photo: Photo) -> str:
        """The way of a photo into the network, which network it is, and whether it learned from drawings."""
        config = self.net.config
        return f"{way_in(photo.image.size, config)} · {config.backbone}, {learned_from(config)}"


@dataclass(frozen=True)
class Looked:
    """One photo and what each branch made of it."""

    photo: Photo
    seen: Look
    eye: Eye

    def figure(self) -> Figure:
        """Image with box, heatmap, crop and erased image; below them the five best classes of each branch."""
        e = self.eye
        return explorer_panel(
            self.seen,
            e.classes,
            e.net.config,
            e.mu,
            e.theta,
            self.photo.name,
            source=e.small_print(self.photo),
        )

    def words(self) -> str:
        """The same in words."""
        return in_words(self.seen, self.eye.classes, self.photo, self.eye.mu, self.eye.theta)

    def plain(self) -> dict[str, Any]:
        """The same as plain values; the box is x0, y0, x1, y1 in pixels of the upright photo."""
        e, seen, size = self.eye, self.seen, self.photo.image.size
        return {
            "photo": self.photo.name,
            "size": list(size),
            "notes": list(self.photo.notes),
            "mu": e.mu,
            "theta": e.theta,
            "fill": e.fill,
            "target": e.classes[seen.target],
            "box": [round(place, 1) for place in box_in_photo(seen.box, size, e.net.config)],
            "box_share": round(seen.box_share, 4),
            "whole_picture": seen.fallback,
            "erased_share": round(float(seen.erased_mask.float().mean()), 4),
            "best": {
                branch: [
                    {"class": e.classes[k], "probability": round(p, 4)} for k, p in top(seen.logits[branch])
                ]
                for branch in NAMES
            },
        }


def open_eye(
    run: str | Path | None = None,
    backbone: str = LITE0,
    weights: str | Path | None = None,
    mu: float | None = None,
    theta: float | None = None,
    fill: str | None = None,
    target: str | None = None,
) -> Eye:
    """A network and the settings to look with; what is not given is as the network was trained.

    run                a finished run's folder; None: a network with ImageNet's classes
    backbone, weights  which ImageNet network: a timm name, and "lite0", "timm" (the model hub) or a file
    theta              None: the middle of the range of the network's training
    target             name of the class of the heatmap, or enough of it; None: the predicted class
    raises             ValueError in one sentence: no such run, class, model, weights, or value out of range
    """
    if run is not None:
        net, classes = load_network(run), class_names(run)
    else:
        net, classes = imagenet_network(backbone, weights or ("lite0" if backbone == LITE0 else "timm"))
    config = net.config
    chosen = {
        "mu": config.mu if mu is None else mu,
        "theta": (config.theta_low + config.theta_high) / 2 if theta is None else theta,
    }
    for name, value in chosen.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    if fill is not None and fill not in FILLS:
        raise ValueError(f"fill must be one of {', '.join(FILLS)}, got {fill!r}")
    number = None if target is None else class_number(target, classes)
    return Eye(net, classes, **chosen, fill=fill or config.fill, target=number)


def class_number(name: str, classes: Sequence[str]) -> int:
    """The class called ``name``, or the only one whose name contains it; capitals do not matter.

    raises  ValueError with similar names, or with all that contain it
    """
    wanted, lower = name.strip().casefold(), [c.casefold() for c in classes]
    if wanted in lower:
        return lower.index(wanted)
    found = [k for k, c in enumerate(lower) if wanted and wanted in c]
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(classes[k] for k in found[:8]) + ", ..." * (len(found) > 8)
        raise ValueError(f"{len(found)} classes contain {name!r}: {some}; give one of them in full")
    close = difflib.get_close_matches(wanted, lower, n=3, cutoff=0.5) or lower[:3]
    some = ", ".join(classes[lower.index(c)] for c in close)
    raise ValueError(
        f"the network has no class {name!r} among its {len(classes)}; it has, for example, {some}"
    )


def look_at(photo: Photo | bytes | str | Path, eye: Eye) -> Looked:
    """The whole method on one photo: a file, its content, or what ``read_photo`` returned.

    raises  PhotoError, one sentence that names the file, if it is no picture that can be read
    """
    photo = photo if isinstance(photo, Photo) else read_photo(photo)
    device = next(eye.net.parameters()).device
    image = to_input(photo.image, eye.net.config).to(device)
    return Looked(photo, look(eye.net, image, eye.mu, eye.theta, eye.fill, eye.target), eye)


# ---------------------------------------------------------------------- many photos


def look_at_all(
    photos: Sequence[str | Path], eye: Eye, out: str | Path | None = "look", as_json: bool = False
) -> int:
    """Look at many photos, print a line for each, and write their pictures; returns the number of unreadable files.

    photos   files; of a folder, the pictures in it
    out      a .png file for one photo; a folder for many: a picture of each, ``index.html`` with all, and
             ``looks.jsonl``; None writes nothing
    as_json  print one JSON object a line instead of words
    raises   ValueError for an ``out`` that cannot be written to
    """
    files = list(_files(photos))
    place = None if out is None else _Place(Path(out), len(files))
    lines, bad = [], 0
    bar = tqdm(files, unit="photo", leave=False, disable=None if len(files) > 1 else True)
    for path in bar:
        try:
            looked = look_at(path, eye)
        except PhotoError as error:
            bad += 1
            lines.append({"photo": str(path), "error": str(error)})
            bar.write(str(error), file=sys.stderr)
            if as_json:
                bar.write(_json(lines[-1]), file=sys.stdout)
            continue
        drawn = None if place is None else place.draw(looked, path)
        lines.append(looked.plain() | {"photo": str(path)} | ({"picture": drawn.name} if drawn else {}))
        bar.write(_json(lines[-1]) if as_json else _sentence(looked, drawn), file=sys.stdout)
    if place is not None and place.folder and len(lines) > bad:
        place.finish(lines)
        if not as_json:
            print(f"All on one page: {place.folder / PAGE}")
    return bad


def _files(photos: Sequence[str | Path]) -> Iterator[Path]:
    for path in map(Path, photos):
        if not path.is_dir():
            yield path
            continue
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        if not found:
            raise ValueError(f"the folder {path} has no pictures in it ({', '.join(sorted(SUFFIXES))})")
        yield from found


def _json(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False)


def _sentence(looked: Looked, drawn: Path | None) -> str:
    notes = f" ({'; '.join(looked.photo.notes)})" if looked.photo.notes else ""
    return looked.words() + notes + (f"\n  → {drawn}" if drawn else "")


class _Place:
    """Where pictures go: one file, or a folder with a page."""

    def __init__(self, out: Path, photos: int) -> None:
        self.file = out if out.suffix.lower() == ".png" and not out.is_dir() else None
        self.folder = None if self.file else out
        if self.file and photos > 1:
            raise ValueError(f"--out {out} is one file, but there are {photos} photos: give a folder")
        if self.folder and (out.is_file() or out.suffix.lower() in (SUFFIXES | {".pdf", ".svg"})):
            raise ValueError(f"--out takes a .png file or a folder, got {out}")
        (self.folder or out.parent).mkdir(parents=True, exist_ok=True)
        self.taken: set[str] = set()

    def draw(self, looked: Looked, path: Path) -> Path:
        file = self.file or self.folder / self._name(path)
        picture = style.png(looked.figure(), dpi=DPI)
        write_whole(file, lambda f: f.write(picture))
        return file

    def _name(self, path: Path) -> str:
        """The photo's name as a picture's; two photos of one name get numbers."""
        name, number = path.stem, 1
        while name.casefold() in self.taken:
            number += 1
            name = f"{path.stem}-{number}"
        self.taken.add(name.casefold())
        return f"{name}.png"

    def finish(self, lines: Sequence[dict[str, Any]]) -> None:
        rows, page = "".join(f"{_json(line)}\n" for line in lines), _page(lines)
        write_whole(self.folder / LINES, lambda f: f.write(rows.encode()))
        write_whole(self.folder / PAGE, lambda f: f.write(page.encode()))


_STYLE = """
body { margin: 2rem auto; max-width: 1500px; padding: 0 1rem; font: 18px/1.5 system-ui, sans-serif; color: #1a1a1a; }
figure { margin: 0 0 2.5rem; } img { width: 100%; height: auto; } h1 { font-size: 1.5rem; }
figcaption { color: #444; } .error { color: #a33a00; }
"""


def _page(lines: Iterable[dict[str, Any]]) -> str:
    """A page of all pictures, which needs no network."""
    parts = []
    for line in lines:
        if "error" in line:
            parts.append(f'<p class="error">{html.escape(line["error"])}</p>')
            continue
        best = ", ".join(f"{b['class']} {100 * b['probability']:.0f} %" for b in line["best"]["both"][:3])
        said = html.escape(f"{line['photo']}: {best}")
        source = quote(line["picture"])
        parts.append(
            f'<figure><img loading="lazy" src="{source}" alt="{said}"><figcaption>{said}</figcaption></figure>'
        )
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>gholm look</title>\n'
        f"<style>{_STYLE}</style></head>\n<body><h1>What the network looks at</h1>\n{body}\n</body></html>\n"
    )
