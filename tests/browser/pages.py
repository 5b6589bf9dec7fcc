"""For the tests of pages and slides: a small executed notebook with everything in it, and a strict browser tab."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
from PIL import Image

from gholm_kit.pages.execute import up_to_date, with_outputs
from gholm_lib.paths import project_root

v4 = nbformat.v4
ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PROSE = "Colour and pose vary *within* a column and not between them; the parts that decide are small. " * 4
ROWS = [
    ["method", *["a_long_name"] * 13],
    ["---"] * 14,
    ["ours", *["12.3_±_4.5"] * 13],
    ["theirs", *["12.3"] * 6, *["–"] * 7],
]
PANEL, BAR, FLOAT = "panel", "bar", "float"


def png(width: int = 1200, height: int = 500) -> str:
    data = io.BytesIO()
    Image.new("RGB", (width, height), "#336699").save(data, "png")
    return base64.b64encode(data.getvalue()).decode()


def code(source: str, *outputs, tags: tuple[str, ...] = (), kind: str = "", **metadata):
    metadata |= {"tags": list(tags)} | ({"slideshow": {"slide_type": kind}} if kind else {})
    return v4.new_code_cell(source, outputs=list(outputs), metadata=metadata, execution_count=1)


def text(source: str, kind: str = ""):
    return v4.new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind}} if kind else {})


def show(data: dict, **metadata):
    return v4.new_output("display_data", data=data, metadata=metadata)


def printed(lines: str, name: str = "stdout"):
    return v4.new_output("stream", name=name, text=lines)


def picture(alt: str, **size: int):
    return show({"image/png": png(**size), "text/plain": "<Image>"}, **{"image/png": {"alt": alt}})


def widget(model: str):
    return show({"application/vnd.jupyter.widget-view+json": {"model_id": model}, "text/plain": "W()"})


def small_book(other: str = "01_other.ipynb") -> nbformat.NotebookNode:
    """An executed chapter with each kind of cell and output, and with too much for several of its slides."""
    cells = [
        text(
            "# 00 · Small things: do they decide?\n\n**After this chapter** you can say so.\n\n"
            "**Time** about a minute\non a laptop CPU. **You need** nothing.",
            "slide",
        ),
        code("DATASET = 'mini_birds'", tags=("parameters",)),
        code("import secret_plumbing", printed("set up\n"), tags=("plumbing",)),
        text(
            "## Equation (1)\n\n$$a_k^c = \\frac{1}{h w}\\sum_{ij}\\frac{\\partial y^c}{\\partial A_{ij}}\\tag{1}$$",
            "slide",
        ),
        text(
            "with $\\bar a$ the mean and\n\n\\begin{align} L &= L_c + L_r \\\\ &= 1 \\end{align}", "fragment"
        ),
        text("Ask the room first.", "notes"),
        code("shown = draw()", printed("one\n"), printed("two\n"), picture("six squares"), kind="subslide"),
        text(f"## Too much\n\n{PROSE}\n\n{PROSE}\n\n{PROSE}\n\n{PROSE}", "slide"),
        code("for k in range(9):\n    print(k)", printed("\n".join(f"line {k}" for k in range(60)))),
        code("train()", widget(BAR), printed("10 %\r20 %\r30 %\n"), printed("warned", "stderr")),
        code("sliders.panel()", widget(PANEL)),
        text("## A wide and a tall picture\n\nText above.", "slide"),
        code("wide()", picture("wide", width=1600, height=300)),
        code("tall()", picture("tall", width=500, height=1500)),
        text("| a | b |\n|---|---|\n" + "\n".join(f"| {k} | {k * k} |" for k in range(30)), "subslide"),
        text("## Wide\n\n$$" + " + ".join(["\\frac{a_{ij}}{b}"] * 24) + "$$", "slide"),
        text("|" + " a heading |" * 8 + "\n|" + "---|" * 8 + "\n|" + " incompressible |" * 8, "subslide"),
        text(
            "## Many columns\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in ROWS),
            "slide",
        ),
        text("## Together\n\n$$y = x^2$$", "slide"),
        code("curve()", picture("a curve"), kind="subslide"),
        text("It grows.", "subslide"),
        text("Some words.\n\n## A second heading\n\nMore words."),
        text("## Exercise", "slide"),
        code("def f(x):\n    raise NotImplementedError('write f')", tags=("exercise",), kind="skip"),
        code("def f(x):\n    return the_solution", tags=("solution",), jupyter={"source_hidden": True}),
        code("print(checks.f(f))", printed("Right."), tags=("check",)),
        code(
            "1 / 0",
            v4.new_output("error", ename="ZeroDivisionError", evalue="division", traceback=["a\n" * 40]),
        ),
        code("table", show({"text/markdown": "mean $\\mu$ = **3**", "text/plain": "?"})),
        code("skipped_on_slides()", kind="skip"),
        text(
            "## What we saw\n\n"
            f"Next: [other]({other}#The-other-heading), [readme](../README.md), [top](#equation-1), "
            "[source](../gholm_lib/model.py), [folder](../figures/), [gone](gone.ipynb), [web](https://example.org/a)",
            "slide",
        ),
    ]
    state = {
        PANEL: {"model_name": "VBoxModel", "state": {"children": []}},
        BAR: {"model_name": "HBoxModel", "state": {"children": [f"IPY_MODEL_{FLOAT}"]}},
        FLOAT: {"model_name": "FloatProgressModel", "state": {}},
    }
    widgets = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "widgets": widgets})


def other_book() -> nbformat.NotebookNode:
    return v4.new_notebook(
        cells=[text("# 01 · Other\n\nWhy?"), text("## The other heading\n\nEnd.", "slide")]
    )


def small_project(folder: Path) -> list[Path]:
    """A project of two chapters, a front page and a source file; returns the chapters."""
    for inside in ("notebooks", "gholm_lib", "figures"):
        (folder / inside).mkdir(parents=True)
    (folder / "README.md").write_text(
        "# Front\n\n[start](notebooks/00_small.ipynb#what-we-saw) [more](data/NOTE.md#a-note)\n"
    )
    (folder / "data").mkdir()
    (folder / "data" / "NOTE.md").write_text("# Note\n\n## A note\n\n[back](../README.md)\n")
    (folder / "gholm_lib" / "model.py").write_text("model = 1\n")
    paths = [folder / "notebooks" / name for name in ("00_small.ipynb", "01_other.ipynb")]
    nbformat.write(small_book(), paths[0])
    nbformat.write(other_book(), paths[1])
    return paths


def write_pages(kind, folder: Path, paths: list[Path], root: Path, book=None) -> Path:
    """All pages of a `Site` or `Decks`; `book(path)` gives the executed notebook, None reads the file."""
    site = kind(folder, paths, root)
    for path in paths:
        site.write(path, (book or read)(path))
    assert site.finish() == folder / "index.html"
    return folder


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def as_kept(path: Path) -> nbformat.NotebookNode:
    """A chapter with the outputs of its executed copy if that is up to date (`make test` keeps it), or without."""
    copy = project_root() / "build" / "notebooks" / path.name
    return with_outputs(path, copy) if up_to_date(path, copy) else read(path)


class Page(HTMLParser):
    """What a page holds and points to."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []  # href and src
        self.loaded: list[str] = []  # what the browser fetches by itself
        self.pictures: list[str | None] = []  # alt texts
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found["id"]} if "id" in found else set()
        self.links += [found[name] for name in ("href", "src") if found.get(name)]
        self.loaded += [found["src"]] if found.get("src") else []
        self.loaded += [found["href"]] if tag == "link" else []
        if tag == "img":
            self.pictures.append(found.get("alt"))


def broken_links(folder: Path) -> list[str]:
    """Every href and src of every page of a folder that leads nowhere, as `page: link`; fragments too."""
    pages = {
        path: Page(path) for path in folder.rglob("*.html") if "files" not in path.relative_to(folder).parts
    }
    broken = []
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"(https?|mailto|data):", link):
                continue
            name, _, fragment = link.partition("#")
            target = (path.parent / unquote(name)).resolve() if name else path
            missing = not target.is_file() or (
                fragment and target in pages and fragment not in pages[target].ids
            )
            if missing:
                broken.append(f"{path.name}: {link}")
    return broken


class Tab:
    """A tab in which nothing may be fetched but files, and in which every error counts; settings: Playwright's."""

    def __init__(self, browser, width: int = 1280, height: int = 720, **settings):
        self.context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.context.route("**/*", self._route)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def _route(self, route):
        if route.request.url.startswith(("file:", "data:", "blob:", "about:")):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def open(self, path: Path):
        self.page.goto(path.as_uri())
        return self.page
