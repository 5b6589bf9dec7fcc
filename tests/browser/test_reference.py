"""The API reference: every module has a page, links lead somewhere, nothing is fetched, and the search works."""

import re

import pytest

from gholm_kit.pages.api import modules, write_api
from tests.browser.pages import Page, broken_links


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The folder of the API reference, beside an empty front page to which its pages lead back."""
    site = tmp_path_factory.mktemp("site")
    (site / "index.html").touch()
    return write_api(site / "api").parent


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
@pytest.mark.browser
def test_the_reference_is_searched_without_a_network(reference, tab):
    page = tab.open(reference / "index.html")
    page.fill("input[type=search]", "largest_component_boxes")
    page.wait_for_selector("main a[href*='masking.html#largest_component_boxes']", timeout=30_000)
    page = tab.open(reference / "gholm_lib" / "config.html")
    assert "load_config" in page.inner_text("main")
    assert tab.errors == []
    assert tab.outside == []
