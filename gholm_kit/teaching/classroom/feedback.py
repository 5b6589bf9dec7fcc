"""A student's page of feedback: one HTML file that needs nothing else, with no script in it."""

from __future__ import annotations

import re
from html import escape

from gholm_kit.teaching.classroom.grade import CANNOT, EMPTY, MISSING, RIGHT, Graded, Mark

# Sign, word and colours (text, ground): the sign and the word say it in grey print too. Contrast at least 4.5 : 1.
_LOOKS = {
    RIGHT: ("✓", "Right", "#14532d", "#dcf3e4"),
    "not yet": ("…", "Not yet", "#713f12", "#fdf0c8"),
    CANNOT: ("×", "Cannot be run", "#7f1d1d", "#fbe0dc"),
    EMPTY: ("–", "Not answered", "#3f3f46", "#ececef"),
    MISSING: ("–", "Not handed in", "#3f3f46", "#ececef"),
}
_LONGEST = 4000  # characters of a cell that are shown
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2328; background: #fff; max-width: 52rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 0; flex: 1; } header p { margin: .2rem 0; }
.bar { height: .7rem; background: #ececef; border-radius: .35rem; overflow: hidden; margin: .8rem 0; }
.bar div { height: 100%; background: #0072b2; }
section { border-left: .3rem solid var(--ink); background: var(--ground); padding: .6rem .9rem; margin: .7rem 0;
  border-radius: .3rem; break-inside: avoid; }
.top { display: flex; gap: 1rem; align-items: baseline; } .mark { color: var(--ink); font-weight: 600; }
section p { margin: .4rem 0 0; overflow-wrap: anywhere; } details { margin-top: .4rem; }
summary { cursor: pointer; color: #3f3f46; }
pre { background: #fff; padding: .6rem; overflow-wrap: anywhere; white-space: pre-wrap; font-size: .85rem;
  border-radius: .3rem; margin: .4rem 0 0; }
@media print { body { margin: 0; } }
"""


def page(graded: Graded) -> str:
    """The page as HTML; whatever a student wrote is shown as text."""
    name = escape(graded.hand_in.student)
    share = 100 * graded.points / graded.most if graded.most else 0
    sections = [s for chapter in _by_chapter(graded) for s in chapter]
    notes = "".join(f"<p>{escape(n)}</p>" for n in graded.hand_in.notes)
    total = f"{graded.points:g} of {graded.most:g} points"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}: {total}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>{_STYLE}</style></head><body>
<header><h1>{name}</h1><p>{total}</p>
<div class="bar" role="img" aria-label="{total}"><div style="width: {share:.1f}%"></div></div>{notes}</header>
{"".join(sections)}
</body></html>
"""


def _by_chapter(graded: Graded) -> list[list[str]]:
    chapters: dict[str, list[Mark]] = {}
    for mark in graded.marks:
        chapters.setdefault(mark.exercise.key[:2], []).append(mark)
    return [
        [f"<h2>Chapter {escape(name)}: {_sum(own)}</h2>", *map(_section, own)]
        for name, own in chapters.items()
    ]


def _sum(marks: list[Mark]) -> str:
    return f"{sum(m.points for m in marks):g} of {sum(m.exercise.points for m in marks):g}"


def _section(mark: Mark) -> str:
    sign, word, ink, ground = _LOOKS[mark.verdict]
    message = f"<p>{_told(mark.message)}</p>" if mark.message and mark.verdict != EMPTY else ""
    answer = ""
    if mark.source and mark.verdict != EMPTY:
        shown = mark.source[:_LONGEST] + ("\n…" if len(mark.source) > _LONGEST else "")
        open_ = "" if mark.verdict == RIGHT else " open"
        answer = f"<details{open_}><summary>Your answer</summary><pre>{escape(shown)}</pre></details>"
    points = f"{mark.points:g} of {mark.exercise.points:g}"
    title = escape(mark.exercise.title)
    return f"""<section style="--ink: {ink}; --ground: {ground}"><div class="top"><h3>{title}</h3>
<span class="mark">{sign} {word}, {points}</span></div>{message}{answer}</section>
"""


def _told(message: str) -> str:
    """A check's message as HTML: a sentence, with `code` and *emphasis* as in Markdown."""
    text = escape(
        message[0].upper() + message[1:] if re.match(r"[a-z]+[ ,']", message) else message, quote=False
    )
    text = text if text.endswith((".", "?", "!")) else text + "."
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"(?<![\w*])\*(\w[^*]*)\*(?![\w*])", r"<em>\1</em>", text)
