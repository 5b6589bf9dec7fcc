"""``gholm class``: what it writes, and errors that are one message."""

from __future__ import annotations

import pytest

from gholm_kit.__main__ import main
from gholm_kit.teaching.classroom import cage, grade

pytestmark = pytest.mark.usefixtures("one_thread")


def run(capsys, *args) -> tuple[int, str]:
    status = main(["class", *map(str, args)])
    said = capsys.readouterr()
    return status, said.out + said.err


def test_prepare_says_what_is_where(tmp_path, capsys):
    status, said = run(capsys, "prepare", "--out", tmp_path / "class")
    assert status == 0
    assert "11 notebooks are in" in said
    assert (
        (tmp_path / "class" / "points.csv")
        .read_text(encoding="utf-8")
        .startswith("exercise,points,title\n00-1,2,")
    )


def test_grade_writes_points_and_pages(tmp_path, capsys, hand_in, monkeypatch):
    hand_in("anna", [None] * 4)
    hand_in("ben", [None] * 4)
    monkeypatch.setattr(cage, "works", lambda: False)
    monkeypatch.setattr(grade, "one_by_one", lambda module, items, *rest: [(None, "crashed")] * len(items))
    status, said = run(capsys, "grade", tmp_path / "hand-ins", "--points", tmp_path / "class" / "points.csv")
    assert status == 0
    assert "Not limited: this machine has no cage" in said
    assert "anna: 0 of 7 points" in said
    assert (tmp_path / "hand-ins-graded" / "feedback" / "ben.html").exists()
    rows = (tmp_path / "hand-ins-graded" / "grades.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "student,02-1,02-2,02-3,02-4,points,of,look at,notes"
    assert rows[1] == "anna,0,0,0,0,0,7,,"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["grade", "nowhere"], "nowhere is not a folder; expected one with a folder for each student"),
        (["grade", ".", "--seconds", "0"], "seconds must be above 0, got 0"),
        (["grade", ".", "--jobs", "0"], "jobs must be at least 1, got 0"),
        (
            ["grade", ".", "--points", "none.csv"],
            "no file none.csv (--points); `gholm class prepare` writes it",
        ),
        (["merge", "nowhere"], "no record.json below nowhere"),
        (["mark"], "no command 'mark'; there are prepare, grade, merge"),
    ],
)
def test_an_error_is_one_sentence(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, said = run(capsys, *args)
    assert status == 1
    assert message in said
    assert "Traceback" not in said


def test_nothing_handed_in_is_said(tmp_path, capsys, chapters):
    (tmp_path / "anna").mkdir()
    with pytest.raises(ValueError, match=r"no hand-in in .* has a chapter with exercises"):
        grade.grade(tmp_path, chapters, tell=print)
