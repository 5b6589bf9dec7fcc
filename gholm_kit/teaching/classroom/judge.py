"""Repeats the instructor's checks on answers that were handed over as data; no code of a student's runs here."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from gholm_kit.teaching.checks import NotYet
from gholm_kit.teaching.classroom import wire
from gholm_kit.teaching.classroom.sitting import tools

RIGHT, NOT_YET, CANNOT, EMPTY = "right", "not yet", "cannot be run", "empty"


def main(job: Mapping[str, Any], say: Callable[[Any], None]) -> None:
    """Say verdict and message of each exercise of ``job``: key, check, names, constants, and the line ``said``."""
    for exercise in job["exercises"]:
        verdict, message = judge(exercise)
        say({"verdict": verdict, "message": message})


def judge(exercise: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict on one answer, and what to tell its author."""
    try:
        said = json.loads(exercise["said"])
        if "failed" in said:
            return _failed(said["failed"])
        names = _stand_ins(said, exercise["names"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return CANNOT, "what your code handed over cannot be read: it did not come from your functions"
    except wire.Foreign as error:
        return NOT_YET, str(error)
    missing = [n for n in exercise["names"] if n not in names]
    if missing:
        return CANNOT, f"{missing[0]} is not defined in this cell"
    return _check(exercise, names)


def _check(exercise: Mapping[str, Any], names: dict[str, Any]) -> tuple[str, str]:
    """Run the instructor's check, with the instructor's constants.

    A check raises, or its last line is a verdict with a state and a message.
    """
    replays = [n for n in names.values() if isinstance(n, Replay)]
    try:
        found = last_value(exercise["check"], tools() | names | exercise["constants"])
        verdict = getattr(found, "state", RIGHT), str(getattr(found, "message", ""))
    except NotYet as error:
        verdict = NOT_YET, str(error)
    except Exception as error:
        verdict = CANNOT, f"{type(error).__name__}: {error}"
    # A check may catch whatever a function raises, so what ended a replay is noted there.
    trouble = next((r.trouble for r in replays if r.trouble), None)
    raised = next((r.raised for r in replays if r.raised), None)
    if trouble:
        return trouble
    return _failed(raised) if verdict[0] == CANNOT and raised else verdict


def last_value(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; returns the value of its last line, as a notebook shows it, None if that is no expression."""
    *before, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        before, last = [*before, last], ast.Expr(ast.Constant(None))
    exec(compile(ast.Module(before, []), "check", "exec"), names)
    return eval(compile(ast.Expression(last.value), "check", "eval"), names)


def _failed(raised: Mapping[str, Any]) -> tuple[str, str]:
    kind, message, line = (raised.get(k) for k in ("type", "message", "line"))
    if raised.get("base") == "NotImplementedError":
        return EMPTY, "not answered"
    where = f" (line {line} of this cell)" if isinstance(line, int) else ""
    return CANNOT, f"{str(kind)[:80]}: {str(message)[:600]}{where}"


def _stand_ins(said: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """What the check takes instead of the student's own: values, and functions that repeat their calls."""
    values = {n: wire.unpack(said["values"][n]) for n in names if n in said["values"]}
    return values | {n: Replay(n, said["calls"][n]) for n in names if n in said["calls"]}


class Replay:
    """Stands in for a student's function: gives, raises and changes what its calls did, one after the other.

    raised   the error of the last call, as data; None if it raised none
    trouble  the verdict and its reason, if a call could not be repeated
    """

    def __init__(self, name: str, calls: list[Mapping[str, Any]]) -> None:
        self.name, self.calls = name, iter(list(calls))
        self.raised: Mapping[str, Any] | None = None
        self.trouble: tuple[str, str] | None = None

    def __call__(self, *args: Any) -> Any:
        call = next(self.calls, None)
        try:
            return self._repeat(call, args)
        except wire.Foreign as error:
            self.trouble = NOT_YET, str(error)
            raise
        except _CannotRepeat:
            self.trouble = CANNOT, _OTHER_CALLS.format(self.name)
            raise

    def _repeat(self, call: Mapping[str, Any] | None, args: tuple[Any, ...]) -> Any:
        if not isinstance(call, dict) or not call.keys() & {"gave", "raised"}:
            raise _CannotRepeat
        self.raised = call.get("raised")
        if self.raised:
            raise wire.unpack_error(self.raised)
        try:
            for place, content in call["changed"].items():
                _overwrite(args[int(place)], wire.unpack(content))
            return wire.unpack(call["gave"])
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            raise _CannotRepeat from error


class _CannotRepeat(Exception):
    """A call that was not noted as sitting.py does it."""


_OTHER_CALLS = (
    "the check calls {} otherwise than it did with your code: your code changes the check, or something that the "
    "check uses"
)


def _overwrite(argument: Any, content: Any) -> None:
    """An argument becomes what the student's function made of it, in place; where that is no array, nothing."""
    if isinstance(argument, torch.Tensor) and isinstance(content, torch.Tensor):
        with torch.no_grad():
            argument.set_(content.to(argument.dtype))
    elif isinstance(argument, np.ndarray) and np.shape(content) == argument.shape:
        argument[...] = content
