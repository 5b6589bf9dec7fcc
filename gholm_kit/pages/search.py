"""Search across the pages of one folder: what stands under each heading, for `search.js`."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

_HEADING = re.compile(r"h[1-6]")
_LEFT_OUT = {"nav", "script", "style", "math", "svg", "title"}


class Section(NamedTuple):
    """A heading and what stands below it, up to the next one.

    page, title  file name and title of its page
    anchor       id of the heading; empty for what stands before the first
    """

    page: str
    title: str
    anchor: str
    heading: str
    text: str


def sections(html: str, page: str, title: str) -> list[Section]:
    """What can be found on a page: prose, code and outputs, without equations and without solutions."""
    reader = _Reader()
    reader.feed(html)
    found = [(anchor, _plain(heading), _plain(text)) for anchor, heading, text in reader.parts]
    return [Section(page, title, *part) for part in found if part[1] or part[2]]


def _plain(pieces: list[str]) -> str:
    return re.sub(r"\s+", " ", "".join(pieces)).strip()


class _Reader(HTMLParser):
    """Text of a page by headings: ``parts`` holds anchor, pieces of the heading, pieces of the text."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[str, list[str], list[str]]] = [("", [], [])]
        self.in_heading = False
        self.left_out, self.depth = (
            "",
            0,
        )  # the element that is being left out, and how many of its kind are open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        if self.left_out:
            self.depth += tag == self.left_out
        elif tag in _LEFT_OUT or {"solution", "skip"} & set((about.get("class") or "").split()):
            self.left_out, self.depth = tag, 1
        elif _HEADING.fullmatch(tag) and about.get("id"):
            self.parts.append((about["id"] or "", [], []))
            self.in_heading = True

    def handle_endtag(self, tag: str) -> None:
        if tag == self.left_out:
            self.depth -= 1
            self.left_out = self.left_out if self.depth else ""
        elif _HEADING.fullmatch(tag):
            self.in_heading = False
        elif not self.left_out and tag in {"p", "li", "td", "th", "pre", "div"}:
            self.parts[-1][2].append(" ")

    def handle_data(self, data: str) -> None:
        if not self.left_out:
            self.parts[-1][1 if self.in_heading else 2].append(data)
