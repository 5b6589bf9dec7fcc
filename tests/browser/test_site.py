"""Web pages of the chapters in a browser with no network: links, equations, folds, small screens."""

import nbformat
import pytest

from gholm_kit.pages.site import Site
from tests.browser.pages import (
    NOTEBOOKS,
    ROOT,
    Tab,
    as_kept,
    broken_links,
    code,
    printed,
    small_project,
    text,
    v4,
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


def test_the_search_leads_from_any_page_to_a_heading_of_another(small, tab):
    page = tab.open(small / "01_other.html")
    page.fill(".search", "equation VARY nowhere")
    page.wait_for_function("document.querySelector('.results p').textContent === 'Found: 0'")
    page.fill(".search", "much VARY")
    page.wait_for_function("document.querySelectorAll('.results li').length === 1")
    assert page.inner_text(".results li").startswith("Small things · Too much ")
    page.keyboard.press("Tab")
    page.click(".results a")
    assert page.url.endswith("/00_small.html#too-much")
    assert (tab.errors, tab.outside) == ([], [])


@pytest.fixture(scope="module")
def wide_tables(tmp_path_factory):
    """A page with the widest tables of the project, and with longer lines of code and print than any window."""
    source = tmp_path_factory.mktemp("wide") / "00_wide.ipynb"
    tables = [ROOT / "figures" / "tables" / "mini" / f"table_{k}.md" for k in (4, 6, 7, 8, 9)]
    cells = [text("# 00 · Wide: does it fit?"), *(text(t.read_text(encoding="utf-8")) for t in tables)]
    cells.append(code(f"x = [{'123456789, ' * 40}]", printed("unbroken" * 60)))
    nbformat.write(v4.new_notebook(cells=cells), source)
    return write_pages(Site, source.parent / "out", [source], source.parent) / "00_wide.html"


def test_nothing_is_cut_off_at_1024_pixels(wide_tables, chromium):
    """No table loses a column, and lines of code and print go on in the next line."""
    tab = Tab(chromium, 1024)
    page = tab.open(wide_tables)
    cut = "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText.slice(0, 60))"
    assert page.locator("table").count() == 5
    assert page.locator("pre").count() == 2
    for kind in ("table", "pre"):
        assert page.locator(kind).evaluate_all(cut) == [], kind
    tab.context.close()


def test_the_contents_lead_to_the_headings(small, tab):
    page = tab.open(small / "00_small.html")
    headings = page.locator("h2").all_inner_texts()
    assert page.locator(".contents li").all_inner_texts() == headings
    page.click(".contents a >> text=A second heading")
    page.wait_for_url("**/00_small.html#a-second-heading")
    assert page.locator("#a-second-heading").bounding_box()["y"] < 720
    assert tab.open(small / "01_other.html").locator(".contents").count() == 0  # one heading needs no list


def wait_for_paper(page, dark: bool) -> None:
    """Wait until the page is dark, or light: the browser tells a script of the system's choice a little later."""
    paper = "rgb(22, 24, 28)" if dark else "rgb(255, 255, 255)"
    page.wait_for_function(
        "c => document.body && getComputedStyle(document.body).backgroundColor === c", arg=paper
    )


@pytest.mark.parametrize("system", ["light", "dark"])
def test_light_and_dark_follow_the_system_until_one_is_chosen(small, chromium, system):
    dark, other = system == "dark", "light" if system == "dark" else "dark"
    context = chromium.new_context(color_scheme=system)
    page = context.new_page()
    page.goto((small / "00_small.html").as_uri())
    wait_for_paper(page, dark)
    page.emulate_media(color_scheme=other)
    wait_for_paper(page, not dark)
    page.click(".theme")
    wait_for_paper(page, dark)
    page.click("a[rel=next] >> nth=0")  # the choice holds on the next page
    page.wait_for_url("**/01_other.html")
    wait_for_paper(page, dark)
    page.emulate_media(media="print", color_scheme=other)
    wait_for_paper(page, dark=False)
    context.close()


def test_code_can_be_reached_by_keyboard(small, tab):
    page = tab.open(small / "00_small.html")
    block = page.locator(".code").first
    block.focus()
    assert block.evaluate("e => e === document.activeElement")
    assert block.get_attribute("aria-label") == "code"


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
    page.wait_for_url("**/00_small.html#text")
