"""The sheet: what is kept is what the sources give, its names are the code's, and it fills two pages."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser

import pytest

import gholm_lib
from gholm_kit.__main__ import main
from gholm_kit.pages import printed, sheet_text
from gholm_kit.pages.sheet import NAMES, sheet_html, stamp
from gholm_lib import losses, masking, predictions
from gholm_lib.config import Config
from gholm_lib.paths import project_root

KEPT = project_root() / "docs" / "sheet"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
languages = pytest.mark.parametrize("language", sheet_text.LANGUAGES)


def pages_of(pdf: bytes) -> int:
    """The number of pages; Chromium leaves the objects that describe them uncompressed."""
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


class _Elements(HTMLParser):
    """The elements of a page that are still open at its end, and what elements load or lead to."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.loads += [value for name, value in attributes if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


# ---------------------------------------------------------------------- what is kept


@languages
def test_the_kept_pages_are_what_the_sources_give(language):
    kept = (KEPT / f"{NAMES[language]}.html").read_text(encoding="utf-8")
    assert kept == sheet_html(language), "make it anew: make sheet"


@languages
def test_the_kept_pdf_is_the_print_of_the_kept_page_on_two_pages(language):
    pdf = (KEPT / f"{NAMES[language]}.pdf").read_bytes()
    assert pdf.endswith(b"%%EOF\n" + stamp(language)), "make it anew: make sheet"
    assert pages_of(pdf) == 2


@languages
def test_a_page_loads_nothing_and_closes_what_it_opens(language):
    page = _Elements(sheet_html(language))
    assert page.loads == []
    assert page.open == []


def test_another_language_is_refused():
    with pytest.raises(ValueError, match=r"must be one of .*'zh-CN'.*got 'fr'"):
        sheet_html("fr")


# ---------------------------------------------------------------------- what it says


def test_every_equation_of_the_paper_is_there():
    assert [e.number for e in sheet_text.EQUATIONS] == [str(n) for n in range(1, 14)]


@pytest.mark.parametrize("equation", sheet_text.EQUATIONS, ids=lambda equation: equation.number)
def test_an_equation_names_functions_of_the_library(equation):
    assert equation.functions
    for name in equation.functions:
        homes = (gholm_lib, masking, losses, predictions)
        assert any(callable(getattr(home, name, None)) for home in homes), name


def test_a_function_says_itself_which_equation_it_is():
    """Its docstring, that is."""
    homes = (gholm_lib, masking, losses, predictions)
    for equation in sheet_text.EQUATIONS:
        names = [getattr(home, name) for name in equation.functions for home in homes if hasattr(home, name)]
        assert any(int(equation.number) in _equations_in(found.__doc__) for found in names), equation.number


def _equations_in(text: str) -> set[int]:
    """The numbers of "eq. 3", "(7)", "(1)-(2)" and "eq. 4-6"."""
    found: set[int] = set()
    for first, last in re.findall(r"(?:[Ee]q\. ?|\()\(?(\d+)\)?(?:[-–]\(?(\d+)\)?)?", text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_the_values_are_the_paper_s():
    values = {symbol.latex: symbol.shape for symbol in sheet_text.SYMBOLS}
    config = Config()
    assert values[r"\mu,\ \theta"] == f"{config.mu},  U({config.theta_low:.0f}, {config.theta_high:.0f})"
    assert values[r"\gamma,\ \tau"] == f"{config.gamma},  {config.tau}"


def test_the_chinese_sheet_is_in_chinese_and_the_english_one_in_english():
    def pairs():
        yield from (sheet_text.TITLE, sheet_text.CAPTION, sheet_text.LETTERS)
        yield from (*sheet_text.HEADINGS.values(), *sheet_text.COLUMNS.values(), *sheet_text.WORDS)
        yield from (item.note for item in sheet_text.EQUATIONS)
        yield from (item.meaning for item in sheet_text.SYMBOLS)

    for english, chinese in pairs():
        assert not CHINESE.search(english)
        assert CHINESE.search(chinese), english


def test_both_languages_say_the_same_numbers():
    for item in (*sheet_text.SYMBOLS, *sheet_text.EQUATIONS):
        english, chinese = item.meaning if isinstance(item, sheet_text.Symbol) else item.note
        assert re.findall(r"\d+", english) == re.findall(r"\d+", chinese)


def test_no_word_stands_twice():
    words = [english for english, _ in sheet_text.WORDS]
    assert len(words) == len(set(words))


# ---------------------------------------------------------------------- the command


def test_without_chromium_one_sentence_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(printed, "find_chromium", lambda: None)
    assert main(["sheet", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(
        "gholm sheet: a PDF needs Chromium: on Debian or Ubuntu `sudo apt-get install chromium"
    )
    assert said.count("\n") == 1
    assert {p.name for p in tmp_path.iterdir()} == {f"{name}.html" for name in NAMES.values()}


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_a_chromium_that_prints_nothing_is_an_error_with_its_words(tmp_path, monkeypatch):
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho no display >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(printed, "find_chromium", lambda: str(broken))
    page = tmp_path / "page.html"
    page.write_text("<p>text</p>")
    with pytest.raises(RuntimeError, match=r"could not print .*page\.html: no display"):
        printed.print_pdf(page, tmp_path / "page.pdf")
