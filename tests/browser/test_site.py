"""Web pages of the chapters in a browser with no network: links, equations, folds, small screens."""

import pytest

from gholm_kit.pages.site import Site
from tests.browser.pages import (
    NOTEBOOKS,
    ROOT,
    Tab,
    as_kept,
    broken_links,
    small_project,
    write_pages,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chapters(tmp_path_factory):
    return write_pages(Site, tmp_path_factory.mktemp("chapters"), NOTEBOOKS, ROOT, as_kept)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "a project"
    return write_pages(Site, folder / "out", small_project(folder), folder)


def test_no_link_of_the_site_is_broken(chapters):
    assert broken_links(chapters) == []


@pytest.mark.parametrize("width", [1280, 390], ids=["screen", "telephone"])
def test_every_page_opens(chapters, chromium, width):
    tab = Tab(chromium, width)
    pages = sorted(chapters.glob("*.html"))
    assert len(pages) > len(NOTEBOOKS)  # with the index and the front page
    for path in pages:
        page = tab.open(path)
        assert page.evaluate("document.body.scrollWidth <= innerWidth"), (
            f"{path.name} is wider than the window"
        )
        assert "$$" not in page.inner_text("main"), path.name
        assert page.evaluate(
            "[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt.length > 3)"
        ), path.name
    assert tab.errors == []
    assert tab.outside == []
    tab.context.close()


def test_the_way_through_the_chapters(chapters, tab):
    page = tab.open(chapters / "index.html")
    page.click("main td a >> nth=0")
    for path in NOTEBOOKS[1:]:
        page.click("a[rel=next] >> nth=0")
        assert page.url.endswith(path.with_suffix(".html").name)
    for _ in NOTEBOOKS[1:]:
        page.click("a[rel=prev] >> nth=0")
    assert page.url.endswith(NOTEBOOKS[0].with_suffix(".html").name)


def test_a_solution_is_folded_until_it_is_asked_for(small, tab):
    page = tab.open(small / "00_small.html")
    solution = page.locator("text=the_solution")
    assert not solution.is_visible()
    page.click("text=A solution")
    assert solution.is_visible()


def test_equations_have_their_shape(small, tab):
    """A fraction is taller than a line, and a sum's sign taller than the letters: the font has arrived."""
    page = tab.open(small / "00_small.html")
    page.wait_for_function("[...document.fonts].every(f => f.status == 'loaded')")
    size = "n => document.querySelector('math[display=block] ' + n).getBoundingClientRect().height"
    fraction, total, letter = (page.evaluate(size, name) for name in ("mfrac", "munder", "mi"))
    assert fraction > 1.6 * letter
    assert total > 1.6 * letter


def test_the_keyboard_reaches_the_text(small, tab):
    page = tab.open(small / "00_small.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the text"
    page.keyboard.press("Enter")
    assert page.url.endswith("#text")
