"""The page of feedback: points, words beside colours, and messages as sentences."""

from __future__ import annotations

import re

import pytest

from gholm_kit.teaching.classroom import feedback, grade
from gholm_kit.teaching.classroom.exercises import Exercise

EXERCISE = Exercise("02-1", "Exercise 1: write", "a", "f = ...", "checks.a.b(f)", 2)


def page(verdict: str, message: str = "", source: str = "f = 1") -> str:
    mark = grade.Mark(EXERCISE, verdict, message, source)
    return feedback.page(grade.Graded(grade.HandIn("Anna"), [mark]))


@pytest.mark.parametrize("verdict", feedback._LOOKS)
def test_every_verdict_is_said_in_words(verdict):
    sign, word, *_ = feedback._LOOKS[verdict]
    text = page(verdict)
    points = "2 of 2" if verdict == grade.RIGHT else "0 of 2"
    assert f"{sign} {word}, {points}" in text
    assert f"<title>Anna: {points} points" in text
    assert "http" not in re.sub(r'http-equiv="[^"]*"', "", text), "the page needs nothing from the network"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("your code took longer than 20 s", "<p>Your code took longer than 20 s.</p>"),
        ("the map's *mean*, not `max`", "<p>The map's <em>mean</em>, not <code>max</code>.</p>"),
        ("empty_from: is 2 * 3 * 4?", "<p>empty_from: is 2 * 3 * 4?</p>"),
        ("<b>bold</b>.", "<p>&lt;b&gt;bold&lt;/b&gt;.</p>"),
    ],
)
def test_a_message_is_a_sentence(message, shown):
    assert shown in page("not yet", message)


@pytest.mark.parametrize("verdict", feedback._LOOKS)
def test_the_contrast_is_enough_to_read(verdict):
    """WCAG 2: at least 4.5 : 1."""
    _, _, ink, ground = feedback._LOOKS[verdict]
    low, high = sorted(map(luminance, (ink, ground)))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
