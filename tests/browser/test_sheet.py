"""The sheet in a browser: nothing is cut, nothing overlaps, and what is printed has two pages."""

from __future__ import annotations

import pytest

from gholm_kit.pages.printed import print_pdf
from gholm_kit.pages.render import math_font_rule
from gholm_kit.pages.sheet import sheet_html
from gholm_kit.pages.sheet_text import LANGUAGES
from tests.kit.pages.test_sheet import pages_of

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("language", LANGUAGES)]

# Texts of the drawing that leave their box, cells and words whose content is wider than they are, and each page's
# height as a share of the paper's.
MEASURE = """() => {
  const inside = (a, b) =>
    a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  const box = element => element.getBoundingClientRect();
  const boxes = [...document.querySelectorAll("svg rect")].map(box);
  const texts = [...document.querySelectorAll("svg text.t, svg text.s")].filter(t => t.textContent !== "× γ");
  const wide = [...document.querySelectorAll("td, th, li")].filter(e => e.scrollWidth > e.clientWidth + 1);
  const mm = 96 / 25.4;
  return {
    outside: texts.filter(t => !boxes.some(b => inside(box(t), b))).map(t => t.textContent),
    wide: wide.map(e => e.textContent),
    filled: [...document.querySelectorAll(".sheet")].map(s => box(s).height / ((297 - 22) * mm)),
    small: [...document.querySelectorAll("svg text, td, li, code")]
      .map(e => e.ownerSVGElement ? box(e.ownerSVGElement).width / 900 * parseFloat(getComputedStyle(e).fontSize)
                                  : parseFloat(getComputedStyle(e).fontSize))
      .reduce((a, b) => Math.min(a, b)),
  };
}"""


@pytest.fixture
def page(tmp_path, language):
    path = tmp_path / "sheet.html"
    path.write_text(sheet_html(language, math_font_rule()), encoding="utf-8")
    return path


def test_nothing_is_cut_and_nothing_overlaps(chromium, page):
    tab = chromium.new_page(viewport={"width": round(186 / 25.4 * 96), "height": 1000})
    tab.emulate_media(media="print")
    tab.goto(page.as_uri())
    tab.wait_for_function("document.fonts.status === 'loaded'")
    seen = tab.evaluate(MEASURE)
    tab.close()
    assert seen["outside"] == []
    assert seen["wide"] == []
    assert max(seen["filled"]) <= 1
    assert seen["small"] >= 9  # 9 CSS pixels are 6.8 points


def test_it_prints_on_two_pages(chromium, page):
    assert pages_of(print_pdf(page, page.with_suffix(".pdf")).read_bytes()) == 2
