"""Decks in a browser with no network: they start, every slide fits, equations and pictures are there."""

import pytest

from gholm_kit.pages.deck import Decks
from tests.browser.pages import NOTEBOOKS, ROOT, as_kept, small_project, write_pages

pytestmark = pytest.mark.browser

# Of each slide: its height, how far its contents reach, and how much its print was shrunk.
SLIDES = """() => Reveal.getSlides().map(slide => {
  const at = Reveal.getIndices(slide);
  Reveal.slide(at.h, at.v, 99);
  const blocks = [...slide.querySelectorAll(':not(aside, aside *)')];
  const shrunk = (block, name) => Number(getComputedStyle(block).getPropertyValue(name) || 1);
  return {
    text: slide.innerText.slice(0, 60),
    height: slide.scrollHeight,
    bottom: Math.max(...blocks.map(b => b.getBoundingClientRect().bottom)),
    right: Math.max(...blocks.map(b => b.getBoundingClientRect().right)),
    scale: Math.min(...blocks.map(b => shrunk(b, '--scale') * shrunk(b, '--narrow'))),
  };
})"""


@pytest.fixture(scope="module")
def chapters(tmp_path_factory):
    return write_pages(Decks, tmp_path_factory.mktemp("chapters"), NOTEBOOKS, ROOT, as_kept)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "a project"
    return write_pages(Decks, folder / "out", small_project(folder), folder)


def start(tab, path):
    page = tab.open(path)
    page.wait_for_function("window.Reveal && Reveal.isReady()", timeout=30_000)
    return page


def check(tab, path):
    """Everything that must hold of any deck; returns its slides."""
    page = start(tab, path)
    slides = page.evaluate(SLIDES)
    assert [s for s in slides if s["height"] > 720 or s["bottom"] > 720 or s["right"] > 1280] == []
    assert len(slides) >= 2
    text = page.evaluate("document.querySelector('.slides').textContent")
    assert "$$" not in text
    assert "\\frac" not in text
    assert page.evaluate(
        "[...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt.length > 3)"
    )
    assert page.evaluate("[...document.querySelectorAll('math')].every(m => m.textContent.trim().length > 0)")
    assert tab.errors == []
    assert tab.outside == []
    return slides


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_deck_of_a_chapter(path, chapters, tab):
    slides = check(tab, chapters / path.with_suffix(".html").name)
    assert [s for s in slides if s["scale"] < 0.55] == [], "too much in one cell or table: split it"


def test_too_much_is_spread_over_several_slides(small, tab):
    slides = check(tab, small / "00_small.html")
    assert sum("Too much" in s["text"] for s in slides) >= 2
    assert sum("(continued)" in s["text"] for s in slides) >= 1
    assert 0.5 < min(s["scale"] for s in slides if s["text"].startswith("Wide")) < 0.9
    assert sum(s["text"].startswith("A second heading") for s in slides) == 1
    heights = tab.page.evaluate(
        """() => [...document.images].map(image => {
          const at = Reveal.getIndices(image.closest('section'));
          Reveal.slide(at.h, at.v, 99);
          return [image.alt, image.clientWidth, image.clientHeight];
        })"""
    )
    sizes = {alt: (width, height) for alt, width, height in heights}
    assert sizes["wide"][0] > 1100  # as wide as the slide
    assert sizes["tall"][1] > 450  # as tall as there is room
    assert 2.3 < sizes["six squares"][0] / sizes["six squares"][1] < 2.5  # not distorted


def test_fragments_are_shown_one_after_the_other(small, tab):
    page = start(tab, small / "00_small.html")
    page.evaluate("const f = document.querySelector('.fragment').closest('section'); Reveal.slide(1, 0, -1)")
    assert not page.evaluate("document.querySelector('.fragment').classList.contains('visible')")
    page.keyboard.press("Space")
    assert page.evaluate("document.querySelector('.fragment').classList.contains('visible')")


def test_space_goes_through_every_slide(small, tab):
    page = start(tab, small / "00_small.html")
    total = page.evaluate("Reveal.getTotalSlides()")
    for _ in range(total + page.evaluate("document.querySelectorAll('.fragment').length")):
        page.keyboard.press("Space")
    assert page.evaluate("Reveal.isLastSlide()")
    assert page.inner_text(".slide-number").replace(" ", "").split("/") == [str(total)] * 2


def test_speaker_view_shows_the_notes(small, tab):
    page = start(tab, small / "00_small.html")
    page.evaluate("Reveal.slide(1, 0)")
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    notes = opened.value
    notes.wait_for_function(
        "document.querySelector('.speaker-controls-notes .value').innerText.includes('Ask the room')"
    )
    assert tab.outside == []


def test_an_equation_is_drawn_with_the_font_beside_the_deck(small, tab):
    page = start(tab, small / "00_small.html")
    assert page.evaluate("document.fonts.check('20px \"Kit Math\"')")
    assert page.evaluate("[...document.fonts].map(f => f.status)") == ["loaded"]


def test_the_list_of_decks(small, tab):
    page = tab.open(small / "index.html")
    page.click("text=Small things")
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    assert tab.errors == []
    assert tab.outside == []


def test_printing(small, tab):
    page = tab.page
    page.goto((small / "00_small.html").as_uri() + "?print-pdf")
    page.wait_for_selector(".pdf-page")
    assert page.locator(".pdf-page").count() >= page.evaluate("Reveal.getTotalSlides()")
    assert tab.errors == []
