"""`run_notebooks` on small notebooks: one that runs, ones that fail, ones that hide an error."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from gholm_kit.pages import execute
from gholm_kit.pages.execute import run_notebooks, swallowed_errors
from gholm_lib.paths import project_root

ROOT = project_root()

HIDDEN_IN_WIDGET = """
import ipywidgets
out = ipywidgets.Output()
with out:
    raise ValueError("nobody sees me")
out
"""
WAKING = """
import nbclient.client
from gholm_kit.pages.execute import WakingOutput
nbclient.client.OutputWidget = WakingOutput
"""
HIDDEN_IN_INTERACT = """
import ipywidgets
def render(x):
    raise KeyError("lost")
ipywidgets.interact(render, x=1);
"""
HIDDEN_IN_OUTPUT = """
try:
    raise RuntimeError("caught, but shown")
except RuntimeError:
    get_ipython().showtraceback()
"""


def write(folder: Path, name: str, *cells: str, tags: tuple[str, ...] = ()) -> Path:
    """A notebook with a heading and these code cells, the tags on the last one."""
    code = [nbformat.v4.new_code_cell(source.strip()) for source in cells]
    code[-1].metadata["tags"] = list(tags)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {name}"), *code])
    path = folder / f"{name}.ipynb"
    nbformat.write(book, path)
    return path


def test_all_kinds_in_one_run(tmp_path, capsys, monkeypatch):
    """One fails, the next ones run all the same; each is reported for what it is."""
    monkeypatch.delenv("GHOLM_MODE", raising=False)
    folder = tmp_path / "with a space"
    folder.mkdir()
    good = write(
        folder,
        "good",
        "import os, sys; print(os.environ['GHOLM_MODE'], os.getcwd(), sys.executable)",
    )
    bad = write(folder, "bad", "x = 1", "y = 0\nx / y", "print('never')")
    hidden = write(folder, "hidden", HIDDEN_IN_WIDGET)
    shown = write(folder, "shown", HIDDEN_IN_OUTPUT)
    before = good.read_bytes()
    out = tmp_path / "out"

    results = run_notebooks([good, bad, hidden, str(shown)], out=out)

    assert [r.ok for r in results] == [True, False, False, False]
    assert [r.path for r in results] == [good, bad, hidden, shown]
    assert results[0].error is None
    assert "cell 3 failed" in results[1].error
    assert "| x / y" in results[1].error
    assert "ZeroDivisionError: division by zero" in results[1].error
    assert "\x1b" not in results[1].error
    assert "output widget: ValueError: nobody sees me" in results[2].error
    assert "cell 2: RuntimeError: caught, but shown" in results[3].error

    assert good.read_bytes() == before
    printed = nbformat.read(results[0].executed, as_version=4).cells[1].outputs[0].text
    assert printed.split("\n")[0] == f"quick {folder} {sys.executable}"
    for result in results:
        assert result.executed == out / result.path.name
        assert result.html.read_text(encoding="utf-8").lstrip().startswith("<!DOCTYPE html>")
    stopped = nbformat.read(results[1].executed, as_version=4).cells
    assert stopped[2].outputs[0].ename == "ZeroDivisionError"
    assert stopped[3].outputs == []

    text = capsys.readouterr().out
    assert re.search(r"^\[1/4\] good   \.\.\. +\d+\.\d s  ok$", text, re.MULTILINE)
    assert re.search(r"^\[2/4\] bad    \.\.\. +\d+\.\d s  FAILED$", text, re.MULTILINE)
    assert f"1 of 4 notebooks ran; copies in {out}" in text
    assert "failed: bad.ipynb, hidden.ipynb, shown.ipynb" in text


def test_interact_and_planned_errors(tmp_path, monkeypatch):
    """A callback of `interact` that raises is found; a cell that is meant to raise is not."""
    monkeypatch.setenv("GHOLM_MODE", "full")
    interact = write(tmp_path, "interact", HIDDEN_IN_INTERACT)
    planned = write(
        tmp_path,
        "planned",
        "import os; assert os.environ['GHOLM_MODE'] == 'full'",
        "raise NotImplementedError",
        tags=("raises-exception",),
    )
    first, second = run_notebooks([interact, planned], out=tmp_path / "out", html=False)
    assert "output widget: KeyError: 'lost'" in first.error
    assert second.ok, second.error
    assert first.html is None
    assert not list((tmp_path / "out").glob("*.html"))


def test_time_limit_and_dead_kernel(tmp_path):
    """Both end that notebook only, and name the cell."""
    slow = write(tmp_path, "slow", "import time; time.sleep(60)")
    book = nbformat.read(slow, as_version=4)
    book.metadata["execution"] = {"timeout": 1}
    nbformat.write(book, slow)
    dead = write(tmp_path, "dead", "import os; os._exit(1)")
    first, second = run_notebooks([slow, dead], out=tmp_path / "out", html=False)
    assert "cell 2 failed" in first.error
    assert "no answer in 1 seconds" in first.error
    assert "cell 2 failed" in second.error
    assert "kernel died" in second.error


def test_broken_file_leaves_no_old_copy(tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    for suffix in ("ipynb", "html"):
        (out / f"broken.{suffix}").write_text("from an earlier run")
    broken = tmp_path / "broken.ipynb"
    broken.write_text('{"cells": [')
    (result,) = run_notebooks([broken], out=out)
    assert "not a readable notebook" in result.error
    assert not list(out.iterdir())
    assert "FAILED" in capsys.readouterr().out


def test_default_paths(tmp_path, monkeypatch):
    """Without paths: the notebooks of the project in order, into its build folder."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(execute, "project_root", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no notebook \(\*\.ipynb\) in .*notebooks"):
        run_notebooks()
    for name in ("01_b", "00_a"):
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text("{")
    results = run_notebooks()
    assert [r.path.stem for r in results] == ["00_a", "01_b"]
    assert results[0].executed.parent == tmp_path / "build" / "notebooks"


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.ipynb: give the path"):
        run_notebooks([tmp_path / "absent.ipynb"], out=tmp_path)
    with pytest.raises(FileNotFoundError, match="name at least one"):
        run_notebooks([], out=tmp_path)


def test_swallowed_errors_of_a_notebook_that_never_ran(tmp_path):
    book = nbformat.read(write(tmp_path, "fresh", "1 / 0"), as_version=4)
    assert swallowed_errors(book) == []


def test_nbmake_sees_a_swallowed_error(tmp_path):
    """nbmake alone passes this notebook; with the hook of tests/conftest.py it fails."""
    write(tmp_path, "test_hidden", HIDDEN_IN_WIDGET)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "--nbmake", "-q", "-p", "no:cacheprovider", "."]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}

    def run() -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
        )

    (tmp_path / "conftest.py").write_text(WAKING)
    alone = run()
    assert alone.returncode == 0, alone.stdout
    source = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    (tmp_path / "conftest.py").write_text(source, encoding="utf-8")
    hooked = run()
    assert hooked.returncode == 1, hooked.stdout
    assert "ValueError: nobody sees me" in hooked.stdout


@pytest.fixture
def foreign_kernel(tmp_path, monkeypatch):
    """A kernel called python3 in the home folder, of which only an error comes."""
    spec = tmp_path / "home" / "kernels" / "python3"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-c", "raise SystemExit(3)", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "foreign", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.delenv("JUPYTER_PREFER_ENV_PATH", raising=False)


def test_the_kernel_is_the_environments_own(tmp_path, foreign_kernel, monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    book = write(
        tmp_path, "own", "import os, sys; print(sys.executable, os.environ['OMP_WAIT_POLICY'], sep='\\n')"
    )
    (result,) = run_notebooks([book], out=tmp_path / "out", html=False)
    assert result.ok, result.error
    printed = nbformat.read(result.executed, as_version=4).cells[1].outputs[0].text
    assert printed.splitlines() == [sys.executable, "PASSIVE"]


def test_a_kernel_that_does_not_start_is_one_message(tmp_path, foreign_kernel, monkeypatch):
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    books = [write(tmp_path, name, "1") for name in ("first", "second")]
    command = [sys.executable, "-m", "gholm_kit", "notebooks", "run", *books, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    printed = done.stdout + done.stderr
    assert done.returncode == 1
    assert printed.count("the kernel did not start: ") == 2
    assert "0 of 2 notebooks ran" in printed
    assert "Traceback" not in printed


def test_a_page_has_its_style_before_the_run_ends(tmp_path):
    site = execute.Site(tmp_path / "out", [write(tmp_path, "page", "1")], tmp_path)
    site.write(tmp_path / "page.ipynb", nbformat.read(tmp_path / "page.ipynb", as_version=4))
    assert (tmp_path / "out" / "assets" / "page.css").is_file()
