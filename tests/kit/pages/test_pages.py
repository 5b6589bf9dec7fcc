"""Pages and decks as files: what is in them, where their links lead, and when a notebook has to run again."""

import json
import re
import shutil

import nbformat
import pytest
from PIL import Image

from gholm_kit.pages import execute
from gholm_kit.pages.deck import Decks, stage
from gholm_kit.pages.execute import publish, with_outputs
from gholm_kit.pages.render import mathml, script_json, slug, tidied, write_assets
from gholm_kit.pages.site import DOCUMENTS, Site, chapter
from tests.browser.pages import (
    NOTEBOOKS,
    ROOT,
    Page,
    broken_links,
    small_book,
    small_project,
    text,
    write_pages,
)


@pytest.fixture
def project(tmp_path):
    return tmp_path / "a project", small_project(tmp_path / "a project")


def made(kind, project, folder):
    root, paths = project
    return write_pages(kind, folder, paths, root)


@pytest.mark.parametrize(
    "latex", [r"\frac{a}{b}", r"x \tag{3}", r"\begin{cases} 1 & x > \mu \\ 0 \end{cases}"]
)
def test_equations_become_mathml(latex):
    html = mathml(latex, display=True)
    assert html.startswith('<math display="block">')
    assert "\\" not in html


def test_an_equation_that_cannot_be_shown_is_quoted():
    with pytest.raises(ValueError, match=r"cannot be shown: \\nosuchthing x"):
        mathml(r"\nosuchthing x")


def test_no_text_closes_the_script_that_holds_it():
    classes = ["</script><b>", "<!--", '红 & "quoted"']
    written = script_json(classes)
    assert "<" not in written
    assert json.loads(written) == classes


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_chapter_has_pages_without_being_run(path, tmp_path):
    """Each equation can be shown, each local link of a chapter leads to a page, and its top cell says what it is."""
    for kind in (Site, Decks):
        site = kind(tmp_path / kind.__name__, NOTEBOOKS, ROOT)
        html = site.write(path, nbformat.read(path, as_version=4)).read_text(encoding="utf-8")
        assert "$$" not in html
        assert html.count("<section") == html.count("</section>")
    about = site.chapters[path]
    assert about.number == path.stem[:2]
    assert about.question.endswith("?")
    assert about.time


def test_the_top_cell_says_what_a_chapter_is(project):
    _, paths = project
    first, second = (chapter(path, nbformat.read(path, as_version=4)) for path in paths)
    assert (first.number, first.title, first.question) == ("00", "Small things", "Do they decide?")
    assert first.time == "about a minute on a laptop CPU"
    assert (second.title, second.question, second.time) == ("Other", "", "")


def test_heading_ids():
    assert slug("The problem (Figure 1)") == slug("The-problem-(Figure-1)") == "the-problem-figure-1"
    assert slug("热图 heat") == "热图-heat"


@pytest.mark.parametrize("kind", [Site, Decks])
def test_links_lead_somewhere_and_nothing_is_fetched(kind, project, tmp_path):
    folder = made(kind, project, tmp_path / "out")
    assert broken_links(folder) == []
    for path in folder.glob("*.html"):
        page = Page(path)
        assert [link for link in page.loaded if not re.match(r"data:|assets/", link)] == []
        assert all(page.pictures), path
    page = (folder / "00_small.html").read_text(encoding="utf-8")
    assert '<a href="01_other.html#the-other-heading">other</a>' in page
    assert '<a href="https://example.org/a">web</a>' in page
    assert ">gone<" not in page  # there is no such notebook: words, but no link
    assert ">folder<" not in page
    assert "http" not in page.replace("https://example.org/a", "").replace("http://www.w3.org", "")


def test_the_link_check_finds_what_is_broken(project, tmp_path):
    folder = made(Site, project, tmp_path / "out")
    page = folder / "00_small.html"
    page.write_text(
        page.read_text().replace("#the-other-heading", "#nowhere").replace("page.css", "gone.css")
    )
    assert broken_links(folder) == ["00_small.html: assets/gone.css", "00_small.html: 01_other.html#nowhere"]


def test_pages_of_documents_and_copies_of_files(project, tmp_path):
    folder = made(Site, project, tmp_path / "out")
    assert (folder / "files" / "gholm_lib" / "model.py").read_text() == "model = 1\n"
    front = (folder / "README.html").read_text()
    assert '<a href="00_small.html#what-we-saw">start</a>' in front
    assert '<a href="data-NOTE.html#a-note">more</a>' in front
    assert '<a href="README.html">back</a>' in (folder / "data-NOTE.html").read_text()


def test_a_link_out_of_the_project_is_not_followed(project, tmp_path):
    _, paths = project
    (tmp_path / "private.txt").write_text("secret")
    nbformat.write(nbformat.v4.new_notebook(cells=[text("# A\n\n[x](../../private.txt)")]), paths[1])
    folder = made(Site, project, tmp_path / "out")
    assert "private" not in (folder / "01_other.html").read_text()
    assert not list(folder.rglob("private.txt"))


def test_a_picture_of_another_folder_goes_along(project, tmp_path):
    root, _ = project
    Image.new("RGB", (3, 3)).save(root / "figures" / "one.png")
    (root / "data" / "NOTE.md").write_text("# Note\n\n## A note\n\n![a figure](../figures/one.png)\n")
    folder = made(Site, project, tmp_path / "out")
    assert 'src="files/figures/one.png"' in (folder / "data-NOTE.html").read_text(encoding="utf-8")
    assert (folder / "files" / "figures" / "one.png").is_file()


def test_a_page(project, tmp_path):
    folder = made(Site, project, tmp_path / "out")
    page = (folder / "00_small.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert '<a href="01_other.html" rel="next">Other →</a>' in page
    assert 'rel="prev"' in (folder / "01_other.html").read_text(encoding="utf-8")
    solution = re.search(
        r'<details class="solution"><summary>A solution</summary>(.*?)</details>', page, re.DOTALL
    )
    assert "the_solution" in solution[1]
    assert page.count("the_solution") == 1
    assert re.search(r"For the instructor</summary>\s*<p>Ask the room", page)
    assert 'alt="six squares"' in page
    assert page.count("Here the notebook shows controls") == 1  # the panel; the progress bar goes
    assert page.count("<math") == 6
    assert '<pre class="output">30 %</pre>' in page
    assert "one\ntwo" in page
    index = (folder / "index.html").read_text(encoding="utf-8")
    row = index.split('<a href="00_small.html">00 · Small things</a>')[1].split("</tr>")[0]
    assert "<td>Do they decide?</td>" in row
    assert "<td>about a minute on a laptop CPU</td>" in row


def test_code_can_be_read_on_paper_and_in_the_dark(tmp_path):
    """Every colour of code has at least 4.5 : 1 on its ground (WCAG 2.2, criterion 1.4.3)."""
    write_assets(tmp_path, "page.css")
    code, page = (tmp_path / f"{name}.css" for name in ("code", "page"))
    light, dark = re.findall(r"--tint: (#[0-9a-f]{6})", page.read_text(encoding="utf-8"))
    rules = re.findall(r"^(.*?\.highlight \.\w+) \{ (.*?) \}", code.read_text(encoding="utf-8"), re.MULTILINE)
    pale, seen = [], 0
    for name, style in rules:
        colour = re.search(r"(?<!-)color: (#[0-9A-Fa-f]{6})", style)
        if colour and "background" not in style and not name.endswith(".w"):  # white space
            seen += 1
            ratio = contrast(colour[1], dark if "dark" in name else light)
            pale += [(name, colour[1], ratio)] if ratio < 4.5 else []
    assert pale == []
    assert seen > 40


def contrast(one, other):
    """The ratio of two colours, #rrggbb, as WCAG defines it."""
    values = []
    for colour in (one, other):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        values.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(values) + 0.05) / (min(values) + 0.05)


def test_a_deck(project, tmp_path):
    folder = made(Decks, project, tmp_path / "out")
    deck = (folder / "00_small.html").read_text(encoding="utf-8")
    for left_out in (
        "secret_plumbing",
        "set up",
        "DATASET",
        "checks.f",
        "Right.",
        "warned",
        "draw()",
        "sliders.panel",
    ):
        assert left_out not in deck, left_out
    assert "skipped_on_slides" not in deck
    assert "NotImplementedError" in deck  # the stub stays
    assert "train" in deck  # a progress bar is no widget
    assert "ZeroDivisionError: division" in deck
    assert "line 21" in deck
    assert "line 22" not in deck
    assert re.search(r'<aside class="notes"><p>Ask the room first.</p>\s*</aside>', deck)
    assert '<div class="fragment"><p>with' in deck
    solution = re.search(r"<aside class=\"notes\"><p data-minutes=\"\d+\">(.*?)</aside>", deck, re.DOTALL)[1]
    assert "the_solution" in solution
    assert deck.count("the_solution") == 1
    assert '<aside class="notes"><p><strong>The picture.</strong> six squares</p>' in deck
    assert "<h1>Small things</h1>" in deck
    assert sorted(path.name for path in (folder / "assets").glob("*.js")) == [
        "deck.js",
        "notes.js",
        "page.js",  # for the list of decks
        "reveal.js",
        "sliders.js",
    ]


def test_a_left_out_cell_hands_its_slide_on():
    book = small_book()
    book.cells[2].metadata["slideshow"] = {"slide_type": "slide"}  # plumbing, that shows nothing
    book.cells[3].metadata["slideshow"] = {"slide_type": "-"}
    assert stage(book).cells[1].metadata["place"]["open"].endswith("<section><section>")


def test_rendering_leaves_the_notebook_alone():
    book = small_book()
    before = nbformat.writes(book)
    tidied(stage(book))
    assert nbformat.writes(book) == before


def test_a_missing_package_is_named(project, tmp_path, monkeypatch):
    monkeypatch.setattr("gholm_kit.pages.render.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="ziamath is not installed"):
        made(Site, project, tmp_path / "out")


def api_stand_in(folder):
    """For `write_api`, which takes long and has tests of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text("reference")


@pytest.fixture
def live(tmp_path, monkeypatch):
    """A project of one notebook that can be run and a library of one line, as what the commands see."""
    for name in ("notebooks", "gholm_lib", "gholm_kit"):
        (tmp_path / name).mkdir()
    (tmp_path / "gholm_lib" / "model.py").write_text("layers = 1\n")
    monkeypatch.setattr(execute, "project_root", lambda: tmp_path)
    monkeypatch.setattr(execute, "write_api", api_stand_in)
    path = tmp_path / "notebooks" / "00_live.ipynb"
    cells = [text("# 00 · Live: does it run?"), nbformat.v4.new_code_cell("print(6 * 7)")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return tmp_path, path


def change(path, number, source):
    book = nbformat.read(path, as_version=4)
    book.cells[number].source = source
    nbformat.write(book, path)


def test_notebooks_run_only_when_their_code_changed(live, capsys):
    root, path = live
    page = root / "build" / "html" / "00_live.html"

    def ran(kind="html") -> bool:
        assert publish(kind) == []
        return "1 of 1 executed copies are up to date" not in capsys.readouterr().out

    assert ran()
    assert '<pre class="output">42</pre>' in page.read_text(encoding="utf-8")
    assert not ran("slides")
    assert (root / "build" / "slides" / "index.html").is_file()
    change(path, 0, "# 00 · Alive: does it run?")
    assert not ran()
    assert "Alive" in page.read_text(encoding="utf-8")  # new prose with the outputs kept
    change(path, 1, "print(6 * 8)")
    assert ran()
    assert '<pre class="output">48</pre>' in page.read_text(encoding="utf-8")
    (root / "gholm_lib" / "model.py").write_text("layers = 2\n")
    assert ran()
    records = root / "data" / "records"
    records.mkdir(parents=True)
    (records / "record.json").write_text("{}")
    assert ran()


def test_the_index_leads_to_documents_and_reference_where_they_are(live):
    root, path = live
    publish("html", [path])
    index = root / "build" / "html" / "index.html"
    assert "<li>" not in index.read_text(encoding="utf-8")
    (root / "docs").mkdir()
    (root / "docs" / "results.md").write_text("# Results\n")
    publish("html")
    assert broken_links(index.parent) == []
    links = re.findall(r'<li><a href="([^"]+)"', index.read_text(encoding="utf-8"))
    assert links == ["docs-results.html", "api/index.html"]
    publish("slides")
    assert "api/index.html" not in (root / "build" / "slides" / "index.html").read_text(encoding="utf-8")


def test_every_document_of_the_index_is_there():
    assert [path for path in DOCUMENTS if not (ROOT / path).is_file()] == []


def test_a_notebook_that_fails_is_shown_and_runs_again(live, capsys):
    root, path = live
    change(path, 1, "print('before')\n1 / 0")
    for _ in range(2):
        (failed,) = publish("html")
        assert "ZeroDivisionError" in failed.error
        assert "0 of 1 executed copies are up to date" in capsys.readouterr().out
    page = (root / "build" / "html" / "00_live.html").read_text(encoding="utf-8")
    assert "before" in page
    assert "ZeroDivisionError" in page


def test_a_notebook_that_was_edited_meanwhile(live, tmp_path):
    _, path = live
    copy = shutil.copy(path, tmp_path / "copy.ipynb")
    book = nbformat.read(path, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell("1"))
    nbformat.write(book, path)
    with pytest.raises(ValueError, match=r"00_live\.ipynb was edited while it ran"):
        with_outputs(path, copy)


def test_a_bad_equation_is_a_failure(live, capsys):
    _, path = live
    change(path, 0, "# 00 · Live\n\n$\\nosuchthing$")
    (failed,) = publish("slides")
    assert "00_live.ipynb: this equation cannot be shown: \\nosuchthing" in failed.error
    (result,) = execute.run_notebooks([path])
    assert "this equation cannot be shown" in result.error
    assert result.html is None


def test_an_unreadable_notebook_does_not_stop_the_others(live):
    root, path = live
    shutil.copy(path, path.with_name("01_live.ipynb"))
    path.write_text("{")
    (failed,) = publish("html")
    assert "not a readable notebook" in failed.error
    assert sorted(p.name for p in (root / "build" / "html").glob("*.html")) == ["01_live.html", "index.html"]
