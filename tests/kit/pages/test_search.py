"""What the search of the pages can find, and what it must not give away."""

import json

import pytest

from gholm_kit.pages.deck import Decks
from gholm_kit.pages.search import Section, sections
from gholm_kit.pages.site import Site
from tests.browser.pages import small_project, write_pages

HTML = """<nav>All chapters</nav><main><h1 id="top">The <em>top</em></h1><p>One.</p><p>Two &lt;b&gt;.</p>
<details class="solution"><div><details>inner</details></div>secret</details>
<h2 id="eq">Equation</h2><math><mi>x</mi></math><pre>net.heatmap(<span>images</span>)</pre></main>"""


def test_a_section_is_a_heading_and_its_text():
    assert sections(HTML, "a.html", "A") == [
        Section("a.html", "A", "top", "The top", "One. Two <b>."),
        Section("a.html", "A", "eq", "Equation", "net.heatmap(images)"),
    ]


@pytest.mark.parametrize(("kind", "there"), [(Site, True), (Decks, False)])
def test_pages_have_an_index_and_decks_none(kind, there, tmp_path):
    folder = write_pages(kind, tmp_path / "out", small_project(tmp_path / "project"), tmp_path / "project")
    path = folder / "assets" / "search-index.js"
    assert path.is_file() == there
    assert ("search.js" in (folder / "index.html").read_text(encoding="utf-8")) == there
    if there:
        index = json.loads(path.read_text(encoding="utf-8").partition(" = ")[2].rstrip(";\n"))
        assert {page for page, *_ in index} >= {"00_small.html", "01_other.html", "README.html"}
        text = " ".join(text for *_, text in index)
        assert "do they decide" not in text  # the headings are told apart from the text
        assert "the_solution" not in text
        assert "line 59" in text
