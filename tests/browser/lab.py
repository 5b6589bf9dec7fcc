"""A JupyterLab that a test can start, drive and end: no settings, kernels or files of the user's take part."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat

STARTS = 3  # a port found free may be taken a moment later
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SETTINGS = {  # no news pop-up over the notebook, and nothing saved while the test looks at it
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}


class Lab:
    """JupyterLab on 127.0.0.1 with its own folder for everything; ``url`` once it is started."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.books, self.token = folder, folder / "notebooks", secrets.token_hex(16)
        self.url, self.process = "", None
        self.books.mkdir()
        for name, content in SETTINGS.items():
            path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))

    def copy(self, chapter: str, until: str, parameters: str = "") -> str:
        """Copy a chapter's cells up to the first code cell that holds ``until``; returns the copy's name.

        Every chapter runs whole elsewhere; here only the way to its slider counts. ``parameters`` is added to the
        chapter's parameters cell.
        """
        book = nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", as_version=4)
        last = next(i for i, c in enumerate(book.cells) if c.cell_type == "code" and until in c.source)
        book.cells = book.cells[: last + 1]
        next(c for c in book.cells if c.cell_type == "code").source += f"\n{parameters}"
        nbformat.write(book, self.books / f"{chapter}.ipynb")
        return f"{chapter}.ipynb"

    def start(self) -> None:
        for attempt in range(1, STARTS + 1):
            self._launch(_free_port())
            if self._answers():
                return
            self.stop()
            if attempt == STARTS:
                raise RuntimeError(f"JupyterLab did not start:\n{self.log[-3000:]}")

    def _launch(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.books,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,  # containers run as root
            "IdentityProvider.token": self.token,
            "LabApp.expose_app_in_browser": True,  # the tests ask it whether the kernel is ready
        }
        command = [sys.executable, "-m", "jupyterlab", *(f"--{k}={v}" for k, v in options.items())]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self._env(),
                start_new_session=True,
            )

    def _env(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON"))}
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            own[name] = str(self.folder / name.lower())
        own["JUPYTERLAB_SETTINGS_DIR"] = str(self.folder / "settings")
        own["JUPYTERLAB_WORKSPACES_DIR"] = str(self.folder / "workspaces")
        own["JUPYTER_PREFER_ENV_PATH"] = "1"
        return own | {"GHOLM_MODE": "quick"}

    def _answers(self, seconds: float = 90) -> bool:
        """Whether the server answers; False as soon as it has ended, for example because the port was taken."""
        until = time.monotonic() + seconds
        request = urllib.request.Request(
            f"{self.url}/api/status", headers={"Authorization": f"token {self.token}"}
        )
        while time.monotonic() < until and self.process.poll() is None:
            refused = contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError)
            with refused, urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status == 200
            time.sleep(0.2)
        return False

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """End the server, which ends its kernels; what is left of its own process group after that is killed."""
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait(20)
        self.process = None


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---------------------------------------------------------------------- a notebook in a tab

READY = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  return context?.isReady && context.session?.kernel?.status === 'idle';
}"""
# Run All before the kernel has answered runs nothing, although its status says idle.
ANSWERED = """async () => {
  const context = window.jupyterapp.shell.currentWidget.sessionContext;
  await context.ready;
  await context.session.kernel.info;
}"""
# The notebook under test is remembered, for another tab may come to the front.
CELLS = """() => {
  const widget = window.tested ??= window.jupyterapp.shell.currentWidget;
  const cells = [...widget.content.model.cells].filter(c => c.type === 'code');
  const outputs = c => Array.from({length: c.outputs.length}, (_, i) => c.outputs.get(i).toJSON());
  return {
    idle: widget.sessionContext.session?.kernel?.status === 'idle',
    waiting: cells.filter(c => c.executionCount === null && c.sharedModel.getSource().trim()).length,
    errors: cells.flatMap(outputs).filter(o => o.output_type === 'error').map(o => o.ename + ': ' + o.evalue),
  };
}"""


class Notebook:
    """A notebook opened in JupyterLab: run it, look at it; every error of the page is kept in ``errors``."""

    def __init__(self, browser, lab: Lab, name: str, width: int = 1600, height: int = 1000) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height})
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.goto(f"{lab.url}/lab/tree/{name}?token={lab.token}&reset")
        self.page.wait_for_function(READY, timeout=90_000)
        self.page.evaluate(ANSWERED)

    def run_all(self, seconds: float = 240) -> None:
        """Run → Run All Cells, as a reader does; ends when the kernel is idle and every cell has run."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            cells = self.page.evaluate(CELLS)
            assert cells["errors"] == []
            if cells["idle"] and cells["waiting"] == 0:
                return
            self.page.wait_for_timeout(200)
        raise TimeoutError(f"cells still waiting after {seconds} s: {cells}")

    def cell_errors(self) -> list[str]:
        """Error outputs of all cells, as `Name: message`."""
        return self.page.evaluate(CELLS)["errors"]

    def close(self) -> None:
        self.context.close()
