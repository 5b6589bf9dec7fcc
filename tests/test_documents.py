"""The documents say what the code is: files, import order, messages, names, links."""

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import gholm_lib
from gholm_kit.pages.render import slug
from tests.test_architecture import ROOMS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("benchmarks/results/*.md")}
    - {*ROOT.glob("build/*.md"), *ROOT.glob("runs/*.md")}
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    level = heading.split(" ")[0]
    after = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(level)}}} ", after, maxsplit=1, flags=re.M)[0]


# ---------------------------------------------------------------------- architecture.md


@cache
def lib_rows() -> dict[str, int]:
    """The table of gholm_lib: file → number of lines, in order."""
    table = section(read("docs/architecture.md"), "### gholm_lib")
    rows = re.findall(r"^\| \[`([^`]+)`\]\(\.\./gholm_lib/([^)]+)\) \| (\d+) \|", table, re.M)
    assert all(name == target for name, target, _ in rows)
    return {name: int(lines) for name, _, lines in rows}


@cache
def kit_rows() -> list[str]:
    """The parts of gholm_kit, in order."""
    return re.findall(r"^\| `([\w./]+)` \|", section(read("docs/architecture.md"), "### gholm_kit"), re.M)


def test_every_file_of_gholm_lib_is_in_the_table():
    folder = ROOT / "gholm_lib"
    files = {f.relative_to(folder).as_posix() for f in folder.rglob("*.py") if f.name != "__init__.py"}
    assert set(lib_rows()) == files


@pytest.mark.parametrize("name", list(lib_rows()))
def test_the_number_of_lines_is_about_right(name):
    lines = len(read(f"gholm_lib/{name}").splitlines())
    assert abs(lines - lib_rows()[name]) <= max(30, lines / 3), f"gholm_lib/{name} has {lines} lines"


def test_every_part_of_gholm_kit_is_in_the_table():
    parts = {p.name + "/" * p.is_dir() for p in (ROOT / "gholm_kit").iterdir()}
    assert set(kit_rows()) == parts - {"__init__.py", "__pycache__/"}


def imported(path: Path, package: str) -> set[str]:
    """The modules of `package` that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {
                n if (ROOT / n.replace(".", "/")).with_suffix(".py").is_file() else node.module for n in names
            }
    return {name for name in found if name.split(".")[0] == package}


@pytest.mark.parametrize("name", list(lib_rows()))
def test_a_file_of_gholm_lib_imports_only_what_is_above_it(name):
    order = list(lib_rows())
    above = {f"gholm_lib/{row}".removesuffix(".py").replace("/", ".") for row in order[: order.index(name)]}
    if not name.startswith("datasets/") and any(row.startswith("gholm_lib.datasets") for row in above):
        above.add("gholm_lib.datasets")
    assert imported(ROOT / "gholm_lib" / name, "gholm_lib") - {"gholm_lib"} <= above


def test_a_part_of_gholm_kit_may_import_only_what_is_above_it():
    names = [row.removesuffix(".py").rstrip("/") for row in kit_rows()]
    for place, name in enumerate(names):
        assert ROOMS[name] <= set(names[:place]), name


# ---------------------------------------------------------------------- README.md


def test_the_functions_of_the_equations_are_in_their_files():
    rows = re.findall(r"^\| .*\| (.+) \| \[`(\w+)\.py`\]\(gholm_lib/\2\.py\) \|$", read("README.md"), re.M)
    assert len(rows) == 8
    for functions, file in rows:
        for name in re.findall(r"`\.?(\w+)", functions):
            assert re.search(rf"^\s*(def|class) {name}\b", read(f"gholm_lib/{file}.py"), re.M), (file, name)


# ---------------------------------------------------------------------- troubleshooting.md


def _text(node: ast.AST) -> str:
    """A string as it is printed, with … for what is filled in; empty for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{[^{}]*\}", "…", node.value)
    if isinstance(node, ast.FormattedValue):
        return "'…'" if node.conversion == ord("r") else "…"
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    return ""


@cache
def printed() -> list[str]:
    """Every text that code, Makefile and browser tests can print."""
    files = [
        f for folder in ("gholm_lib", "gholm_kit", "tests/browser") for f in (ROOT / folder).rglob("*.py")
    ]
    trees = [ast.walk(ast.parse(f.read_text(encoding="utf-8"))) for f in files]
    texts = [_text(node) for tree in trees for node in tree] + read("Makefile").replace(
        "$(PYTHON)", "…"
    ).splitlines()
    return [t for t in texts if t]


MESSAGES = re.findall(r"^### `(.+)`$", read("docs/troubleshooting.md"), re.M)


def test_there_are_messages():
    assert len(MESSAGES) >= 15
    assert len(MESSAGES) == read("docs/troubleshooting.md").count("\n### ")


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_that_is_printed(message):
    pieces = [re.escape(p.strip()) for p in message.split("…") if p.strip()]
    pattern = re.compile(r"[^\n]*?".join(pieces))
    assert any(pattern.search(text) for text in printed()), message


# ---------------------------------------------------------------------- CHANGELOG.md


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", read("CHANGELOG.md"), re.M)
    assert versions[0] == gholm_lib.__version__
    assert versions == sorted(versions, key=lambda v: [int(n) for n in v.split(".")], reverse=True)


def test_moved_names_are_where_the_changelog_says():
    rows = re.findall(r"^\| `(gholm_lib[\w.]*)` \| (.+) \|$", read("CHANGELOG.md"), re.M)
    assert len(rows) >= 20
    for old, new in rows:
        for name in re.findall(r"`(gholm_\w+[\w.]*)`", new):
            assert find_spec(name), f"{old} has become {name}, which is not there"
        assert re.search(r"`gholm_\w+", new), old


# ---------------------------------------------------------------------- links


def test_there_are_documents():
    names = {p.relative_to(ROOT).as_posix() for p in DOCUMENTS}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/results.md", "data/README.md"} <= names


def headings(path: Path) -> set[str]:
    return {
        slug(re.sub(r"[`*]", "", h)) for h in re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_a_document_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, fragment = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if re.match(r"\w+:", link):
            continue
        if not target.exists() or (fragment and target.suffix == ".md" and fragment not in headings(target)):
            broken.append(link)
    assert broken == []


# ---------------------------------------------------------------------- GitHub


def test_the_workflow_runs_the_two_commands():
    workflow = yaml.safe_load(read(".github/workflows/test.yml"))
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.10", "3.12"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert [c for c in commands if c.startswith("make ")] == [
        "make reproduce",
        "make test",
        "make test-slow",
    ]
    assert "chromium" in commands[0]


def test_a_report_comes_with_what_doctor_says_and_the_chapter():
    form = yaml.safe_load(read(".github/ISSUE_TEMPLATE/problem.yml"))
    asked = {field["id"]: field for field in form["body"] if "id" in field}
    assert "gholm doctor" in asked["doctor"]["attributes"]["description"]
    assert asked["doctor"]["validations"]["required"]
    chapters = {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert chapters == set(asked["chapter"]["attributes"]["options"]) - {"none: a command, or the library"}
