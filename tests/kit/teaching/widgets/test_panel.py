"""A panel redraws when a control moves, and no error is lost on the way."""

import io

import ipywidgets
import matplotlib
import pytest
from PIL import Image

from gholm_kit import style
from gholm_kit.teaching.widgets.panel import Panel, dropdown, slider

matplotlib.use("Agg")


def render(x, word):
    if x > 2:
        raise ValueError("x is <too> large")
    fig, ax = style.styled()
    ax.plot([0, x])
    ax.set_title(word)
    return fig, f"a line up to {x:g}, {word}"


@pytest.fixture
def panel():
    return Panel(render, {"x": slider("x", 1, 0, 3, 0.5), "word": dropdown("word", ["one", "two"])})


def test_a_panel_draws_at_once_and_says_what_it_shows(panel):
    assert Image.open(io.BytesIO(panel.image.value)).format == "PNG"
    assert panel.alt == "a line up to 1, one"
    assert panel.alt in panel.caption.value
    assert panel.values == {"x": 1, "word": "one"}
    assert matplotlib.pyplot.get_fignums() == []  # nothing left open for the notebook to show twice


@pytest.mark.parametrize(("name", "value"), [("x", 2), ("word", "two")])
def test_moving_a_control_redraws(panel, name, value):
    before = panel.image.value
    panel.controls[name].value = value
    assert panel.image.value != before
    assert f"{value}" in panel.alt


def test_an_error_is_raised_kept_and_seen_and_leaves_with_the_next_picture(panel):
    with pytest.raises(ValueError, match="too"):
        panel.controls["x"].value = 3
    assert isinstance(panel.error, ValueError)
    assert "x is &lt;too&gt; large" in panel.message.value
    assert panel.image.value == b""  # no stale picture
    assert panel.image.layout.display == "none"
    panel.controls["x"].value = 1.5
    assert panel.error is None
    assert panel.message.value == ""
    assert panel.image.value != b""
    assert panel.image.layout.display != "none"


def test_an_error_at_the_start_stops_the_cell():
    with pytest.raises(ValueError, match="too"):
        Panel(render, {"x": slider("x", 3, 0, 3), "word": dropdown("word", ["one"])})


def test_on_a_page_without_a_kernel_it_says_so(panel):
    assert (
        panel._repr_mimebundle_()["text/plain"] == "(Controls for x, word; they work in a running notebook.)"
    )


def test_render_may_give_png_bytes():
    panel = Panel(lambda: (b"bytes", "nothing to move"), {})
    assert (panel.image.value, panel.alt) == (b"bytes", "nothing to move")


def test_controls_are_labelled_and_wait_for_the_key():
    s = slider("μ", 1.7, 0.5, 3, 0.1, hint="threshold of eq. (5)")
    assert (s.description, s.value, s.min, s.max, s.step) == ("μ", 1.7, 0.5, 3, 0.1)
    assert s.tooltip == "threshold of eq. (5)"
    assert s.continuous_update is False
    d = dropdown("picture", [("first", 10), ("second", 20)], 20)
    assert isinstance(d, ipywidgets.Dropdown)
    assert (d.description, d.value, d.tooltip) == ("picture", 20, "picture")
