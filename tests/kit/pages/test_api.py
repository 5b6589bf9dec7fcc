"""The API reference: every module has a page, links lead somewhere, and nothing is fetched."""

import re

import pytest

from gholm_kit.pages.api import listed, modules, write_api
from tests.browser.pages import ROOT, Page, broken_links


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
def test_the_reference_is_whole_and_fetches_nothing(reference):
    pages = {".".join(p.relative_to(reference).with_suffix("").parts) for p in reference.rglob("*.html")}
    assert pages == {"index", *modules()}
    assert broken_links(reference.parent) == []
    for path in reference.rglob("*.html"):
        page = Page(path)
        assert [link for link in page.loaded if not link.startswith("data:")] == []
        assert {link for link in page.links if link.startswith("http")} <= {"https://pdoc.dev"}
        assert not re.search(r"url\(['\"]?https?:|@import", path.read_text(encoding="utf-8")), path


@pytest.mark.slow
def test_a_page_shows_what_the_docstrings_say(reference):
    package = Page(reference / "gholm_lib.html")
    assert {"gholm_lib/masking.html#crop", "gholm_lib/model.html", "../index.html"} <= set(package.links)
    assert {"gradcam", "upsample"} <= Page(reference / "gholm_lib" / "gradcam.html").ids
    config = (reference / "gholm_lib" / "config.html").read_text(encoding="utf-8")
    assert "Threshold of eq. (5) in heat means" in config
    assert "<strong>weighted</strong>" in (reference / "gholm_lib" / "gradcam.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_what_pdoc_says_is_in_the_error(tmp_path):
    (tmp_path / "api").write_text("a file where the folder should be")
    with pytest.raises(RuntimeError, match=r"the API reference cannot be made(.|\n)*Error"):
        write_api(tmp_path / "api")
