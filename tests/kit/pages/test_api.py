"""The API reference: which modules have a page, and columns in docstrings. Its pages: tests/browser."""

import pytest

from gholm_kit.pages.api import listed, modules, write_api
from tests.browser.pages import ROOT


def test_every_file_of_both_packages_has_a_page():
    files = [f for package in ("gholm_lib", "gholm_kit") for f in (ROOT / package).rglob("*.py")]
    names = {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for f in files}
    assert set(modules()) == {name for name in names if not name.endswith("__main__")}


@pytest.mark.parametrize(
    ("docstring", "markdown"),
    [
        ("One line.", "One line."),
        ("A.\n\nmu    above 0\ntheta from 1 to 2", "A.\n\n- **mu**: above 0\n- **theta**: from 1 to 2"),
        ("A.\n\nx, y  corners,\n      in pixels", "A.\n\n- **x, y**: corners,\n      in pixels"),
        ("A.\n\nArgs:\n    mu: above 0", "A.\n\nArgs:\n    mu: above 0"),
        ("A.\n\n    images.txt   1 a.jpg", "A.\n\n    images.txt   1 a.jpg"),
        ("A.\n\nA sentence of words.", "A.\n\nA sentence of words."),
    ],
)
def test_columns_become_lists(docstring, markdown):
    assert listed(docstring) == markdown


@pytest.mark.slow
def test_what_pdoc_says_is_in_the_error(tmp_path):
    (tmp_path / "api").write_text("a file where the folder should be")
    with pytest.raises(RuntimeError, match=r"the API reference cannot be made(.|\n)*Error"):
        write_api(tmp_path / "api")
