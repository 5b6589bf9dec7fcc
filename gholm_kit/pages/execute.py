"""Run the notebooks, and make pages and slides of them: `gholm notebooks run`, `html`, `slides` and `slides-pdf`.

nbclient executes; errors that a widget swallowed are looked for. An executed copy is used again as long as the code
of its notebook and of the library is what it was made with.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nbformat
import zmq
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.output_widget import OutputWidget

from gholm_kit.pages.api import write_api
from gholm_kit.pages.deck import Decks
from gholm_kit.pages.printed import print_pdf
from gholm_kit.pages.site import Site
from gholm_lib.paths import project_root

CELL_SECONDS = 600  # per cell, in quick mode; notebook metadata `execution.timeout` overrides it
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
_KERNEL_HELP = "`jupyter kernelspec list` shows the kernels; python3 must be the one of this environment"
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class WakingOutput(OutputWidget):
    """nbclient's Output widget, which answers the kernel on the channel whose next message is being waited for.

    The answer may use up the signal that this message has come, and the notebook waits for ever (nbclient's
    issue 312: one start in thirty on a busy machine). Asking the socket for its events schedules what is there.
    """

    def send(self, *args: Any, **kwargs: Any) -> None:
        """Send a comm message, then look what has come."""
        super().send(*args, **kwargs)
        self.kernel_client.shell_channel.socket.get(zmq.EVENTS)


@dataclass(frozen=True)
class NotebookResult:
    """What became of one notebook.

    Args:
        path: the notebook that was run; it is not changed.
        seconds: wall time, kernel start included.
        error: why it failed, several lines; None when every cell ran.
        executed: the executed copy, written also after a failure.
        html: the same as a web page with its images inside; None when none was asked for or could be made.
    """

    path: Path
    seconds: float
    error: str | None
    executed: Path
    html: Path | None

    @property
    def ok(self) -> bool:
        """True when every cell ran and no widget swallowed an error."""
        return self.error is None


def run_notebooks(
    paths: Iterable[str | Path] | None = None, out: str | Path | None = None, html: bool = True
) -> list[NotebookResult]:
    """Execute notebooks one after the other, with a line of progress for each.

    A notebook runs in its own folder, in a fresh `python3` kernel, with GHOLM_MODE=quick unless
    the environment says otherwise. One that fails is reported and the next one starts.

    Args:
        paths: notebook files; None takes every `notebooks/*.ipynb` of the project, in order.
        out: folder for the executed copies and pages; None takes `build/notebooks`.
        html: also write a web page for each, and an index.

    Returns:
        One result for each notebook, in order; some may have failed, see `NotebookResult.ok`.

    Raises:
        FileNotFoundError: a path is not a file, or there is no notebook at all.
    """
    files = _find(paths)
    folder = Path(out).resolve() if out is not None else project_root() / "build" / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    site = Site(folder, files, project_root()) if html else None
    width = max(len(file.stem) for file in files)
    results = []
    for number, file in enumerate(files, 1):
        print(f"[{number}/{len(files)}] {file.stem:<{width}} ...", end="", flush=True)
        result = _run(file, folder, site)
        print(f" {result.seconds:6.1f} s  {'ok' if result.ok else 'FAILED'}", flush=True)
        if result.error:
            print("    " + result.error.replace("\n", "\n    "), flush=True)
        results.append(result)
    if site:
        site.finish()
    failed = [result.path.name for result in results if not result.ok]
    print(f"{len(files) - len(failed)} of {len(files)} notebooks ran; copies in {folder}")
    if failed:
        print("failed: " + ", ".join(failed))
    return results


def publish(
    kind: Literal["html", "slides", "slides-pdf"],
    paths: Iterable[str | Path] | None = None,
    out: str | Path | None = None,
    copies: str | Path | None = None,
) -> list[NotebookResult]:
    """Make web pages or slides of notebooks; those whose executed copy is missing or out of date run first.

    Args:
        kind: "html": pages with an index and, unless `paths` are given, the API reference; "slides": a deck for
            each, and a list of them; "slides-pdf": these, and each deck as a PDF beside it, by Chromium.
        paths: notebook files; None takes every `notebooks/*.ipynb` of the project, in order.
        out: folder to write to; None takes `build/html` or `build/slides`.
        copies: folder of the executed copies; None takes `build/notebooks`.

    Returns:
        The notebooks that failed, with the reason; of one that stopped, the page shows what there is.

    Raises:
        FileNotFoundError: a path is not a file, there is no notebook at all, or no Chromium for a PDF.
    """
    files, build = _find(paths), project_root() / "build"
    copies = Path(copies or build / "notebooks").resolve()
    folder = Path(out or build / kind.removesuffix("-pdf")).resolve()
    stale = [file for file in files if not up_to_date(file, copies / file.name)]
    print(f"{len(files) - len(stale)} of {len(files)} executed copies are up to date", flush=True)
    failed = [r for r in run_notebooks(stale, copies, html=False) if not r.ok] if stale else []
    site = (Site if kind == "html" else Decks)(folder, files, project_root())
    pages = []
    for file in site.chapters:
        try:
            pages.append(site.write(file, with_outputs(file, copies / file.name)))
        except ValueError as error:
            print(f"FAILED {error}")
            failed.append(NotebookResult(file, 0.0, str(error), copies / file.name, None))
    if kind == "html" and paths is None:  # pages of chosen notebooks come without the reference
        print("API reference, a page for each module ...", flush=True)
        write_api(folder / "api")
    index = site.finish()
    for page in pages if kind == "slides-pdf" else []:
        print(print_pdf(page, page.with_suffix(".pdf")), flush=True)
    if index:
        print(f"open {index} in a browser")
    return failed


def swallowed_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Errors of an executed notebook that did not stop it, as `where: ErrorName: message`.

    A widget callback that raises writes its traceback into an Output widget, and code that catches
    an exception may print IPython's traceback under the cell; in both cases the kernel answers
    "ok". A cell tagged `raises-exception` is meant to fail and does not count.
    """
    found = []
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code" and "raises-exception" not in cell.metadata.get("tags", []):
            found += [f"cell {number}: {message}" for message in _errors(cell.outputs)]
    widgets = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for model in widgets.values():
        if model.get("model_name") == "OutputModel":
            outputs = model.get("state", {}).get("outputs", [])
            found += [f"output widget: {message}" for message in _errors(outputs)]
    return found


def _errors(outputs: Iterable[dict]) -> list[str]:
    return [f"{o['ename']}: {o['evalue']}" for o in outputs if o.get("output_type") == "error"]


def _find(paths: Iterable[str | Path] | None) -> list[Path]:
    if paths is None:
        folder = project_root() / "notebooks"
        files = sorted(folder.glob("*.ipynb"))
        if not files:
            raise FileNotFoundError(f"no notebook (*.ipynb) in {folder}")
        return files
    files = [Path(path).resolve() for path in paths]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"no notebook at {file}: give the path of an .ipynb file")
    if not files:
        raise FileNotFoundError("the list of notebooks is empty: name at least one .ipynb file")
    return files


def _run(file: Path, folder: Path, site: Site | None) -> NotebookResult:
    start = time.perf_counter()
    executed, page = folder / file.name, None
    digest = code_digest(file)
    notebook, error = _execute(file)
    if notebook is None:  # not a notebook: nothing to keep, and no stale copy to mislead
        for old in (executed, executed.with_suffix(".html")):
            old.unlink(missing_ok=True)
        return NotebookResult(file, time.perf_counter() - start, error, executed, None)
    if error is None:
        keep_copy(notebook, executed, digest)
    else:
        nbformat.write(notebook, executed)
    if site:
        try:
            page = site.write(file, notebook)
        except ValueError as problem:
            error = error or str(problem)
    return NotebookResult(file, time.perf_counter() - start, error, executed, page)


def keep_copy(executed: nbformat.NotebookNode, copy: Path, digest: str) -> None:
    """Write an executed notebook without errors so that `publish` can use it; `digest` as it was when it started."""
    executed.metadata["gholm"] = {"code": digest}
    copy.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(executed, copy)


def code_digest(file: Path) -> str:
    """Stands for all that outputs come from: the notebook's code, the packages' files, the kept records."""
    try:
        cells = nbformat.read(file, as_version=4).cells
    except Exception:  # a broken file has no copy that could be up to date
        return ""
    digest = hashlib.sha256("\0".join(c.source for c in cells if c.cell_type == "code").encode())
    root = project_root()
    pages = root / "gholm_kit" / "pages"  # shows outputs, makes none
    used = [f for package in ("gholm_lib", "gholm_kit") for f in (root / package).rglob("*")]
    used = [f for f in used if f.suffix in (".py", ".json", ".safetensors") and pages not in f.parents]
    for path in sorted(used) + sorted((root / "data" / "records").rglob("*.*")):
        if path.is_file():
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def up_to_date(file: Path, copy: Path) -> bool:
    """True when `copy` ran without an error, with the code as it is now."""
    try:
        kept = nbformat.read(copy, as_version=4).metadata.get("gholm", {})
    except Exception:  # no copy, or a broken one
        return False
    return kept.get("code") == code_digest(file)


def with_outputs(file: Path, copy: Path) -> nbformat.NotebookNode:
    """The notebook as it is now, its prose too, with the outputs of its executed copy.

    Raises:
        ValueError: its cells changed since the copy was made.
    """
    notebook, executed = nbformat.read(file, as_version=4), nbformat.read(copy, as_version=4)
    code = [[cell for cell in book.cells if cell.cell_type == "code"] for book in (notebook, executed)]
    if len(code[0]) != len(code[1]):
        raise ValueError(f"{file.name} was edited while it ran: give the command again")
    for cell, ran in zip(*code, strict=True):
        cell.outputs = ran.outputs
    notebook.metadata = executed.metadata
    return notebook


def _execute(file: Path) -> tuple[nbformat.NotebookNode | None, str | None]:
    """The executed notebook, None when it cannot be read, and what went wrong, None if nothing."""
    try:
        notebook = nbformat.read(file, as_version=4)
    except Exception as error:  # nbformat raises many kinds for a broken file
        return None, f"not a readable notebook: {type(error).__name__}: {error}"
    # The kernel of this environment, not one called python3 in the home folder; and threads that do not spin.
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    env = {"GHOLM_MODE": "quick", "OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    limit = CELL_SECONDS if env["GHOLM_MODE"] == "quick" else None
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=notebook.metadata.get("execution", {}).get("timeout", limit),
        resources={"metadata": {"path": str(file.parent)}},
        extra_arguments=["--log-level=ERROR"],  # a kernel's warnings would tear the progress line
    )
    client.widget_registry["@jupyter-widgets/output"]["OutputModel"] = WakingOutput
    running: list[int] = []  # cells started so far; the last one is where it stopped
    client.on_cell_execute = lambda cell, cell_index: running.append(cell_index)
    try:
        client.execute(env=env)
    except CellExecutionError as error:
        return notebook, _failure(notebook, running, _tail(notebook.cells[running[-1]], error))
    except CellTimeoutError:
        return notebook, _failure(notebook, running, f"no answer in {client.timeout} seconds")
    except DeadKernelError:
        return notebook, _failure(notebook, running, "the kernel died (out of memory?)")
    except Exception as error:  # Jupyter raises many kinds when a kernel cannot start
        if running:
            raise
        atexit.unregister(client._cleanup_kernel)  # without a kernel it ends in a traceback at exit
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return notebook, f"the kernel did not start: {reason}. {_KERNEL_HELP}"
    hidden = swallowed_errors(notebook)
    if hidden:
        return notebook, "errors that did not stop the notebook:\n" + "\n".join(hidden)
    return notebook, None


def _failure(notebook: nbformat.NotebookNode, running: list[int], reason: str) -> str:
    if not running:
        return reason
    source = notebook.cells[running[-1]].source
    shown = "\n".join("| " + line for line in source.splitlines())
    return f"cell {running[-1] + 1} failed:\n{shown}\n{reason}"


def _tail(cell: nbformat.NotebookNode, error: CellExecutionError, lines: int = 12) -> str:
    """The end of the cell's traceback, without terminal colours."""
    tracebacks = [o["traceback"] for o in cell.outputs if o.output_type == "error"]
    shown = "\n".join(tracebacks[-1]) if tracebacks else f"{error.ename}: {error.evalue}"
    return "\n".join(ANSI_COLOUR.sub("", shown).rstrip().splitlines()[-lines:])
