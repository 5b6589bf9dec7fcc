"""The explorer of chapter 09: any picture through every branch, with controls for mu, theta, fill and class.

In a lecture: right-click on the picture, "Create New View for Cell Output". It opens in a tab of its own; View →
Appearance → Simple Interface (Ctrl Shift D) shows that tab alone, Ctrl B hides the side bar, F11 is full screen.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import lru_cache

import ipywidgets as widgets

from gholm_kit.teaching.figures.photos import ExplorerFigure
from gholm_kit.teaching.photos import (
    Photo,
    PhotoError,
    attend,
    in_words,
    learned_from,
    look,
    read_photo,
    way_in,
)
from gholm_kit.teaching.widgets.panel import Panel, dropdown, slider
from gholm_lib.datasets import Sample, read_image
from gholm_lib.loading import to_input
from gholm_lib.masking import FILLS
from gholm_lib.model import GHOLMNet

DPI = 110  # full screen on a projector
# Stands for the predicted class. Not None: with that as a value, a Dropdown starts empty under some hash seeds.
PREDICTED = -1
LARGEST_UPLOAD_MB = 9  # Jupyter's server rejects messages of 10 MiB and more, and closes the connection
_STYLE = """<style>
.gholm-explorer .widget-label, .gholm-explorer .widget-readout, .gholm-explorer select, .gholm-explorer input,
.gholm-explorer button, .gholm-explorer p { font-size: 17px; }
.gholm-explorer .widget-inline-hbox, .gholm-explorer select, .gholm-explorer input, .gholm-explorer button {
  height: 36px; align-items: center; }
.gholm-explorer .widget-label, .gholm-explorer .widget-readout { line-height: 36px; height: 36px; }
.gholm-explorer .widget-html, .gholm-explorer .widget-html-content { height: auto; min-height: 0; margin: 0; }
.gholm-explorer p { margin: 0; line-height: 1.4; white-space: normal; }
</style>"""


def render(
    net: GHOLMNet,
    classes: Sequence[str],
    photo: Photo,
    mu: float,
    theta: float,
    fill: str = "mean",
    target: int | None = None,
    label: int | None = None,
    attended: tuple | None = None,
    panel: ExplorerFigure | None = None,
) -> tuple[bytes, str]:
    """The explorer's picture (PNG) of a photo and the same in words.

    label     its true class, if known
    attended  what ``photos.attend`` gave for this photo and target, if already computed
    panel     the figure of an earlier call, of which only the changed panels are drawn again
    """
    device = next(net.parameters()).device
    seen = look(net, to_input(photo.image, net.config).to(device), mu, theta, fill, target, attended)
    panel = panel or new_panel(net, classes)
    panel.show(seen, mu, theta, photo.name, label)
    return panel.png(DPI), in_words(seen, classes, photo, mu, theta, label)


def new_panel(net: GHOLMNet, classes: Sequence[str]) -> ExplorerFigure:
    """The explorer's figure, with nothing in it yet."""
    return ExplorerFigure(classes, net.config, f"network {learned_from(net.config)}")


class Explorer(Panel):
    """Upload or choose a picture, move mu and theta, choose fill and class.

    net      in eval mode
    samples  pictures of the classes that it knows; none: at least one of ``photos``
    photos   pictures of your own to start with; the last one is shown

    A file that cannot be read is refused in one sentence (``explorer.notice``); the old picture stays.
    """

    def __init__(
        self,
        net: GHOLMNet,
        samples: Sequence[Sample],
        classes: Sequence[str],
        photos: Sequence[Photo] = (),
    ) -> None:
        self.net, self.classes = net, tuple(classes)
        self.by_class = {k: [s for s in samples if s.label == k] for k in range(len(classes))}
        self.photos = list(photos)
        self._attended = lru_cache(maxsize=8)(self._attend)
        self._panel = new_panel(net, self.classes)
        most = max(1, *map(len, self.by_class.values()))
        named = [(name, k) for k, name in enumerate(classes)]
        controls = {
            "picture": dropdown(
                "picture of", self._choices(), self._last(), hint="a class, or your own photo"
            ),
            "number": widgets.BoundedIntText(
                value=1, min=1, max=most, description="number", layout=widgets.Layout(width="150px")
            ),
            "target": dropdown(
                "heat of",
                [("predicted class", PREDICTED), *named],
                hint="class c of eq. (1); the paper uses the predicted class",
            ),
            "fill": dropdown("erase with", FILLS, net.config.fill, hint="what replaces the erased pixels"),
            "mu": slider(
                "μ", net.config.mu, 0, 5, 0.1, hint="crop threshold, eq. (5), in units of the mean heat"
            ),
            "theta": slider(
                "θ", 1.5, 0, 5, 0.1, hint="erasure threshold, eq. (6), in units of the mean heat"
            ),
        }
        self.upload = widgets.FileUpload(
            accept="image/*",
            description=f"your photo, up to {LARGEST_UPLOAD_MB} MB",
            layout=widgets.Layout(width="max-content"),
        )
        self.notice = widgets.HTML()
        self._told: tuple | None = None  # the picture that the notice is about
        for name in ("mu", "theta"):
            controls[name].layout.width = "380px"
        super().__init__(self._render, controls)
        self.image.layout.width, self.image.layout.max_height = "100%", "74vh"
        self.image.layout.object_fit = "contain"
        row, *rest = self.children
        row.children = [self.upload, *row.children]
        rules = widgets.HTML(_STYLE, layout=widgets.Layout(display="none"))
        self.children = [rules, row, self.notice, *rest]
        self.layout.padding = "4px 12px"  # in a tab of its own, nothing else provides a margin
        self.add_class("gholm-explorer")
        self.upload.observe(self._uploaded, names="value")

    def show(self, photo: Photo) -> None:
        """Add a picture to the list of pictures and show it."""
        self.photos.append(photo)
        picture = self.controls["picture"]
        shown = picture.value
        with self.hold_trait_notifications():
            picture.unobserve(self._changed, names="value")  # a new list resets the value: no need to redraw
            picture.options, picture.value = self._choices(), shown
            picture.observe(self._changed, names="value")
        picture.value = self._last()

    def _choices(self) -> list[tuple[str, tuple[str, int]]]:
        """Your own photos, newest first, then the classes."""
        own = [(f"{i + 1}. {p.name}", ("photo", i)) for i, p in enumerate(self.photos)]
        return own[::-1] + [(name, ("class", k)) for k, name in enumerate(self.classes) if self.by_class[k]]

    def _last(self) -> tuple[str, int] | None:
        return ("photo", len(self.photos) - 1) if self.photos else None

    def _photo(self, picture: tuple[str, int], number: int) -> tuple[Photo, int | None]:
        """The chosen picture and its true class, None for your own; too large a number gives the last picture."""
        kind, k = picture
        if kind == "photo":
            return self.photos[k], None
        own = self.by_class[k]
        number = min(number, len(own))
        read = read_image(own[number - 1].path)
        return Photo(read.image, f"{self.classes[k]} {number}/{len(own)}", read.notes), k

    def _attend(self, picture: tuple[str, int], number: int, target: int | None) -> tuple:
        photo, _ = self._photo(picture, number)
        device = next(self.net.parameters()).device
        return attend(self.net, to_input(photo.image, self.net.config).to(device), target)

    def _render(
        self, picture: tuple[str, int], number: int, target: int | None, fill: str, mu: float, theta: float
    ) -> tuple[bytes, str]:
        photo, label = self._photo(picture, number)
        target = None if target == PREDICTED else target
        attended = self._attended(picture, number, target)
        if (picture, number) != self._told:  # the notice on an upload stays while the sliders move
            self._told = picture, number
            own_size = [] if label is not None else [way_in(photo.image.size, self.net.config)]
            self._notice(" · ".join([*own_size, *photo.notes]))
        return render(self.net, self.classes, photo, mu, theta, fill, target, label, attended, self._panel)

    def _uploaded(self, change: dict) -> None:
        for file in change["new"]:
            try:
                self.show(read_photo(file["content"], file["name"]))
            except PhotoError as error:
                self._notice(f"{error} The picture below is still the previous one.", bad=True)
        if change["new"]:
            self.upload.value = ()  # so that the same file, once repaired, can be uploaded again

    def _notice(self, words: str, bad: bool = False) -> None:
        look = 'role="alert" style="color:#b00020;font-weight:bold"' if bad else 'role="status"'
        self.notice.value = f"<p {look}>{html.escape(words)}</p>" if words else ""
