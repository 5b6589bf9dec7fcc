"""Chapters as slides, by reveal.js, which an installed package brings; nothing of it is kept in this project.

A cell's slide type (slide, subslide, fragment, skip, notes) says where it goes. Checks and plumbing are left out; so
is the code of a cell that shows a picture or controls, so that these can be large. Controls that need a running
notebook are left out; those that a page can move by itself (`sliders.js`) stay. The speaker's notes hold the
minutes, what a picture shows, and the solution of an exercise. What is too much for one slide is spread over
several, in the browser (`deck.js`), where the size of things is known.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from gholm_kit.pages.render import SLIDERS_VIEW, WIDGET_VIEW, has_picture, package_folder, tidied
from gholm_kit.pages.site import Site

LEFT_OUT = {"parameters", "plumbing", "check"}
LONGEST_OUTPUT = 22  # lines of printed text on a slide: more cannot be read from the back
EXERCISE_MINUTES = 5  # that a class gets for an exercise, in the speaker's notes
REVEAL = ("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js")


class Decks(Site):
    """The decks of one folder, one a chapter, and an index."""

    assets = ("page.css", "page.js", "sliders.css", "sliders.js", "deck.css", "deck.js")
    template = "deck.html.j2"
    heading = "GHOLM-Net: slides"

    def write(self, source: Path, notebook: nbformat.NotebookNode) -> Path:
        """Write the deck of one executed notebook; returns its path.

        Raises:
            ValueError: an equation cannot be shown.
        """
        return super().write(source, stage(notebook))

    def finish(self) -> Path | None:
        """Write the index, and reveal.js beside the decks; returns the index, None when there is no deck."""
        index = super().finish()
        if index:
            bundle = package_folder("sphinx_revealjs") / "_static" / "revealjs"
            for name in REVEAL:
                shutil.copyfile(bundle / name, self.folder / "assets" / Path(name).name)
        return index

    def below_chapters(self) -> list[str]:
        """The keys of a deck, in Markdown."""
        return [
            "**Keys.** Space: on · Shift + Space: back · Escape: overview · F: full screen · "
            "S: speaker view with notes · B: black. Where a slide has sliders: Tab to one, arrow keys move it, "
            "Escape leaves it. "
            "For paper, `make slides-pdf` writes each deck as a PDF file."
        ]

    def _beside(self, target: Path, fragment: str) -> str | None:
        return None  # a deck is carried about alone: it leads to other decks and to the web, not to files


def stage(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy with what goes on slides, each cell marked with the HTML that opens and closes its place.

    The heading of the top cell is left to the title slide, which the template makes and leaves open.
    """
    notebook = tidied(notebook)
    shown, start = [], None
    for number, cell in enumerate(_with_notes(notebook.cells)):
        kind = cell.metadata.get("slideshow", {}).get("slide_type") or "-"
        if number == 0:
            cell.source = cell.source.partition("\n")[2].strip()
            kind = "subslide"
        if kind == "skip" and "exercise" in cell.metadata.get("tags", []):
            kind = "-"  # every exercise is put to the room
        if kind == "skip":
            continue
        _trim(cell)
        if not cell.source and not cell.get("outputs"):  # nothing left: the next cell opens its slide
            start = start or (kind if kind in ("slide", "subslide") else None)
            continue
        if start and kind != "notes":
            kind, start = ("slide" if "slide" in (start, kind) else "subslide"), None
        cell.metadata["place"] = _place(kind)
        shown.append(cell)
    notebook.cells = shown
    return notebook


def _with_notes(cells: list[nbformat.NotebookNode]) -> Iterator[nbformat.NotebookNode]:
    """The cells, with a note for the speaker after each picture and in the place of each solution."""
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            heading = f"<p data-minutes='{EXERCISE_MINUTES}'><strong>Solution</strong></p>"
            yield _note(f"{heading}\n\n```python\n{cell.source}\n```")
            continue
        yield cell
        shown = [m.get("alt") for o in cell.get("outputs", []) for m in o.get("metadata", {}).values()]
        for alt in filter(None, shown):
            yield _note(f"**The picture.** {alt}")


def _note(markdown: str) -> nbformat.NotebookNode:
    return new_markdown_cell(markdown, metadata={"slideshow": {"slide_type": "notes"}})


def _place(kind: str) -> dict[str, str]:
    opened = {
        "slide": "</section></section>\n<section><section>",
        "subslide": "</section>\n<section>",
        "fragment": '<div class="fragment">',
        "notes": '<aside class="notes">',
    }
    closed = {"fragment": "</div>", "notes": "</aside>"}
    return {"open": opened.get(kind, ""), "close": closed.get(kind, "")}


def _trim(cell: nbformat.NotebookNode) -> None:
    """Take from a code cell what does not belong on a slide."""
    if cell.cell_type != "code":
        return
    tags = set(cell.metadata.get("tags", []))
    picture, widget = has_picture(cell), any(WIDGET_VIEW in o.get("data", {}) for o in cell.outputs)
    if picture or widget or tags & LEFT_OUT:
        cell.source = ""
    if tags & LEFT_OUT and not picture:
        cell.outputs = []
    cell.outputs = [o for o in cell.outputs if not _needs_kernel(o) and o.get("name") != "stderr"]
    for output in cell.outputs:
        if output.output_type == "error":
            output.traceback = [f"{output.ename}: {output.evalue}"]
        lines = output.get("text", "").splitlines()
        if len(lines) > LONGEST_OUTPUT:
            output.text = "\n".join([*lines[:LONGEST_OUTPUT], "…"])


def _needs_kernel(output: nbformat.NotebookNode) -> bool:
    data = output.get("data", {})
    return WIDGET_VIEW in data and SLIDERS_VIEW not in data
