"""How a check ends: in a box that says right, not yet or cannot be run, with hints that come one by one."""

from __future__ import annotations

import html
import linecache
import re
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from gholm_kit.teaching.checks.answers import NotYet, Unsolved, described

Check = Callable[..., str]
C = TypeVar("C", bound=Check)
A = TypeVar("A")

# State → sign, title, and colours of text, ground and edge. The box brings its own ground, so that its contrast is
# the same on light and dark pages; sign and title say what the colour says.
STATES = {
    "right": ("✓", "Right", "#0b3d1e", "#e3f4e8", "#1a7f3c"),
    "not yet": ("✗", "Not yet", "#4a2f00", "#fff2d6", "#b26a00"),
    "cannot be run": ("⚠", "Cannot be run", "#5c0f14", "#fde7e9", "#c8323c"),
}

_attempts: Counter[str] = Counter()  # unsuccessful runs of each check since it last passed


@dataclass(frozen=True)
class Verdict:
    """What a check found; a notebook shows it as a box, a terminal as text."""

    state: str  # a key of STATES
    message: str
    hints: tuple[str, ...] = ()  # those to show now, the most general first
    more: int = 0  # how many hints are left

    def __repr__(self) -> str:
        sign, title, *_ = STATES[self.state]
        lines = [f"{sign} {title}. {self.message}".rstrip()]
        lines += [f"  Hint {k}: {hint}" for k, hint in enumerate(self.hints, 1)]
        return "\n".join([*lines, *([f"  {self._offer}"] if self.more else [])])

    def _repr_html_(self) -> str:
        sign, title, text, ground, edge = STATES[self.state]
        parts = [f"<strong>{sign} {title}.</strong> {_marked_up(self.message)}"]
        parts += [f"<strong>Hint {k}.</strong> {_marked_up(hint)}" for k, hint in enumerate(self.hints, 1)]
        parts += [f"<em>{self._offer}</em>"] if self.more else []
        style = (
            f"color:{text};background:{ground};border:1px solid {edge};border-left:8px solid {edge};"
            "border-radius:4px;padding:.5em .8em;margin:.3em 0;max-width:62em;line-height:1.45"
        )
        lines = "".join(f'<div style="color:inherit;margin:.15em 0">{part}</div>' for part in parts)
        return f'<div role="group" aria-label="Check: {title.lower()}" style="{style}">{lines}</div>'

    @property
    def _offer(self) -> str:
        """What the reader can do for one more hint."""
        which = "a hint" if not self.hints else "the last hint" if self.more == 1 else "the next hint"
        return f"Run the check again for {which}."


def _marked_up(text: str) -> str:
    """Plain text as HTML; `code` and *emphasis* as in Markdown."""
    code = '<code style="color:inherit;background:transparent;padding:0">\\1</code>'
    # Emphasis only where no blank follows the star: in formulas a star is a product.
    pieces = re.split(r"(`[^`]+`)", html.escape(text, quote=False))
    return "".join(
        re.sub(r"`([^`]+)`", code, piece)
        if piece.startswith("`")
        else re.sub(r"(?<![\w*])\*(\w[^*]*?\w|\w)\*(?![\w*])", r"<em>\1</em>", piece)
        for piece in pieces
    )


def hints(*graded: str) -> Callable[[C], C]:
    """Decorator of a check: up to three hints, the last one nearly the answer."""
    if not 1 <= len(graded) <= 3:
        raise ValueError(f"a check has one to three hints, not {len(graded)}")

    def attach(check: C) -> C:
        check.hints = graded  # type: ignore[attr-defined]
        return check

    return attach


def run(check: Check, answer: Any, *settings: Any) -> Verdict:
    """Judge an answer, a function or a value, by one of the checks; never raises what the answer raises.

    The first unsuccessful run gives the reason alone, each further one a hint more.
    """
    verdict = _judge(check, answer, settings)
    name = f"{check.__module__}.{check.__name__}"
    if verdict.state == "right":
        del _attempts[name]
        return verdict
    graded: tuple[str, ...] = getattr(check, "hints", ())
    shown = min(_attempts[name], len(graded))
    _attempts[name] += 1
    return Verdict(verdict.state, verdict.message, graded[:shown], len(graded) - shown)


def yours_if_right(check: Check, yours: A, solution: A, *settings: Any) -> A:
    """The reader's answer if it passes the check, else the chapter's solution, so that the chapter can go on."""
    return yours if _judge(check, yours, settings).state == "right" else solution


def _judge(check: Check, answer: Any, settings: tuple[Any, ...]) -> Verdict:
    try:
        said = check(answer, *settings)
    except Unsolved as stub:
        return Verdict("not yet", _sentence(f"this exercise is still to be solved: {stub}"))
    except NotYet as reason:
        return Verdict("not yet", _sentence(str(reason)))
    except Exception as error:
        return Verdict("cannot be run", _where(error, answer))
    return Verdict("right", _sentence(re.sub(r"^Right[.:]?\s*", "", said)))


def _sentence(text: str) -> str:
    """With a capital and a full stop, unless it begins with a symbol or a name, or ends in code."""
    if re.match(r"[a-z]{2,}(?:,| [a-z])", text):
        text = text[0].upper() + text[1:]
    return text + "." if text and text[-1] not in ".?!`" else text


def _where(error: Exception, answer: Any) -> str:
    """The error and the line of the reader's own function in which it arose."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if not callable(answer) and "not callable" in what:
        return (
            f"This exercise asks for a function; your answer is {described(answer)}. Perhaps a cell has used the "
            "function's name for something else: run the cell that defines the function again, then the check."
        )
    code = getattr(answer, "__code__", None)
    if code is None:
        return f"Your answer is {described(answer)}; the check cannot use it ({what})."
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == code.co_filename]
    if not frames:  # the call itself, or a value that no check foresaw
        return f"Calling your function `{code.co_name}` ends with {what}."
    line = linecache.getline(code.co_filename, frames[-1].lineno or 0).strip()
    number = (frames[-1].lineno or 0) - code.co_firstlineno + 1
    return f"Line {number} of your function{f', `{line}`,' if line else ''} ends with {what}."
