"""Pages to PDF, by the Chromium or Chrome that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SECONDS = 120  # for one page
GET_CHROMIUM = (  # and the font without which Chinese is printed as empty boxes
    "on Debian or Ubuntu `sudo apt-get install chromium fonts-noto-cjk`, on macOS `brew install --cask chromium`; "
    "if it is elsewhere: GHOLM_CHROMIUM=/path/to/chromium"
)


def find_chromium() -> str | None:
    """$GHOLM_CHROMIUM, else the first Chromium or Chrome on the path."""
    names = (os.environ.get("GHOLM_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, (shutil.which(name) for name in names if name)), None)


def print_pdf(page: Path, pdf: Path) -> Path:
    """Print a page to a PDF, with the size and margins of its own style; returns the PDF.

    Raises:
        FileNotFoundError: there is no Chromium; the message says how to get it.
        RuntimeError: Chromium wrote no PDF; the message ends with what it said.
    """
    chromium = find_chromium()
    if chromium is None:
        raise FileNotFoundError(f"a PDF needs Chromium: {GET_CHROMIUM}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The sandbox cannot be set up by root, as whom containers run.
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
        command += [f"--user-data-dir={profile}", f"--print-to-pdf={pdf.resolve()}", page.resolve().as_uri()]
        pdf.unlink(missing_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if not pdf.is_file():
        raise RuntimeError(f"{chromium} could not print {page}: {done.stderr.strip()[-500:]}")
    return pdf
