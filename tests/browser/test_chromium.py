"""A missing Chromium: skipped at home with a word on how to get it, an error in CI, where .ci/run installs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
needs_bash = pytest.mark.skipif(
    os.name == "nt" or shutil.which("bash") is None, reason="bash is not installed"
)


def run_without_chromium(folder: Path, **env: str) -> str:
    """What pytest says of one browser test where no Chromium is to be found."""
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "GHOLM_CHROMIUM")}
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "tests/browser/test_notebooks.py", "-k", "chapter_02"],
        cwd=ROOT,
        env=kept | {"PATH": str(folder)} | env,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_at_home_it_is_skipped_and_the_reason_helps(tmp_path):
    said = run_without_chromium(tmp_path)
    assert "1 skipped" in said
    assert "apt-get install chromium" in said
    assert "GHOLM_CHROMIUM" in said


def test_in_ci_it_fails(tmp_path):
    said = run_without_chromium(tmp_path, CI="true")
    assert "1 error" in said
    assert "1 skipped" not in said
    assert "apt-get install chromium" in said


# ---------------------------------------------------------------------- .ci/run


@pytest.fixture
def machine(tmp_path):
    """A machine on which only the commands that a test puts there exist; they write their calls to ``calls``."""
    (tmp_path / "bin").mkdir()
    for name in ("bash", "dirname", "env", "chmod"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    shutil.copytree(ROOT / ".ci", tmp_path / "project" / ".ci")
    add(tmp_path, "make", 'echo "CI=$CI"')
    add(tmp_path, "npm")
    return tmp_path


def add(machine: Path, name: str, does: str = "") -> None:
    """A command that notes that it was called, then does what is said."""
    file = machine / "bin" / name
    file.write_text(f'#{"!"}{shutil.which("bash")}\necho "{name} $*" >> "{machine}/calls"\n{does}\n')
    file.chmod(0o755)


def run_ci(machine: Path) -> tuple[int, str, list[str]]:
    """Exit status, everything said, and the commands called."""
    done = subprocess.run(
        [shutil.which("bash"), str(machine / "project" / ".ci" / "run")],
        env={"PATH": str(machine / "bin")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    calls = (machine / "calls").read_text().splitlines() if (machine / "calls").exists() else []
    return done.returncode, done.stdout, calls


MAKES = ["make test", "make test-slow", "make test-numeric"]
INSTALL = 'case "$*" in *install*) echo > {bin}/chromium; chmod +x {bin}/chromium;; esac'


@needs_bash
def test_ci_takes_the_chromium_that_is_there(machine):
    add(machine, "chromium")
    add(machine, "apt-get")
    status, said, calls = run_ci(machine)
    assert (status, said, calls) == (0, 3 * "CI=true\n", MAKES)


@needs_bash
@pytest.mark.parametrize("user", ["0", "1000"])
def test_ci_installs_chromium_as_root_or_by_sudo(machine, user):
    add(machine, "id", f"echo {user}")
    add(machine, "sudo", '[ "$1" = -n ] && shift && "$@"')
    add(machine, "apt-get", INSTALL.format(bin=machine / "bin"))
    status, _, calls = run_ci(machine)
    assert status == 0
    assert [c for c in calls if c.startswith("apt-get")] == [
        "apt-get update -qq",
        "apt-get install -y -qq chromium fonts-noto-cjk",
    ]
    assert any(c.startswith("sudo") for c in calls) == (user != "0")
    assert calls[-3:] == MAKES


@needs_bash
@pytest.mark.parametrize("apt_works", [True, False])
def test_ci_installs_npm_if_it_can_and_goes_on_without(machine, apt_works):
    (machine / "bin" / "npm").unlink()
    add(machine, "chromium")
    add(machine, "id", "echo 0")
    add(machine, "apt-get", "" if apt_works else "exit 1")
    status, said, calls = run_ci(machine)
    assert status == 0
    assert "apt-get update -qq" in calls
    assert ("apt-get install -y -qq npm" in calls) == apt_works
    assert ("the test of the live page is skipped" in said) == (not apt_works)
    assert calls[-3:] == MAKES


@needs_bash
@pytest.mark.parametrize(
    "fails", ["no sudo", "sudo asks for a password", "no apt-get", "a package without the command"]
)
def test_ci_stops_with_a_word_when_chromium_cannot_be_had(machine, fails):
    add(machine, "id", "echo 1000")
    if fails != "no apt-get":
        add(machine, "apt-get")
    if fails != "no sudo":
        add(machine, "sudo", "exit 1" if "password" in fails else 'shift && "$@"')
    status, said, calls = run_ci(machine)
    assert status == 1
    assert "set GHOLM_CHROMIUM" in said
    assert ("without a password" in said) == ("sudo" in fails)
    assert "make test" not in calls
