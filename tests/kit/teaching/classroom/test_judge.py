"""Verdicts on answers as data: the check is the instructor's, and no line can talk it into anything."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch

from gholm_kit.teaching.classroom import judge, sitting
from gholm_kit.teaching.classroom.judge import CANNOT, EMPTY, NOT_YET, RIGHT

CHECK = """
def check(f):
    x = torch.ones(3)
    if f(x, 2) != 6: raise checks.NotYet("not six")
    if x[0] != 1: raise checks.NotYet("x was changed")
    if f(x, 3) != 9: raise checks.NotYet("not nine")
check(f)
"""
STATES = CHECK.replace("check(f)\n", "").replace("def check", "def judged") + (
    "def run(f):\n    try: judged(f)\n"
    "    except checks.NotYet as e: return State('not yet', str(e))\n"
    "    except Exception as e: return State('cannot be run', str(e))\n"
    "    return State('right', 'Well done.')\nrun(f)"
)


@dataclass
class State:
    state: str
    message: str


def verdict(source: str, check: str = CHECK, said: str | None = None) -> tuple[str, str]:
    item = {"key": "00-1", "chapter": "00", "source": source, "check": check, "names": ["f"], "constants": {}}
    if said is None:
        lines = []
        job = {"exercises": [item], "chapters": {"00": {"offers": {}, "own": []}}}
        sitting.main(job, lambda value: lines.append(json.dumps(value)))
        (said,) = lines
    return judge.judge(item | {"said": said})


ANSWERS = {
    "def f(x, n): return (n * x).sum()": (RIGHT, ""),
    "f = lambda x, n: 6": (NOT_YET, "not nine"),
    "def f(x, n):\n    x *= n\n    return x.sum()": (NOT_YET, "x was changed"),
    "def f(x, n):\n    raise NotImplementedError('write it')": (EMPTY, "not answered"),
    "def f(x, n):\n\n    return x @ torch.ones(4)": (CANNOT, "line 3 of this cell"),
    "f = 3": (CANNOT, "not callable"),
    "g = 3": (CANNOT, "f is not defined"),
    "def f(x": (CANNOT, "SyntaxError"),
    "import sys; sys.exit(0)": (CANNOT, "SystemExit"),
    "class E:\n    __eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\nf = lambda x, n: E()": (
        NOT_YET,
        "of type E",
    ),
}


@pytest.mark.parametrize("check", [CHECK, STATES], ids=["raises", "has a state"])
@pytest.mark.parametrize("source", ANSWERS)
def test_the_verdict_on_an_answer(source, check, monkeypatch):
    tools = sitting.tools
    for module in (sitting, judge):
        monkeypatch.setattr(module, "tools", lambda: tools() | {"State": State})
    wanted, message = ANSWERS[source]
    found, told = verdict(source, check)
    assert found == wanted
    assert message in told


CALL = {"gave": 6, "changed": {}}
FORGED = [
    "",
    "right",
    "null",
    "[]",
    '{"verdict": "right"}',
    '{"values": {}, "calls": {"f": 5}}',
    '{"values": {"f": {"is": "pickle"}}, "calls": {}}',
    json.dumps({"values": {}, "calls": {"f": []}}),
    json.dumps({"values": {}, "calls": {"f": ["x", None]}}),
    json.dumps({"values": {}, "calls": {"f": [CALL, {"gave": {"is": "?"}, "changed": {}}]}}),
    json.dumps({"values": {}, "calls": {"f": [CALL | {"changed": {"9": 1}}, CALL]}}),
    json.dumps({"values": {}, "calls": {"f": [CALL]}}),
    json.dumps({"failed": {"type": 3, "base": [], "message": None}}),
    "[" * 100_000,
]


@pytest.mark.parametrize("said", FORGED, ids=lambda s: s[:40])
def test_a_forged_line_is_never_right(said):
    assert verdict("", said=said)[0] == CANNOT


def test_arguments_are_the_checks_own(monkeypatch):
    """A student who makes the check compare with something else in his process has no gain from it here."""
    source = "torch.Tensor.__ne__ = lambda self, other: False\ndef f(x, n): return torch.tensor(0)"
    kept = torch.Tensor.__ne__
    try:
        item = {
            "key": "a",
            "chapter": "00",
            "source": source,
            "check": CHECK,
            "names": ["f"],
            "constants": {},
        }
        lines = []
        sitting.main(
            {"exercises": [item], "chapters": {"00": {"offers": {}, "own": []}}},
            lambda value: lines.append(json.dumps(value)),
        )
    finally:
        torch.Tensor.__ne__ = kept
    assert len(json.loads(lines[0])["calls"]["f"]) == 2
    assert judge.judge(item | {"said": lines[0]}) == (NOT_YET, "not six")
