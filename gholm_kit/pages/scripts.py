"""Scripts of pages: modules made one script, because browsers load no module for a page opened from a folder."""

from __future__ import annotations

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{ (.+) \} from "(.+)";$', re.M)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.M)


def bundled(path: Path) -> str:
    """A script with all that it imports, as one script; each module keeps its names to itself.

    Imports have the form ``import { a, b } from "./file.js";``, and ``export`` stands before what it exports. A
    script that imports nothing stays as it is.
    """
    modules: dict[Path, str] = {}
    script = _without_imports(path.resolve(), modules)
    if not modules:
        return script
    return "\n".join(["(() => {", '"use strict";', *modules.values(), script.rstrip(), "})();", ""])


def _without_imports(path: Path, modules: dict[Path, str]) -> str:
    """The text of a file; what it imports is added to ``modules``, each after those that it needs itself."""
    text = path.read_text(encoding="utf-8")
    for _, file in _IMPORT.findall(text):
        needed = (path.parent / file).resolve()
        if needed not in modules:
            modules[needed] = _as_object(needed, modules)
    return _IMPORT.sub(lambda found: f"const {{ {found[1]} }} = {_name(Path(found[2]))};", text)


def _as_object(path: Path, modules: dict[Path, str]) -> str:
    """A module as an object that holds what the module exports."""
    text = _without_imports(path, modules)
    exported = ", ".join(_EXPORT.findall(text))
    return (
        f"const {_name(path)} = (() => {{\n{_EXPORT.sub('', text).rstrip()}\nreturn {{ {exported} }};\n}})();"
    )


def _name(path: Path) -> str:
    return path.name.replace(".", "_")  # square_js: what it exports may be called square
