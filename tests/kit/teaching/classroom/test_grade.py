"""Grading: honest hand-ins get what they deserve, hostile ones cost themselves points and nobody else anything."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from gholm_kit.teaching.classroom import cage, grade, wire
from gholm_kit.teaching.classroom.grade import CANNOT, EMPTY, MISSING, RIGHT
from gholm_lib.paths import project_root
from tests.kit.teaching.classroom.conftest import solutions

needs_cage = pytest.mark.skipif("not __import__('gholm_kit.teaching.classroom.cage', fromlist=['']).works()")
# A mask that is right, after what stands before it: without the evil, these hand-ins would have all points.
MASK = "def crop_mask(heat, mu):\n    EVIL\n    return heat > mu * heat.mean((1, 2), keepdim=True)"
EVIL = {
    "hangs": "while True: pass",
    "crashes": "import ctypes; ctypes.string_at(0)",
    "leaves": "import sys; sys.exit(0)",
    "leaves at once": "import os; os._exit(0)",
    "kills its parent": "import os; os.kill(os.getppid(), 9); os.killpg(0, 9); os._exit(3)",
    "forks": "import os\n    while True: os.fork()",
    "takes all memory": "x = [torch.ones(2**28) for _ in range(100)]",
    "hands over a gigabyte": "return torch.zeros(2**28)",
    "floods the channel": (
        "import os\n    for fd in range(3, 30):\n        try:\n            while True: os.write(fd, b'x' * 2**20)\n"
        "        except OSError: pass"
    ),
    "forges answers": (
        "import os\n    for fd in range(3, 30):\n"
        '        try: os.write(fd, b\'{"verdict": "right", "message": ""}\\n\' * 9)'
        "\n        except OSError: pass\n    os._exit(0)"
    ),
    "raises NotYet's opposite": "raise BaseException('all right')",
}
# What is worth no points, though the student's own process would say "Right.".
FORGED = {
    "patches the check": (
        "from gholm_kit.teaching.checks import crops\ncrops.crop_mask = lambda answer: 'Right.'\n"
        "def crop_mask(heat, mu): return heat > 0"
    ),
    "patches what the check compares with": (
        "from gholm_kit.teaching.checks import crops\n"
        "crops.explain = lambda *a: None\ntorch.equal = lambda *a: True\n"
        "def crop_mask(heat, mu): return heat > 0"
    ),
    "equals everything": (
        "class Any:\n    def __eq__(self, other): return True\n    def __getattr__(self, name): return self\n"
        "    def __call__(self, *a, **k): return self\ncrop_mask = Any()"
    ),
}
# What does no harm: the answers count.
HARMLESS = {
    "prints a gigabyte": "[print('x' * 2**20) for _ in range(1024)]",
    "fills the disk": "_fill()",
}
FILL = """
def _fill():
    try:
        for i in range(99): open(f"f{i}", "wb").write(bytes(2**25))
    except OSError: pass

"""


def with_mask(mask: str) -> list[str]:
    """All answers right, except for one."""
    guess, _, *rest = solutions()
    return [guess, mask, *rest]


def verdicts(graded: grade.Graded) -> list[str]:
    return [m.verdict for m in graded.marks]


def graded_by_student(hand_ins, chapters, **limits):
    results = grade.grade(hand_ins, chapters, cage.Limits(**limits), tell=lambda line: None)
    return {g.hand_in.student: g for g in results}


@pytest.mark.slow
def test_honest_hand_ins(hand_in, tmp_path, chapters):
    right = solutions()
    hand_in("all right", right)
    hand_in("some right", [right[0], MASK.replace("EVIL", "mu = 1"), None, right[3]])
    hand_in("empty", [None] * 4)
    found = graded_by_student(tmp_path / "hand-ins", chapters)
    assert verdicts(found["all right"]) == [RIGHT] * 4
    assert found["all right"].points == found["all right"].most == 7
    assert verdicts(found["some right"]) == [RIGHT, "not yet", EMPTY, RIGHT]
    assert found["some right"].points == 3
    assert found["some right"].marks[1].message
    assert verdicts(found["empty"]) == [EMPTY] * 4


@pytest.mark.slow
def test_every_solution_of_every_chapter_gets_all_points(hand_in, tmp_path, chapters):
    for chapter in chapters:
        hand_in("best", solutions(chapter.name), chapter.name)
    best = graded_by_student(tmp_path / "hand-ins", chapters)["best"]
    assert [(m.exercise.key, m.message) for m in best.marks if m.verdict != RIGHT] == []


@pytest.mark.slow
@needs_cage
@pytest.mark.parametrize("evil", EVIL)
def test_a_hostile_answer_costs_its_own_points_only(evil, hand_in, tmp_path, chapters):
    hand_in("evil", with_mask(MASK.replace("EVIL", EVIL[evil])))
    graded = graded_by_student(tmp_path / "hand-ins", chapters)["evil"]
    others = (
        [CANNOT] * 2 if evil == "forges answers" else [RIGHT] * 2
    )  # whose lines stand where its own would
    assert verdicts(graded) == [RIGHT, CANNOT, *others]
    assert graded.marks[1].message


@pytest.mark.slow
@needs_cage
@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_check_is_not_the_instructors(forged, hand_in, tmp_path, chapters):
    hand_in("evil", with_mask(FORGED[forged]))
    graded = graded_by_student(tmp_path / "hand-ins", chapters)["evil"]
    assert graded.marks[1].verdict in (CANNOT, "not yet")


@pytest.mark.slow
@needs_cage
def test_the_honest_are_graded_as_if_nobody_else_were_there(hand_in, tmp_path, chapters):
    for number, evil in enumerate(("forks", "kills its parent", "takes all memory")):
        hand_in(f"{2 * number} {evil}", with_mask(MASK.replace("EVIL", EVIL[evil])))
        hand_in(f"{2 * number + 1} honest", solutions())
    for name, evil in HARMLESS.items():
        hand_in(name, with_mask(FILL + MASK.replace("EVIL", evil)))
    found = grade.grade(tmp_path / "hand-ins", chapters, jobs=2, tell=lambda line: None)
    honest = {g.hand_in.student: g.points for g in found if "honest" in g.hand_in.student}
    assert list(honest.values()) == [7, 7, 7]
    assert {g.hand_in.student: g.points for g in found if g.hand_in.student in HARMLESS} == dict.fromkeys(
        HARMLESS, 7
    )


@pytest.mark.slow
@needs_cage
def test_nothing_outside_can_be_changed_or_seen(hand_in, tmp_path, chapters):
    """Deletes, writes, unmounts, listens, phones, and leaves a process behind: each attempt says if it succeeded."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    before = hand_in("honest", solutions())
    witness = tmp_path / "witness"
    witness.write_text("here")
    attempts = f"""
import ctypes, os, pathlib, shutil, socket, subprocess, time
done = []
def attempt(name, act):
    try: act()
    except Exception: return
    done.append(name)
attempt("delete", lambda: os.remove({str(witness)!r}))
attempt("write", lambda: open({str(witness)!r}, "w").write("gone"))
attempt("project", lambda: open({str(project_root() / "pwned")!r}, "w"))
attempt("packages", lambda: open(torch.__file__, "a"))
attempt("other hand-in", lambda: open({str(before)!r}).read())
attempt("signal", lambda: os.kill({os.getpid()}, 0))
attempt("phone", lambda: socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), 1))
attempt("remount", lambda: subprocess.run(["mount", "-o", "remount,rw", "/"], check=True, capture_output=True))
attempt("new cage", lambda: subprocess.run(
    ["unshare", "-Ur", "-m", "mount", "-o", "remount,bind,rw", "/"], check=True, capture_output=True))
attempt("shared memory", lambda: open("/dev/shm/pwned", "w"))
shutil.rmtree({str(tmp_path)!r}, ignore_errors=True)
attempt("token", lambda: os.environ["A_TOKEN"])
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
guess = {{"done": tuple(done), "home": os.environ["HOME"]}}
"""
    hand_in("evil", [attempts, *solutions()[1:]])
    os.environ["A_TOKEN"] = "secret"
    try:
        hand_ins = grade.hand_ins(tmp_path / "hand-ins", chapters)
        evil = next(h for h in hand_ins if h.student == "evil")
        chapter = next(c for c in chapters if c.name.startswith("02"))
        item = grade._item(chapter, chapter.exercises[0], evil.answers["02-1"])
        job = {"exercises": [item], "chapters": {chapter.name: {"offers": {}, "own": []}}}
        ended = cage.run(
            "gholm_kit.teaching.classroom.sitting", job, cage.Limits(), True, [tmp_path / "hand-ins"]
        )
    finally:
        del os.environ["A_TOKEN"]
    (line,) = ended.lines
    said = wire.unpack(json.loads(line)["values"]["guess"])
    assert said["done"] == ()
    assert witness.read_text() == "here"
    assert before.is_file()
    assert not (project_root() / "pwned").exists()
    with pytest.raises(TimeoutError):
        server.accept()
    server.close()
    assert living_in(said["home"]) == []


def living_in(home: str) -> list[str]:
    """Ids of the processes with this home."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"HOME={home}" in environment.read_text(errors="replace").split("\0"):
                found.append(environment.parent.name)
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
@pytest.mark.parametrize("evil", ["kills its parent", "hangs", "leaves at once"])
def test_without_a_cage_a_hand_in_still_costs_its_own_points_only(evil, hand_in, tmp_path, chapters):
    hand_in("evil", with_mask(MASK.replace("EVIL", EVIL[evil])))
    (found,) = grade.hand_ins(tmp_path / "hand-ins", chapters)
    chapter = [c for c in chapters if c.name.startswith("02")]
    graded = grade.grade_one(found, chapter, cage.Limits(), caged=False)
    assert verdicts(graded) == [RIGHT, CANNOT, RIGHT, RIGHT]


def test_links_and_broken_files_are_notes(hand_in, tmp_path, chapters):
    path = hand_in("honest", solutions())
    copier = tmp_path / "hand-ins" / "copier"
    copier.mkdir()
    (copier / path.name).symlink_to(path)
    (copier / "01_heatmaps.ipynb").write_text("{" * 100_000)
    (copier / "03_x.ipynb").write_text('{"cells": [1, {"cell_type": "code", "source": 7, "metadata": "x"}]}')
    found = {h.student: h for h in grade.hand_ins(tmp_path / "hand-ins", chapters)}
    assert found["copier"].answers == {}
    notes = found["copier"].notes
    assert len(notes) == 3
    assert "cannot be read" in notes[0]
    assert "link" in notes[1]
    assert "no chapter" in notes[2]


def test_renamed_notebooks_and_lost_marks_are_found(hand_in, tmp_path, chapters):
    path = hand_in("lost", solutions())
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"gholm"', '"x"').replace('"id": "', '"id": "n'), encoding="utf-8")
    renamed = hand_in("renamed", solutions())
    renamed.rename(renamed.with_name("my homework (1).ipynb"))
    for found in grade.hand_ins(tmp_path / "hand-ins", chapters):
        assert list(found.answers) == ["02-1", "02-2", "02-3", "02-4"], found.student
        assert found.answers["02-2"] == solutions()[1]


def test_a_folder_that_contains_the_project_is_refused(chapters):
    with pytest.raises(ValueError, match="contains the project"):
        grade.hand_ins(project_root().parent, chapters)


def test_the_csv_is_no_formula_and_the_page_no_script(tmp_path, chapters):
    evil = "</pre><script>alert(1)</script>"
    found = grade.HandIn("=cmd()", {"02-1": evil}, {}, [evil])
    chapter = next(c for c in chapters if c.name.startswith("02"))
    missing = [grade.Mark(e, MISSING, "", None) for e in chapter.exercises[1:]]
    graded = grade.Graded(found, [grade.Mark(chapter.exercises[0], CANNOT, evil, evil), *missing])
    table, page = grade.write([graded], tmp_path)
    (row,) = csv.DictReader(io.StringIO(table.read_text()))
    assert row["student"] == "'=cmd()"
    assert (row["02-1"], row["02-2"], row["points"], row["of"]) == ("0", "", "0", "7")
    text = page.read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 3


def test_code_that_may_look_an_answer_up_is_named():
    found = grade.HandIn("x", {"02-1": "import inspect\nchecks.crops.explain = 1", "02-2": "heat.mean()"})
    assert found.look_at == ["checks.crops.explain", "inspect"]
