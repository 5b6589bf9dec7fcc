"""Decks in a browser with no network: they start, every slide fits, equations and pictures are there."""

import re

import pytest

from gholm_kit.pages.deck import Decks
from gholm_kit.pages.printed import print_pdf
from tests.browser.pages import NOTEBOOKS, ROOT, as_kept, small_project, write_pages

pytestmark = pytest.mark.browser

LEAST = 18  # pixels of 720: print that is read from the last of ten rows
CONTRAST = 4.5  # the least for print, WCAG 2.2, criterion 1.4.3
# Of each slide: its height, how far its contents reach, how much its print was shrunk, its print that is too small
# or too pale (luminance and ratio as WCAG defines them), and its notes.
SLIDES = """([least, contrast]) => {
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const luminance = (colour) => {
  const [r, g, b] = colour.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const behind = (block) => {
  for (; block; block = block.parentElement) {
    const colour = parts(getComputedStyle(block).backgroundColor);
    if (colour[3] !== 0) return colour.slice(0, 3);
  }
  return [255, 255, 255];
};
const print = (slide) => {
  const walk = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT), found = [];
  while (walk.nextNode()) {
    const text = walk.currentNode, holder = text.parentElement;
    if (!text.data.trim() || holder.closest('aside, script, style')) continue;
    const block = holder.closest('math') ?? holder;  // an index is small by nature
    const style = getComputedStyle(block);
    const both = [luminance(parts(style.color).slice(0, 3)), luminance(behind(block))];
    const [dark, light] = both.sort((a, b) => a - b);
    found.push([text.data.trim().slice(0, 30), parseFloat(style.fontSize), (light + .05) / (dark + .05)]);
  }
  return found;
};
return Reveal.getSlides().map(slide => {
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
    small: print(slide).filter(([, size]) => size < least - .01),
    pale: print(slide).filter(([, , ratio]) => ratio < contrast),
    notes: [...slide.querySelectorAll('aside.notes')].map(notes => notes.textContent),
  };
})}"""


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
    slides = page.evaluate(SLIDES, [LEAST, CONTRAST])
    assert [s for s in slides if s["height"] > 720 or s["bottom"] > 720 or s["right"] > 1280] == []
    assert [s for s in slides if s["small"] or s["pale"]] == []
    assert [s for s in slides if [bool(re.match(r"[\d.]+ min · ", n)) for n in s["notes"]] != [True]] == []
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


def pages_of(pdf):
    """Width and height in points of each page of a PDF that Chromium wrote."""
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    return [(float(width), float(height)) for width, height in boxes]


def test_printing(small, tab):
    """A slide a page, with a margin, whatever the browser shows while it prints."""
    page = start(tab, small / "00_small.html")
    total = page.evaluate("Reveal.getTotalSlides()")
    pages = pages_of(page.pdf(prefer_css_page_size=True, print_background=True))
    assert pages == [(1032, 612)] * total  # 96 pixels are 72 points: 1280 x 720 and 48 on each side
    page.emulate_media(media="print")
    hidden = "[...document.querySelectorAll('.fragment')].filter(f => getComputedStyle(f).visibility !== 'visible')"
    assert page.evaluate(f"{hidden}.length") == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.controls')).display") == "none"


def test_a_deck_as_pdf(small, tab, tmp_path):
    """The program that prints waits for the page's load event only: the slides are laid out by then."""
    pdf = print_pdf(small / "00_small.html", tmp_path / "small.pdf").read_bytes()
    page = start(tab, small / "00_small.html")
    assert pages_of(pdf) == [(1032, 612)] * page.evaluate("Reveal.getTotalSlides()")


def test_equation_picture_and_explanation_stand_together(small, tab):
    page = start(tab, small / "00_small.html")
    together = page.evaluate(
        """() => {
          const slide = document.querySelector('img[alt="a curve"]').closest('section');
          const blocks = [...slide.children].filter(block => block.tagName !== 'ASIDE');
          return blocks.map(block => block.tagName + ' ' + block.innerText.trim());
        }"""
    )
    assert [block.split()[0] for block in together[:4]] == ["H2", "P", "DIV", "P"]
    assert together[3] == "P It grows."


def test_a_table_with_too_many_columns_becomes_two(small, tab):
    page = start(tab, small / "00_small.html")
    tables = page.evaluate(
        """() => [...document.querySelectorAll('table')].filter(t => t.rows[0].cells[0].innerText === 'method')
          .map(t => [t.rows[0].cells.length, [...t.tBodies[0].rows].map(r => r.cells[0].innerText)])"""
    )
    assert len(tables) >= 2
    assert sum(columns - 1 for columns, _ in tables) == 13  # each column once, besides the first
    assert tables[0][1] == ["ours", "theirs"]
    assert tables[-1][1] == ["ours"]  # of theirs it would say nothing


def test_the_minutes_add_up_and_an_exercise_has_its_solution(small, tab):
    slides = check(tab, small / "00_small.html")
    minutes = [float(s["notes"][0].split(" min")[0]) for s in slides]
    assert slides[-1]["notes"][0].startswith(f"{minutes[-1]:g} min · {sum(minutes):g} min at the end")
    assert f"{sum(minutes):g} min in all" in slides[0]["notes"][0]
    [exercise] = [s for s in slides if s["text"].startswith("Exercise")]
    assert "the_solution" in exercise["notes"][0]
