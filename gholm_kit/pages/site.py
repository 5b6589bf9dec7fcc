"""Chapters as web pages: an index, links between them, and the documents and files that they point to."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook

from gholm_kit.pages.render import render, script_json, slug, write_assets
from gholm_kit.pages.search import Section, sections

API = "api/index.html"  # the reference, where `api.write_api` has written it beside the chapters
DOCUMENTS = {  # what the front page leads to besides the chapters
    "README.md": "README: what this is, in two pages",
    "docs/architecture.md": "Architecture: the path of an image, the files, where to add what",
    "docs/results.md": "Results in detail, and what the paper leaves open",
    "docs/troubleshooting.md": "Troubleshooting: messages, and what to do",
    "docs/slurm.md": "On a SLURM cluster",
    "CONTRIBUTING.md": "Contributing",
    "CHANGELOG.md": "Changes",
}


@dataclass(frozen=True)
class Chapter:
    """What the top cell of a notebook says about it.

    Args:
        page: name of its page.
        number: its number, as in the name of the file; empty when that has none.
        title: what it is about.
        question: the question it answers; empty when its heading holds none.
        time: how long it takes; empty when it does not say.
    """

    page: str
    number: str
    title: str
    question: str
    time: str


def chapter(source: Path, notebook: nbformat.NotebookNode) -> Chapter:
    """Read the top cell: ``# 02 · Title: question?`` and ``**Time** about two minutes. **You need** …``."""
    top = notebook.cells[0].source if notebook.cells else ""
    heading = re.sub(r"^#\s*(\d+\s*·\s*)?", "", top.split("\n", 1)[0]).strip() or source.stem
    title, colon, question = heading.partition(": ")
    if not colon:
        question = heading if heading.endswith("?") else ""
    time = re.search(r"\*\*Time:?\*\*:?\s*(.+?)\s*(?=\*\*|\n\s*\n|\Z)", top, re.DOTALL)
    number = re.match(r"\d+", source.stem)
    return Chapter(
        page=source.with_suffix(".html").name,
        number=number[0] if number else "",
        title=title,
        question=question[:1].upper() + question[1:],
        time=re.sub(r"\s+", " ", time[1]).rstrip(".") if time else "",
    )


class Site:
    """The pages of one folder.

    Args:
        folder: where they go.
        sources: the notebooks, in the order of reading; those that cannot be read get no page.
        root: links to files below it are followed: Markdown gets a page, other files are copied to `files/`.
    """

    assets: tuple[str, ...] = ("page.css", "page.js", "sliders.css", "sliders.js", "search.js")
    template = "page.html.j2"
    heading = "GHOLM-Net, taught and reproduced"

    def __init__(self, folder: Path, sources: Iterable[Path], root: Path):
        self.folder, self.root = folder, root.resolve()
        self.chapters: dict[Path, Chapter] = {}
        for source in sources:
            try:
                self.chapters[source.resolve()] = chapter(source, nbformat.read(source, as_version=4))
            except Exception:  # nbformat raises many kinds for a broken file; running it says what is wrong
                continue
        self._written: set[Path] = set()
        self._documents: list[Path] = []  # Markdown files that a page points to
        self._files: set[Path] = set()  # other files that a page points to
        self._sections: list[Section] = []  # for the search

    def write(self, source: Path, notebook: nbformat.NotebookNode) -> Path:
        """Write the page of one executed notebook; returns its path.

        Raises:
            ValueError: an equation cannot be shown.
        """
        source = source.resolve()
        order = list(self.chapters)
        place = order.index(source)
        around = {
            "previous": self.chapters[order[place - 1]] if place > 0 else None,
            "next": self.chapters[order[place + 1]] if place + 1 < len(order) else None,
        }
        if (
            not self._written
        ):  # with the first page, so that one opened before the last is written has its style
            write_assets(self.folder / "assets", *self.assets)
        path = self._page(self.chapters[source].page, source, notebook, **self._about(source), **around)
        self._written.add(source)
        return path

    def finish(self) -> Path | None:
        """Write the front page, the documents and files that the pages point to, and the index of the search.

        Returns the front page. Nothing is written, and None returned, when there is no page.
        """
        if not self._written:
            return None
        index = self._text("index.html", self.root / "index.md", self.index())
        for document in self._documents:  # grows while its pages are written
            self._text(self._document_page(document), document, document.read_text(encoding="utf-8"))
        if "search.js" in self.assets:
            found = f"globalThis.searchIndex = {script_json(self._sections)};\n"
            (self.folder / "assets" / "search-index.js").write_text(found, encoding="utf-8")
        for file in sorted(self._files):
            copy = self.folder / "files" / file.relative_to(self.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        return index

    def index(self) -> str:
        """The front page, in Markdown."""
        lines = [
            f"# {self.heading}",
            "",
            "Pictures in these pages are **drawn teaching data** where a data set's name begins with `mini_`. "
            "To run and change the cells: `make lab`.",
            "",
            "| chapter | question | time |",
            "|---|---|---|",
        ]
        for source, c in self.chapters.items():
            if source in self._written:
                name = f"{c.number} · {c.title}" if c.number else c.title
                question = c.question if c.question != c.title else ""
                lines.append(f"| [{name}]({quote(c.page)}) | {question} | {c.time} |")
        return "\n".join([*lines, "", *self.below_chapters()])

    def below_chapters(self) -> list[str]:
        """What the front page shows below the list of chapters, lines of Markdown."""
        found = {path: text for path, text in DOCUMENTS.items() if (self.root / path).is_file()}
        if (self.folder / API).is_file():
            found[API] = "API reference: every module, from its docstrings"
        return ["## More", "", *(f"- [{text}]({path})" for path, text in found.items())] if found else []

    def link(self, source: Path, url: str) -> str | None:
        """Where a link written in `source` leads on these pages; None when there is nothing to lead to."""
        if re.match(r"[a-zA-Z][\w+.-]*:|//", url):
            return url
        path, _, fragment = url.partition("#")
        fragment = f"#{slug(unquote(fragment))}" if fragment else ""
        if not path or (source == self.root / "index.md" and path in {*self._page_names(), API}):
            return path + fragment
        target = Path(os.path.normpath(source.parent / unquote(path)))
        if target in self.chapters:
            return quote(self.chapters[target].page) + fragment
        if not target.is_file() or not target.is_relative_to(self.root):
            return None
        return self._beside(target, fragment)

    def _beside(self, target: Path, fragment: str) -> str | None:
        """A file of the project that is not a chapter: its page, or its copy."""
        if target.suffix == ".md":
            if target not in self._documents:
                self._documents.append(target)
            return quote(self._document_page(target)) + fragment
        self._files.add(target)
        return quote(f"files/{target.relative_to(self.root).as_posix()}") + fragment

    def _about(self, source: Path) -> dict:
        return {"chapter": self.chapters[source]}

    def _page_names(self) -> set[str]:
        return {quote(c.page) for c in self.chapters.values()}

    def _document_page(self, document: Path) -> str:
        return "-".join(document.relative_to(self.root).with_suffix(".html").parts)

    def _text(self, name: str, source: Path, markdown: str) -> Path:
        """The page of a Markdown text."""
        title = re.search(r"^# (.+)$", markdown, re.MULTILINE)
        about = Chapter(name, "", title[1] if title else source.stem, "", "")
        return self._page(name, source, new_notebook(cells=[new_markdown_cell(markdown)]), chapter=about)

    def _page(self, name: str, source: Path, notebook: nbformat.NotebookNode, **page) -> Path:
        template = self.template if source in self.chapters else Site.template
        page |= {"searchable": "search.js" in self.assets}
        html = render(notebook, source, template, lambda url: self.link(source, url), **page)
        self._sections += sections(html, name, page["chapter"].title)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html, encoding="utf-8")
        return path
