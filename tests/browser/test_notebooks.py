"""The sliders of chapters 02 and 03 and the explorer of 09 in JupyterLab, moved by keyboard in a real browser."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.lab import Notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# The picture's bytes, for its address changes also when nothing else does.
PICTURE = """async image => {
  const digest = await crypto.subtle.digest('SHA-256', await (await fetch(image.src)).arrayBuffer());
  return image.naturalWidth + ' ' + new Uint8Array(digest).join(' ');
}"""


class Panel:
    """A widget panel on the page: its sliders, its picture, the words under it."""

    def __init__(self, page, place: str = ".jp-Notebook") -> None:
        self.page = page
        self.image = page.locator(f"{place} .jupyter-widgets img").first
        self.image.wait_for()
        self.image.scroll_into_view_if_needed()
        self.box = page.locator(f"{place} .widget-vbox").first

    def row(self, label: str):
        return self.box.locator(".widget-slider").filter(has=self.page.get_by_text(label, exact=True))

    def number(self, label: str) -> float:
        return float(self.row(label).locator(".widget-readout").inner_text().replace("−", "-"))

    def press(self, label: str, key: str) -> None:
        """Focus a slider's handle and press a key."""
        handle = self.row(label).locator(".noUi-handle").first
        handle.focus()
        assert handle.evaluate("handle => handle === document.activeElement")
        handle.press(key)

    def picture(self) -> str:
        return self.image.evaluate(PICTURE)

    def wait_for_another(self, before: str, seconds: int = 60) -> str:
        """Wait until the picture differs from ``before``; returns the new one."""
        for _ in range(10 * seconds):
            now = self.picture()
            if now != before:
                return now
            self.page.wait_for_timeout(100)
        raise AssertionError("the picture did not change")

    @property
    def words(self) -> str:
        return self.box.inner_text()


def screenshot(page, name: str) -> None:
    """Into $GHOLM_SCREENSHOTS, if that is set."""
    folder = os.environ.get("GHOLM_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.fixture
def opened(chromium, lab):
    """``opened(chapter, until, parameters)``: a copy up to the slider, run in JupyterLab, and the panel there."""
    notebooks = []

    def open_chapter(chapter: str, until: str, parameters: str = "") -> tuple[Notebook, Panel]:
        notebook = Notebook(chromium, lab, lab.copy(chapter, until, parameters))
        notebooks.append(notebook)
        notebook.run_all()
        return notebook, Panel(notebook.page)

    yield open_chapter
    for notebook in notebooks:
        notebook.close()


def check_slider(notebook: Notebook, panel: Panel, label: str, name: str) -> None:
    """An arrow key moves the slider by one step: its number, the picture and the words follow."""
    before, number, words = panel.picture(), panel.number(label), panel.words
    screenshot(notebook.page, f"{name}_before")
    panel.press(label, "ArrowRight")
    after = panel.wait_for_another(before)
    assert panel.number(label) == pytest.approx(number + 0.1)
    assert panel.words != words
    assert f"{label} = {number + 0.1:.2f}" in panel.words
    screenshot(notebook.page, f"{name}_after")
    panel.press(label, "ArrowLeft")
    assert panel.wait_for_another(after) == before
    assert notebook.cell_errors() == []
    assert notebook.errors == []


def test_the_slider_of_chapter_02(opened):
    notebook, panel = opened("02_threshold_crops", "sliders.panel(")
    check_slider(notebook, panel, "μ", "02_mu")


def test_the_slider_of_chapter_03(opened):
    notebook, panel = opened("03_attention_erasure", "sliders.panel(")
    check_slider(notebook, panel, "θ", "03_theta")


def turned_photo() -> bytes:
    """A JPEG as phones write it: lying on its side, with EXIF that says so."""
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((120, 160), 60).convert("RGB").save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def test_the_explorer_of_chapter_09(opened):
    """Sliders; a broken upload, then a good one; then alone on the screen, as in a lecture."""
    notebook, panel = opened("09_your_own_photos", "Explorer(eye.net", "COUNT = 11")
    page = notebook.page
    chosen = page.locator(".gholm-explorer select").evaluate_all("all => all.map(s => s.selectedIndex)")
    assert min(chosen) >= 0  # no list stands there empty
    check_slider(notebook, panel, "μ", "09_mu")
    check_slider(notebook, panel, "θ", "09_theta")
    before = panel.picture()
    upload(page, "notes.jpg", b"no picture at all")
    page.get_by_text("notes.jpg is not a picture").wait_for()
    assert panel.picture() == before
    upload(page, "phone.jpg", turned_photo())
    panel.wait_for_another(before)
    page.get_by_text("160 × 120 pixels").wait_for()
    assert "phone.jpg: Raw says" in panel.words
    screenshot(page, "09_upload")
    check_alone(notebook, panel)
    assert notebook.cell_errors() == []
    assert notebook.errors == []


def upload(page, name: str, content: bytes) -> None:
    """Choose a file with the explorer's button."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="your photo").click()
    chooser.value.set_files({"name": name, "mimeType": "image/jpeg", "buffer": content})


def check_alone(notebook: Notebook, panel: Panel) -> None:
    """Right-click → Create New View for Cell Output, simple interface, no side bar: the explorer alone, at work."""
    page = notebook.page
    panel.image.click(button="right")
    page.get_by_role("menuitem", name="Create New View for Cell Output").click()
    alone = Panel(page, ".jp-LinkedOutputView")
    page.keyboard.press("Control+Shift+D")
    page.keyboard.press("Control+B")
    before = alone.picture()
    alone.press("μ", "ArrowRight")
    alone.wait_for_another(before)
    screenshot(page, "09_alone")
    assert not panel.image.is_visible()
    place, window = alone.image.bounding_box(), page.viewport_size
    assert place["width"] > 0.75 * window["width"]
    assert place["y"] + place["height"] <= window["height"]  # with the sliders on one screen
