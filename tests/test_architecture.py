"""Who may import whom. Arrows go one way, and help answers without loading PyTorch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from gholm_lib.paths import project_root
from tests.test_project import project

ROOT = project_root()
# Each room of gholm_kit, and what it may import besides gholm_lib, in which any file may import any other.
ROOMS = {
    "style": set(),
    "table": set(),
    "published": set(),
    "drawn": set(),
    "doctor": {"drawn"},
    "pages": set(),
    "speed": {"style", "table"},
    "teaching": {"style", "table", "published", "drawn", "speed"},
    "look": {"style", "teaching"},
    "rivals": set(),
    "reproduction": {"style", "table", "published", "drawn", "speed", "teaching", "rivals"},
    "export": set(),
    "live": {"style", "export", "pages"},
    "__main__": {
        "table",
        "drawn",
        "doctor",
        "look",
        "pages",
        "speed",
        "teaching",
        "reproduction",
        "export",
        "live",
    },
}
MODULE_OF = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "math-core": "math_core",
    "scikit-image": "skimage",
}


def imported(source: str) -> set[str]:
    """Dotted names that a file imports, also inside functions; "a.b" for ``from a import b``."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a name comes from"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def wrong_arrows(path: str, source: str) -> list[str]:
    """The imports in ``source`` that a file at ``path`` may not have."""
    package, *rest = Path(path).with_suffix("").parts
    names = [n.split(".") for n in imported(source) if n.startswith(("gholm_lib.", "gholm_kit."))]
    if package == "gholm_lib":
        return [".".join(n) for n in names if n[0] == "gholm_kit"]
    room = rest[0]
    return [".".join(n) for n in names if n[0] == "gholm_kit" and n[1] not in ROOMS.get(room, set()) | {room}]


def package_files() -> list[Path]:
    return [f for package in ("gholm_lib", "gholm_kit") for f in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", package_files(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_arrows_go_one_way(path):
    assert wrong_arrows(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("gholm_lib/training.py", "from gholm_kit import style"),
        ("gholm_lib/datasets/download.py", "def f():\n    from gholm_kit.drawn.write import draw_family"),
        ("gholm_kit/teaching/figures/paper.py", "import gholm_kit.reproduction.jobs"),
        ("gholm_kit/pages/execute.py", "from gholm_kit.table import Table"),
        ("gholm_kit/style.py", "from gholm_kit import pages"),
    ],
)
def test_a_planted_wrong_arrow_is_found(path, line):
    assert len(wrong_arrows(path, line)) == 1


def test_every_room_has_its_rule():
    rooms = {entry.stem for entry in (ROOT / "gholm_kit").iterdir()}
    assert rooms - {"__init__", "__pycache__"} == set(ROOMS)


def test_no_file_name_stands_twice():
    """But a chapter has one name, in checks, figures and widgets, and readers and drawings share their family's."""
    chapters = ROOT / "gholm_kit" / "teaching"
    by_family = {ROOT / "gholm_lib" / "datasets", ROOT / "gholm_kit" / "drawn"}
    names = Counter(
        f.name for f in package_files() if chapters not in f.parents and f.parent not in by_family
    )
    assert {n for n, count in names.items() if count > 1} <= {"__init__.py", "__main__.py"}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules_of(extra: str) -> list[str]:
    """Import names of the packages of an extra."""
    listed = [Requirement(line).name for line in project()["optional-dependencies"][extra]]
    return [MODULE_OF.get(name, name.replace("-", "_")) for name in listed]


@pytest.mark.slow
def test_the_library_needs_none_of_the_kits_packages():
    """What ``pip install .`` brings is enough for every file of gholm_lib, and for a forward pass."""
    hidden = [*modules_of("kit"), "gholm_kit"]
    code = f"import sys\nsys.modules |= dict.fromkeys({hidden!r})\n"  # None there: "No module named ..."
    files = (f for f in package_files() if ROOT / "gholm_lib" in f.parents and f.name != "__main__.py")
    names = [".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for f in files]
    code += "\n".join(f"import {name}" for name in names)
    code += (
        "\nimport torch, gholm_lib as g"
        "\nnet = g.GHOLMNet('gholm_convnext_mini', 3).eval()"
        "\nprint(net.predict(torch.zeros(1, 3, 64, 64))[0].shape[1])"
    )
    assert run_python(code).strip() == "3"


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["doctor", "--help"],
        ["train", "--help"],
        ["evaluate", "--help"],
        ["reproduce", "--help"],
        ["notebooks", "--help"],
        ["class", "--help"],
        ["export", "--help"],
        ["live", "--help"],
        ["sheet", "--help"],
        ["class", "grade", "--help"],
        ["data", "list"],
        ["results", "nowhere"],
    ],
    ids=" ".join,
)
def test_a_command_that_needs_no_network_loads_no_pytorch(args):
    code = f"""
import sys
from gholm_kit.__main__ import main
try:
    main({args!r})
except SystemExit:
    pass
print("loaded", sorted({{"torch", "timm", "pandas", "matplotlib"}} & set(sys.modules)))
"""
    assert run_python(code).splitlines()[-1] == "loaded []"


def test_gradcam_stays_a_function_when_its_file_is_imported():
    code = "import gholm_lib as g, gholm_lib.gradcam\nprint(callable(g.gradcam), g.GHOLMNet.__name__)"
    assert run_python(code).split() == ["True", "GHOLMNet"]


def test_an_unknown_name_is_an_attribute_error():
    import gholm_lib

    with pytest.raises(AttributeError, match="has no attribute 'grad_cam'"):
        _ = gholm_lib.grad_cam
