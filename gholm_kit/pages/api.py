"""The API reference: a page for each module, made by pdoc from the docstrings. It opens with no network."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pdoc
from jinja2 import pass_context
from pdoc import render

from gholm_kit.pages.render import TEMPLATES

PACKAGES = ("gholm_lib", "gholm_kit")


def write_api(folder: Path) -> Path:
    """Write the reference of both packages; returns its first page.

    Args:
        folder: where it goes, inside the folder of the site: its pages link to ``../index.html``.

    Raises:
        RuntimeError: a module cannot be imported or documented; the message ends with what pdoc said.
    """
    # A process of its own: pdoc's settings are global, and _prepare changes the modules.
    command = [sys.executable, "-m", "gholm_kit.pages.api", str(folder)]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"the API reference cannot be made:\n{done.stderr[-2000:]}")
    return folder / "index.html"


def modules() -> list[str]:
    """Names of all modules that have a page: those of both packages without a leading underscore."""
    names = list(PACKAGES)
    for package in PACKAGES:
        names += [m.name for m in pkgutil.walk_packages(import_module(package).__path__, f"{package}.")]
    return sorted(n for n in names if not n.rpartition(".")[2].startswith("_"))


def listed(docstring: str) -> str:
    """A docstring whose columns of names and explanations have become Markdown lists.

    >>> print(listed("Equation (2).\\n\\nheat   (B, h, w)\\nlimit  a number,\\n       above 0"))
    Equation (2).
    <BLANKLINE>
    - **heat**: (B, h, w)
    - **limit**: a number,
           above 0
    """
    paragraphs = docstring.split("\n\n")
    return "\n\n".join(_list(p) if re.match(r"\w[\w, *.]*? {2,}\S", p) else p for p in paragraphs)


def _list(paragraph: str) -> str:
    """``name  text`` and ``longer_name text``, a line each; indented lines go on with what is above."""
    return re.sub(r"^(\w[\w, *.]*?(?= {2})|\w+) +", r"- **\1**: ", paragraph, flags=re.M)


def _prepare(module: ModuleType) -> None:
    """Without ``__all__``, which pdoc takes for a package's list of submodules; its names join the docstring."""
    names = vars(module).pop("__all__", [])
    homes = [getattr(getattr(module, name), "__module__", None) for name in names]
    if names:
        links = [f"`{home}.{name}`" if home else f"`{name}`" for home, name in zip(homes, names, strict=True)]
        module.__doc__ = f"{module.__doc__}\n\nNames that can be imported from here: {', '.join(links)}."


def _write(folder: Path) -> None:
    for name in modules():
        _prepare(import_module(name))
    # MathJax and mermaid would come from the network.
    render.configure(docformat="google", math=False, mermaid=False, template_directory=TEMPLATES / "api")
    to_markdown = render.env.filters["to_markdown"]
    render.env.filters["to_markdown"] = pass_context(lambda context, text: to_markdown(context, listed(text)))
    with warnings.catch_warnings():
        # Types that are imported for type checkers only are shown as they are written.
        warnings.filterwarnings("ignore", message="Error parsing type annotation")
        pdoc.pdoc(*PACKAGES, output_directory=folder)


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
