"""What every committed notebook keeps to; see CONTRIBUTING.md."""

import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LONGEST_CELL = 18
BANNED = {
    r"\bsys\.path\b": "sys.path: install the package instead",
    r"(?<![\w.:/~}])/(home|root|Users|tmp|mnt|opt|work|content)/": "an absolute path",
    r"\b[A-Za-z]:\\\\?\w": "an absolute Windows path",
    r"[\"'(]\.\.[/\\]": "a relative path out of the folder: use the library's functions",
}


def problems(book: nbformat.NotebookNode) -> list[str]:
    """Every rule that the notebook breaks, in words; empty when it keeps to all."""
    found = []
    if book.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("kernelspec is not python3")
    if "allow_errors" in book.metadata.get("execution", {}) or "allow_errors" in str(book.metadata):
        found.append("allow_errors is set: tag the one cell raises-exception")
    if "widgets" in book.metadata:
        found.append("widget state is saved")
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    if not code or "parameters" not in code[0].metadata.get("tags", []):
        found.append("the first code cell is not tagged parameters")
    for number, cell in enumerate(book.cells, 1):
        found += [f"cell {number}: {problem}" for problem in cell_problems(cell)]
    return found + frame_problems(book.cells)


def cell_problems(cell: nbformat.NotebookNode) -> list[str]:
    """The rules for one cell."""
    if cell.cell_type != "code":
        return []
    found = [why for pattern, why in BANNED.items() if re.search(pattern, cell.source)]
    if cell.outputs or cell.execution_count is not None:
        found.append("has outputs or an execution count: run nbstripout")
    if len(cell.source.splitlines()) > LONGEST_CELL:
        found.append(f"{len(cell.source.splitlines())} lines, at most {LONGEST_CELL}")
    hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
    if "solution" in cell.metadata.get("tags", []) and hidden is not True:
        found.append("a solution must be folded: metadata jupyter.source_hidden = true")
    return found


def frame_problems(cells: list[nbformat.NotebookNode]) -> list[str]:
    """The top asks a question under a title, the bottom says where to go on."""
    found = []
    top = cells[0] if cells else nbformat.v4.new_code_cell()
    if top.cell_type != "markdown" or not top.source.startswith("# ") or "?" not in top.source:
        found.append("the first cell is not a title with the question")
    if not cells or cells[-1].cell_type != "markdown" or "](" not in cells[-1].source:
        found.append("the last cell has no links to what comes next")
    return found


def model_notebook() -> nbformat.NotebookNode:
    """A notebook that breaks no rule."""
    v4 = nbformat.v4
    cells = [
        v4.new_markdown_cell("# Why crop?\n\nTwo minutes on a laptop CPU."),
        v4.new_code_cell("SEED = 0", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("ratio = 6 / 2  # 'a/b' and https://x.org/home/ are no paths"),
        v4.new_code_cell("answer = 2", metadata={"tags": ["solution"], "jupyter": {"source_hidden": True}}),
        v4.new_markdown_cell("Next: [the heatmap](01_heatmap.ipynb)"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def test_there_are_notebooks():
    """Without this the tests below would pass on an empty folder."""
    assert NOTEBOOKS, f"no notebook in {FOLDER}"
    assert NOTEBOOKS[0].name == "00_start_here.ipynb"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_to_the_rules(path):
    book = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(book)
    assert (book.nbformat, book.nbformat_minor >= 5) == (4, True), "save it as nbformat 4.5"
    assert problems(book) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_between_notebooks_lead_somewhere(path):
    book = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)", text)]
    local = [link for link in links if link and not re.match(r"\w+:", link)]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_the_rules_let_a_good_notebook_pass():
    nbformat.validate(model_notebook())
    assert problems(model_notebook()) == []


def _break(change):
    book = model_notebook()
    change(book)
    return problems(book)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda b: b.metadata.kernelspec.update(name="py311"), "kernelspec"),
        (lambda b: b.metadata.update(execution={"allow_errors": True}), "allow_errors"),
        (lambda b: b.metadata.update(widgets={}), "widget state"),
        (lambda b: b.cells[1].metadata.update(tags=[]), "not tagged parameters"),
        (lambda b: b.cells[2].update(source="import sys\nsys.path.append('x')"), "sys.path"),
        (lambda b: b.cells[2].update(source="open('/home/me/x.png')"), "an absolute path"),
        (lambda b: b.cells[2].update(source=r"open('C:\\data\\x.png')"), "Windows path"),
        (lambda b: b.cells[2].update(source="open('../data/x.png')"), "relative path"),
        (lambda b: b.cells[2].update(execution_count=3), "nbstripout"),
        (lambda b: b.cells[2].outputs.append({"output_type": "stream"}), "nbstripout"),
        (lambda b: b.cells[2].update(source="x = 1\n" * 19), "19 lines, at most 18"),
        (lambda b: b.cells[3].metadata.pop("jupyter"), "a solution must be folded"),
        (lambda b: b.cells[0].update(source="# Crop\n\nThe crop."), "question"),
        (lambda b: b.cells[-1].update(source="The end."), "no links"),
        (lambda b: b.cells.clear(), "no links"),
    ],
)
def test_each_rule_finds_its_breach(change, expected):
    assert any(expected in problem for problem in _break(change))
