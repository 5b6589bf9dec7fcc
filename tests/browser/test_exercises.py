"""An exercise in JupyterLab, as a student meets it: running through it solves nothing, and hints come one by one."""

import os
from pathlib import Path

import nbformat
import pytest

from tests.browser.lab import NOTEBOOKS, Notebook

pytestmark = pytest.mark.browser

IMPORTS = "import torch\nfrom gholm_kit.teaching import checks"
SOLVED = "crop_mask = solution_crop_mask"


@pytest.fixture
def exercise(lab):
    """A notebook of chapter 02's second exercise: stub, solution and check, the check twice more, then solved."""
    book = nbformat.read(NOTEBOOKS / "02_threshold_crops.ipynb", as_version=4)
    cells = [c for c in book.cells if "crop_mask" in c.source and "def crop_box" not in c.source]
    check = next(c.source for c in cells if "check" in c.metadata.tags)
    new = nbformat.v4.new_code_cell
    book.cells = [new(IMPORTS), *cells, new(check), new(check), new(f"{SOLVED}\n{check}")]
    nbformat.write(book, lab.books / "exercise.ipynb")
    return "exercise.ipynb"


def test_a_check_ends_in_a_box_and_gives_a_hint_more_each_time(chromium, lab, exercise):
    notebook = Notebook(chromium, lab, exercise)
    notebook.run_all()
    boxes = notebook.page.locator('[role="group"][aria-label^="Check:"]')
    said = [boxes.nth(k).inner_text() for k in range(4)]
    assert boxes.count() == 4
    assert [text.split(".")[0] for text in said] == ["✗ Not yet"] * 3 + ["✓ Right"]
    assert "still to be solved: write eq. (4) and (5)" in said[0]
    assert [text.count("Hint") for text in said] == [0, 1, 2, 0]
    style = "box => [getComputedStyle(box).color, getComputedStyle(box).backgroundColor]"
    assert boxes.nth(0).evaluate(style) == ["rgb(74, 47, 0)", "rgb(255, 242, 214)"]  # not the theme's
    if folder := os.environ.get("GHOLM_SCREENSHOTS"):
        notebook.page.screenshot(path=str(Path(folder) / "exercise.png"))
    assert notebook.errors == []
    notebook.close()
