"""Cells to HTML: equations become MathML, links are led to their pages, pictures keep their alt text.

nbconvert walks through the notebook; the templates beside this file say what each kind of cell looks like. MathML is
drawn by the browser itself, so that no page needs a script for its equations; the font they are set in comes from an
installed package and is written beside the pages.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import math_core
import nbformat
from jinja2 import pass_context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter
from traitlets import Any as AnyTrait

from gholm_kit.pages.scripts import bundled

TEMPLATES = Path(__file__).parent / "templates"
CONTENTS_PLACE = "<!-- contents -->"  # replaced when all headings are known
CONTENTS_FROM = 3  # headings; a list of fewer would be of no use
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
SLIDERS_VIEW = "application/vnd.gholm.sliders+json"  # what a panel brings for `sliders.js`, beside its widget
Links = Callable[
    [str], "str | None"
]  # a link as written → where it leads on the page; None: no link, text only


def mathml(latex: str, display: bool = False) -> str:
    """An equation as MathML.

    Raises:
        ValueError: it cannot be converted; the message quotes it.
    """
    if r"\tag" in latex and r"\begin{equation" not in latex:  # LaTeX numbers equations in this environment
        latex = rf"\begin{{equation}}{latex}\end{{equation}}"
    try:
        return math_core.LatexToMathML(fancy_error=False).convert_with_local_state(
            latex, displaystyle=display
        )
    except math_core.LatexError as error:
        raise ValueError(f"this equation cannot be shown: {latex.strip()}: {error}") from error


def slug(heading: str) -> str:
    """The id of a heading: `"The problem (Figure 1)"` → `"the-problem-figure-1"`."""
    return re.sub(r"[^\w-]", "", heading.strip().lower().replace(" ", "-"))


class _Markdown(IPythonRenderer):
    """Markdown as Jupyter reads it, with equations as MathML, and links led to where they go on the page."""

    def __init__(self, links: Links, headings: list[tuple[str, str]], **kwargs: Any):
        super().__init__(**kwargs)
        self.links, self.headings = links, headings

    def block_math(self, body: str) -> str:
        return mathml(body, display=True)

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        name = slug(re.sub("<[^>]+>", "", text))
        if level == 2:
            self.headings.append((name, text))
        return f'<h{level} id="{name}">{text}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        target = self.links(url)
        return text if target is None else super().link(text, target, title)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        # nbconvert embeds pictures below the document's own folder only; others go where a link to them would.
        outside = url.startswith("../")
        return super().image(text, (self.links(url) or url) if outside else url, title)


class Exporter(HTMLExporter):
    """nbconvert's exporter with this folder's templates and Markdown."""

    links = AnyTrait()

    def __init__(self, template: str, links: Links):
        super().__init__(
            extra_template_basedirs=[str(TEMPLATES)],
            template_name="gholm",
            template_file=template,
            embed_images=True,
        )
        self.links = links
        self.headings: list[
            tuple[str, str]
        ] = []  # id and HTML of each heading of the second level, as they come

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        renderer = _Markdown(
            self.links,
            self.headings,
            escape=False,
            embed_images=True,
            path=context.get("resources", {}).get("metadata", {}).get("path", ""),
            attachments=context.get("cell", {}).get("attachments", {}),
        )
        return MarkdownWithMath(renderer=renderer).render(source)

    def default_filters(self):
        yield from super().default_filters()
        yield "mathml", lambda latex: mathml(latex.strip().strip("$"), display=True)
        yield "sliders", lambda data: data.get(SLIDERS_VIEW)
        yield "script_json", script_json


def script_json(value: Any) -> str:
    """A value as JSON that can stand inside a ``<script>``: no text in it can close that element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def render(notebook: nbformat.NotebookNode, source: Path, template: str, links: Links, **page: Any) -> str:
    """An executed notebook as one HTML document.

    Args:
        notebook: the executed notebook.
        source: the file that it was made from; pictures in its Markdown are looked for beside it.
        template: file in `templates/gholm`.
        links: where each link of its Markdown leads.
        page: what the template wants to know besides, as `resources.page`.

    Raises:
        ValueError: an equation cannot be shown.
    """
    resources = {"metadata": {"name": source.stem, "path": str(source.parent)}, "page": page}
    try:
        exporter = Exporter(template, links)
        html, _ = exporter.from_notebook_node(tidied(notebook), resources=resources)
    except ValueError as error:
        raise ValueError(f"{source.name}: {error}") from error
    return html.replace(CONTENTS_PLACE, contents(exporter.headings), 1)


def contents(headings: list[tuple[str, str]]) -> str:
    """The list of a page's headings, ``(id, HTML)`` each; nothing for fewer than CONTENTS_FROM."""
    if len(headings) < CONTENTS_FROM:
        return ""
    plain = [(name, re.sub(r"</?a\b[^>]*>", "", text)) for name, text in headings]  # no link inside a link
    items = "".join(f'<li><a href="#{name}">{text}</a></li>' for name, text in plain)
    return f'<nav class="contents" aria-label="contents"><p>On this page</p><ol>{items}</ol></nav>'


def tidied(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy without progress bars, and with the lines of one stream in one piece."""
    notebook = deepcopy(notebook)
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _joined([o for o in cell.outputs if not _is_progress(o, state)])
    return notebook


def _joined(outputs: list) -> list:
    """Streams that follow each other in one, as a terminal would show them: a carriage return starts a line anew."""
    joined: list = []
    for output in outputs:
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)
    return [output for output in joined if output.get("text") != ""]


def _is_progress(output: nbformat.NotebookNode, state: dict) -> bool:
    view = output.get("data", {}).get(WIDGET_VIEW)
    if view is None:
        return False
    model = state.get(view["model_id"], {}).get("state", {})
    children = [str(child).removeprefix("IPY_MODEL_") for child in model.get("children", [])]
    return any("Progress" in state.get(child, {}).get("model_name", "") for child in children)


def has_picture(cell: nbformat.NotebookNode) -> bool:
    """True when a code cell shows an image."""
    return any(kind.startswith("image/") for o in cell.get("outputs", []) for kind in o.get("data", {}))


def write_assets(folder: Path, *names: str) -> None:
    """Put the named files of `templates/gholm` into a folder, with colours for code and the font for equations.

    A script brings what it imports.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = TEMPLATES / "gholm" / name
        text = bundled(path) if path.suffix == ".js" else path.read_text(encoding="utf-8")
        (folder / name).write_text(text, encoding="utf-8")
    light = HtmlFormatter(style="xcode").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs('[data-theme="dark"] .highlight')
    (folder / "code.css").write_text(f"{light}\n@media screen {{\n{dark}\n}}\n", encoding="utf-8")
    # Inside the style sheet, because browsers do not load a font file for a page opened from a folder.
    (folder / "math.css").write_text(
        math_font_rule() + "\nmath{font-family:'Kit Math',math}\n", encoding="utf-8"
    )


def math_font_rule() -> str:
    """The style rule that brings the font of equations, `Kit Math`."""
    font = base64.b64encode((package_folder("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf").read_bytes())
    return f"@font-face{{font-family:'Kit Math';src:url(data:font/ttf;base64,{font.decode()})}}"


def package_folder(name: str) -> Path:
    """Where an installed package keeps its files; it is not imported.

    Raises:
        FileNotFoundError: it is not installed.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {name} is not installed: pip install -e . brings it")
    return Path(spec.origin).parent
