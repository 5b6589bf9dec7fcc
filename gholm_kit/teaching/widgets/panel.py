"""What the kit's sliders share: labelled controls and a panel that redraws a picture and hides no error.

A widget is a pure function ``render(**values) -> (figure or PNG bytes, alt text)``, which tests call without any
browser, and a :class:`Panel` that calls it whenever a control moves. ``observe`` is used, not ``interact``, which
prints a callback's error where nobody looks and goes on.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from gholm_kit import style
from gholm_kit.teaching.deciding_parts import Study

Render = Callable[..., tuple[Figure | bytes, str]]
DPI = 70  # a picture that is redrawn at every step has to be quick
_WIDE = {"description_width": "initial"}


def slider(
    label: str, value: float, low: float, high: float, step: float = 0.1, hint: str = ""
) -> widgets.FloatSlider:
    """A slider with its name and number beside it; Tab reaches it, the arrow keys move it by ``step``.

    hint  what it does, shown on hovering
    """
    return widgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        description=label,
        tooltip=hint or label,
        continuous_update=False,  # redraw when the handle is let go or a key is pressed, not on the way
        readout_format=".2f",
        style=_WIDE,
        layout=widgets.Layout(width="480px", max_width="100%"),
    )


def dropdown(label: str, options: Iterable, value: Any = None, hint: str = "") -> widgets.Dropdown:
    """A list to choose from; ``options`` are values or (text, value) pairs, ``value`` None takes the first."""
    options = list(options)
    chosen = {} if value is None else {"value": value}
    return widgets.Dropdown(
        options=options,
        description=label,
        tooltip=hint or label,
        style=_WIDE,
        layout=widgets.Layout(width="max-content", max_width="100%"),
        **chosen,
    )


def picture_dropdown(study: Study, classes: Sequence[str], pictures: Sequence[int]) -> widgets.Dropdown:
    """A choice among pictures (indices into ``study``), named by their classes."""
    return dropdown("picture", [(f"{classes[int(study.labels[i])]} ({i})", int(i)) for i in pictures])


class Panel(widgets.VBox):
    """Controls, a line for errors, a picture and its description in words.

    render    ``render(**values) -> (figure or PNG bytes, alt text)``; values by the controls' names
    controls  name → widget with a ``value``

    ``panel.controls["mu"].value = 2`` redraws. If ``render`` raises, the exception is kept in ``panel.error``, said
    in a visible line (the old picture goes, so that no stale one passes for an answer), and raised.
    """

    def __init__(self, render: Render, controls: Mapping[str, widgets.Widget]) -> None:
        self.render, self.controls = render, dict(controls)
        self.error: Exception | None = None
        self.message = widgets.HTML()
        self.image = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        self.caption = widgets.HTML()
        row = widgets.HBox(
            list(self.controls.values()), layout=widgets.Layout(flex_flow="row wrap", grid_gap="4px 24px")
        )
        super().__init__([row, self.message, self.image, self.caption])
        self.refresh()
        for control in self.controls.values():
            control.observe(self._changed, names="value")

    @property
    def values(self) -> dict[str, Any]:
        """Name → value of each control."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def alt(self) -> str:
        """What the picture shows, in words; screen readers find it under the picture."""
        return self._alt

    def __repr__(self) -> str:
        """What stands on a page where no kernel runs."""
        return f"(Controls for {', '.join(self.controls)}; they work in a running notebook.)"

    def refresh(self) -> None:
        """Draw the picture for the controls' present values."""
        try:
            drawn, alt = self.render(**self.values)
            png = drawn if isinstance(drawn, bytes) else style.png(drawn, dpi=DPI)
        except Exception as error:
            self.error = error
            self._show(b"", "")
            said = html.escape(f"{type(error).__name__}: {error}")
            self.message.value = f'<b role="alert" style="color:#b00020">This did not work. {said}</b>'
            raise
        self.error = None
        self.message.value = ""
        self._show(png, alt)

    def _show(self, png: bytes, alt: str) -> None:
        # Not as the image's tooltip: with one, the browser's ImageView (ipywidgets 8.1) fails and shows no picture.
        self.image.value, self._alt = png, alt
        self.image.layout.display = "" if png else "none"  # no broken-picture sign
        self.caption.value = f"<p style='max-width:70em'>{html.escape(alt)}</p>"

    def _changed(self, change: dict) -> None:
        self.refresh()
