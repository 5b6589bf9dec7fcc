"""Shared by the kit's widgets: labelled controls, and a panel that redraws a picture and shows every error.

A widget is a pure function ``render(**values) -> (figure or PNG bytes, alt text)``, which tests call without a
browser, and a :class:`Panel` that calls it whenever a control changes. We use ``observe``, not ``interact``, which
prints a callback's error where nobody looks and carries on.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure

from gholm_kit import style
from gholm_kit.teaching.deciding_parts import Study
from gholm_kit.teaching.widgets.sliders import SLIDERS_VIEW

Render = Callable[..., tuple[Figure | bytes, str]]
DPI = 70  # low, because a picture that is redrawn at every step must be fast
_WIDE = {"description_width": "initial"}


def slider(
    label: str, value: float, low: float, high: float, step: float = 0.1, hint: str = ""
) -> widgets.FloatSlider:
    """A slider with its label and value beside it; Tab selects it, the arrow keys move it by ``step``.

    hint  what it does; shown when the pointer rests on it
    """
    return widgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        description=label,
        tooltip=hint or label,
        continuous_update=False,  # redraw when the handle is released or a key is pressed, not while dragging
        readout_format=".2f",
        style=_WIDE,
        layout=widgets.Layout(width="480px", max_width="100%"),
    )


def dropdown(label: str, options: Iterable, value: Any = None, hint: str = "") -> widgets.Dropdown:
    """A drop-down menu; ``options`` are values or (text, value) pairs; ``value`` None selects the first."""
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
    """A menu of pictures (indices into ``study``), labelled by class."""
    return dropdown("picture", [(f"{classes[int(study.labels[i])]} ({i})", int(i)) for i in pictures])


class Panel(widgets.VBox):
    """Controls, an error line, a picture and its description in words.

    render    ``render(**values) -> (figure or PNG bytes, alt text)``; one value per control, by name
    controls  name → widget with a ``value``
    sliders   what pages and slides need to show such a panel without a kernel (``sliders.slider_data``), or None

    ``panel.controls["mu"].value = 2`` redraws. If ``render`` raises, the exception is kept in ``panel.error``, shown
    in the error line and raised again. The old picture disappears, so that nobody takes it for the new result.
    """

    def __init__(
        self, render: Render, controls: Mapping[str, widgets.Widget], sliders: Mapping[str, Any] | None = None
    ) -> None:
        self.render, self.controls, self.sliders = render, dict(controls), sliders
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
        """What the picture shows, in words; it stands below the picture, where screen readers find it."""
        return self._alt

    def __repr__(self) -> str:
        """The text shown on a page without a running kernel."""
        return f"(Controls for {', '.join(self.controls)}; they work in a running notebook.)"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs)
        if self.sliders is not None:
            still = base64.b64encode(self.image.value).decode()
            bundle[SLIDERS_VIEW] = {"still": still, "alt": self.alt, "data": self.sliders}
        return bundle

    def refresh(self) -> None:
        """Draw the picture for the current values of the controls."""
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
        self.image.layout.display = "" if png else "none"  # no broken-image icon
        self.caption.value = f"<p style='max-width:70em'>{html.escape(alt)}</p>"

    def _changed(self, change: dict) -> None:
        self.refresh()
