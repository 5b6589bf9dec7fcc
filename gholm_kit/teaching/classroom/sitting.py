"""Runs a student's answers, in a process of their own (see cage.py), and hands over what they gave, as data.

The instructor's check runs here too, but only to call the student's functions as it will: this process belongs to
the student, so what the check says here counts for nothing. judge.py repeats it on the answers, elsewhere.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch

import gholm_lib
from gholm_kit.teaching import checks
from gholm_kit.teaching.classroom import wire

MOST_CALLS = 10_000  # of one function by one check


def tools() -> dict[str, Any]:
    """The names that every answer and every check may use."""
    return {"np": np, "torch": torch, "g": gholm_lib, "math": math, "checks": checks, "print": _silent}


def _silent(*args: Any, **kwargs: Any) -> None:
    """A check prints what it finds; here the value is enough."""


def main(job: Mapping[str, Any], say: Callable[[Any], None]) -> None:
    """Say one line for each exercise of ``job``, in order.

    job  "exercises": key, chapter, source, check, names, constants of each; "chapters": name → offers (name → import
         or definition) and own (sources of the cells that the student added)
    """
    spaces: dict[str, dict[str, Any]] = {}
    for exercise in job["exercises"]:
        name = exercise["chapter"]
        if name not in spaces:
            spaces[name] = _space(
                job["chapters"][name], [e for e in job["exercises"] if e["chapter"] == name]
            )
        say(_sit(exercise, spaces[name]))


def _space(chapter: Mapping[str, Any], exercises: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What a chapter's answers find: the tools, what they use of the chapter's names, the student's definitions."""
    space = {k: v for k, v in tools().items() if k != "print"}
    space["__name__"] = "__main__"
    written = [*chapter["own"], *(e["source"] for e in exercises)]
    for name, offer in chapter["offers"].items():
        if name not in space and any(name in text for text in written):
            _try(offer, space)
    for source in chapter["own"]:
        _try(definitions(source), space)
    return space


def _try(source: str, space: dict[str, Any]) -> None:
    """What fails here fails again, and is told, in the answer that needs it."""
    with suppress(Exception, SystemExit):
        exec(source, space)


def definitions(source: str) -> str:
    """The imports, functions and classes of a cell, without what it tries out; "" if it is not Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    return "\n".join(ast.unparse(n) for n in tree.body if isinstance(n, kept))


def _sit(exercise: Mapping[str, Any], space: dict[str, Any]) -> dict[str, Any]:
    """The student's values, and each call of the student's functions; or the error that ended the cell."""
    cell = f"exercise {exercise['key']}"
    space |= exercise["constants"]
    try:
        exec(compile(exercise["source"], cell, "exec"), space)
        given = {n: space[n] for n in exercise["names"] if n in space}
        recorders = {n: Recorder(v, cell) for n, v in given.items() if callable(v)}
        values = {n: wire.pack(v) for n, v in given.items() if n not in recorders}
    except BaseException as error:  # also SystemExit: it ends this answer, not the sitting
        return {"failed": wire.pack_error(error, cell)}
    with suppress(BaseException):
        exec(exercise["check"], tools() | exercise["constants"] | given | recorders)
    return {"values": values, "calls": {n: r.calls for n, r in recorders.items()}}


class Recorder:
    """A student's function that notes what each call gave, raised, and changed in its arguments.

    calls  of each: "gave" or "raised", and "changed": place of the argument → its new content
    """

    def __init__(self, function: Callable[..., Any], cell: str) -> None:
        self.function, self.cell = function, cell
        self.calls: list[dict[str, Any]] = []

    def __call__(self, *args: Any) -> Any:
        call: dict[str, Any] = {}
        if len(self.calls) >= MOST_CALLS:
            raise RuntimeError(f"called more than {MOST_CALLS} times")
        self.calls.append(call)
        before = [wire.pack(a) if isinstance(a, np.ndarray | torch.Tensor) else None for a in args]
        try:
            found = self.function(*args)
            call["gave"] = wire.pack(found)
        except BaseException as error:
            call["raised"] = wire.pack_error(error, self.cell)
            raise
        after = [None if b is None else wire.pack(a) for a, b in zip(args, before, strict=True)]
        call["changed"] = {i: a for i, (a, b) in enumerate(zip(after, before, strict=True)) if a != b}
        return found
