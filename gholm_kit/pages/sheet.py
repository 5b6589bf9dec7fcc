"""The sheet: the method on two pages of A4, in English and Chinese, as HTML and PDF (`make sheet`).

Both languages and both formats come from `sheet_text.py` and the templates beside this file.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gholm_kit.pages import sheet_text as said
from gholm_kit.pages.printed import print_pdf
from gholm_kit.pages.render import TEMPLATES, math_font_rule, mathml
from gholm_lib.paths import project_root

NAMES = {"en": "sheet", "zh-CN": "sheet.zh-CN"}  # language → file name without its ending


def write_sheets(folder: Path | None = None) -> list[Path]:
    """Write the sheet in both languages, HTML and PDF; returns the files.

    Args:
        folder: where they go; None takes `docs/sheet`.

    Raises:
        FileNotFoundError: there is no Chromium for the PDF (the HTML is written all the same).
    """
    folder = folder or project_root() / "docs" / "sheet"
    folder.mkdir(parents=True, exist_ok=True)
    pages = [_write_page(folder, language) for language in said.LANGUAGES]
    return pages + [_write_pdf(folder, language) for language in said.LANGUAGES]


def sheet_html(language: str, fonts: str = "") -> str:
    """The sheet as one HTML page that loads nothing.

    Args:
        language: "en" or "zh-CN".
        fonts: style rules that bring fonts; without them, the reader's own are used.

    Raises:
        ValueError: another language.
    """
    if language not in said.LANGUAGES:
        raise ValueError(f"the sheet's language must be one of {said.LANGUAGES}, got {language!r}")
    number = said.LANGUAGES.index(language)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES / "gholm"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"said": lambda pair: pair[number], "mathml": mathml}
    return environment.get_template("sheet.html.j2").render(language=language, text=said, fonts=fonts)


def stamp(language: str) -> bytes:
    """The last line of a PDF, a comment that tells of which page it is the print."""
    digest = hashlib.sha256(sheet_html(language).encode()).hexdigest()
    return f"% printed from the page with SHA-256 {digest}\n".encode()


def _write_page(folder: Path, language: str) -> Path:
    page = folder / f"{NAMES[language]}.html"
    page.write_text(sheet_html(language), encoding="utf-8", newline="\n")
    return page


def _write_pdf(folder: Path, language: str) -> Path:
    """The page with the kit's own font for equations, printed."""
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "sheet.html"
        whole.write_text(sheet_html(language, math_font_rule()), encoding="utf-8")
        pdf = print_pdf(whole, folder / f"{NAMES[language]}.pdf")
    with pdf.open("ab") as file:
        file.write(stamp(language))
    return pdf
