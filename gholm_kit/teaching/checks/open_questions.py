"""Checks of chapter 08: what many comparisons do to each, and what it is to read a paper to the letter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gholm_kit.teaching.checks.answers import NotYet
from gholm_lib.config import ConfigError, load_config


def by_chance(guess: dict, comparisons: int) -> str:
    """Exercise 1: of so many readings that change nothing, how many look as if they did, and how surely one does."""
    expected, any_at_all = 0.05 * comparisons, 100 * (1 - 0.95**comparisons)
    for name in ("expected", "at_least_one"):
        if guess.get(name, ...) in (..., None):
            raise NotYet(f"{name}: write a number in place of the dots")
    said, sure = float(guess["expected"]), float(guess["at_least_one"])
    if said < 0.5 * expected or said > 1.5 * expected:
        raise NotYet(f"expected: each of {comparisons} intervals misses with a chance of 0.05; add that up")
    if np.isclose(sure, 5, atol=0.5):
        raise NotYet("at_least_one: 5 % is the chance of *one* comparison; there are many")
    if np.isclose(sure, min(100.0, 5.0 * comparisons), atol=0.5):
        raise NotYet(
            "at_least_one: chances of that kind do not add up; take 1 minus the chance that none misses"
        )
    if np.isclose(sure, any_at_all / 100, atol=0.02):
        raise NotYet("at_least_one: in percent, please")
    if np.isclose(sure, 100 - any_at_all, atol=2):
        raise NotYet("at_least_one: that is the chance that none misses")
    if not np.isclose(sure, any_at_all, atol=5):
        raise NotYet(f"at_least_one: 100 · (1 − 0.95 ** {comparisons})")
    return "Right."


def to_the_letter(changes: dict) -> str:
    """Exercise 2: the fields of the Config that make eq. (11) what is printed: a sum over unnormalised vectors."""
    if not isinstance(changes, dict):
        raise NotYet(f"a dict of fields and values is wanted, got {type(changes).__name__}")
    try:
        load_config("mini", **changes)
    except ConfigError as error:
        raise NotYet(f"the Config refuses this: {error}") from error
    if not changes:
        raise NotYet(
            "which two fields differ from the print? `gholm train --help`, part 'losses', lists them"
        )
    if "denominator" in changes and changes["denominator"] != "negatives":
        raise NotYet(
            'denominator: the print has the negatives only, and so has our default; "all" is Khosla\'s'
        )
    if changes.get("reduction") != "sum":
        raise NotYet("eq. (11) begins with a sum over i ∈ I; our default takes the mean")
    if changes.get("normalize") is not False:
        raise NotYet("nowhere does the print divide z by its length; our default does")
    extra = set(changes) - {"reduction", "normalize", "denominator"}
    if extra:
        raise NotYet(f"{', '.join(sorted(extra))}: eq. (11) says nothing of that; leave it at its default")
    return "Right."


def holm(answer: Callable) -> str:
    """Exercise 3: ``answer(p)``, (M,) p values → (M,) bool: which hold at 5 % after Holm's correction."""
    p = np.array([0.30, 0.012, 0.001, 0.02, 0.04])
    found = answer(p.copy())
    if found is None:
        raise NotYet("your function returns nothing: end it with `return ...`")
    found = np.asarray(found)
    if found.shape != p.shape:
        raise NotYet(f"one answer for each p value is wanted, shape {p.shape}; got {found.shape}")
    if found.dtype != bool:
        raise NotYet(f"True or False for each p value is wanted, got {found.dtype}")
    wrong = {
        (False, True, True, True, True): "that is no correction at all: every p below 0.05",
        (
            False,
            False,
            True,
            False,
            False,
        ): "that is Bonferroni, 0.05 / M for all; Holm compares the second smallest "
        "with 0.05 / (M − 1), and so on",
    }
    reason = wrong.get(tuple(found.tolist()))
    if reason:
        raise NotYet(reason)
    right = np.array([False, True, True, False, False])
    if not np.array_equal(found, right):
        raise NotYet(
            f"for p = {p.tolist()} the smallest, 0.001, is held against 0.05 / 5, 0.012 against 0.05 / 4, 0.02 "
            f"against 0.05 / 3 and fails, so all larger ones fail too. Your function gives {found.tolist()}"
        )
    # The third fails; the fourth would pass its own bound, but nothing passes after a failure.
    if answer(np.array([0.001, 0.002, 0.024, 0.024, 0.2]))[3]:
        raise NotYet("once a p value fails, all larger ones fail, even if they pass their own bound")
    return "Right."
