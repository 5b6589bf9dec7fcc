"""Modules made one script do what Node does with the modules themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest

from gholm_kit.pages.scripts import bundled

NODE = shutil.which("node")
MODULES = {  # file → content
    "package.json": '{"type": "module"}',
    "entry.js": '// Both have a `size`, and both need `twice`.\nimport { area, size } from "./square.js";\n'
    'import { twice } from "./shared/twice.js";\n\nconst seen = [area(), size, twice(size)];\n'
    "console.log(...seen);\n",
    "square.js": 'import { twice } from "./shared/twice.js";\nconst seen = "its own";\nexport const size = 3;\n'
    "export function area() {\n  return twice(size * size) + seen;\n}\n",
    "shared/twice.js": 'console.log("once");\nconst size = 2;\nexport const twice = (value) => size * value;\n'
    "export class Unused extends Error {}\nexport async function later() {}\n",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "shared").mkdir()
    for name, content in MODULES.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def run(*arguments: str) -> str:
    return subprocess.run([NODE, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
def test_one_script_does_what_its_modules_do(folder):
    (folder / "bundle.cjs").write_text(bundled(folder / "entry.js"))
    said = run(str(folder / "bundle.cjs"))
    assert said == run(str(folder / "entry.js")) == "once\n18its own 3 6\n"


def test_a_script_that_imports_nothing_stays_as_it_is(tmp_path):
    path = tmp_path / "alone.js"
    path.write_text('"use strict";\nconst KEY = 1;\n')
    assert bundled(path) == path.read_text()


def test_a_missing_module_is_named(folder):
    (folder / "square.js").unlink()
    with pytest.raises(FileNotFoundError, match=r"square\.js"):
        bundled(folder / "entry.js")
