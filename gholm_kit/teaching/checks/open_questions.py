"""Checks of chapter 08: many comparisons at once, and a paper taken literally."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gholm_kit.teaching.checks.answers import NotYet, array, described, explain, predicted_number, shaped
from gholm_kit.teaching.checks.verdict import hints
from gholm_lib.config import ConfigError, load_config


@hints(
    "Each comparison is a false alarm with probability 0.05. How many of 20 is that on average?",
    "The probability of at least one is 1 minus the probability of none; for one comparison that is 0.95.",
    "expected = 0.05 · 20; at_least_one = 100 · (1 − 0.95 ** 20).",
)
def by_chance(guess: dict, comparisons: int) -> str:
    """Exercise 1: of so many readings that change nothing, how many seem to, and how probable is at least one?"""
    expected, any_at_all = 0.05 * comparisons, 100 * (1 - 0.95**comparisons)
    said, sure = (predicted_number(guess, name) for name in ("expected", "at_least_one"))
    if not 0.5 * expected <= said <= 1.5 * expected:
        raise NotYet(
            f"expected: each of the {comparisons} intervals misses with probability 0.05; add that up"
        )
    if np.isclose(sure, 5, atol=0.5):
        raise NotYet("at_least_one: 5 % is the probability for *one* comparison; there are many")
    if np.isclose(sure, min(100.0, 5.0 * comparisons), atol=0.5):
        raise NotYet(
            "at_least_one: such probabilities do not add up; take 1 minus the probability that none misses"
        )
    if np.isclose(sure, any_at_all / 100, atol=0.02):
        raise NotYet("at_least_one: give the answer in percent")
    if np.isclose(sure, 100 - any_at_all, atol=2):
        raise NotYet("at_least_one: that is the probability that none misses")
    if not np.isclose(sure, any_at_all, atol=5):
        raise NotYet(f"at_least_one: 100 · (1 − 0.95 ** {comparisons})")
    return "Right."


@hints(
    "Eq. (11) begins with a sum over i, and nothing in it divides z by its length.",
    "The fields are called `reduction` and `normalize`; chapter 04 used both.",
    'reduction is "sum", normalize is False; everything else stays at its default.',
)
def to_the_letter(changes: dict) -> str:
    """Exercise 2: the fields of the Config that make eq. (11) what is printed: a sum, without a normalisation."""
    if not isinstance(changes, dict):
        raise NotYet(f"give a dict of fields and values, not {described(changes)}")
    odd = [field for field in changes if not isinstance(field, str)]
    if odd:
        raise NotYet(f"the fields are names in quotes; yours has {odd[0]!r}")
    for field, value in changes.items():
        if not isinstance(value, str | int | float):
            raise NotYet(f"{field}: a value is a word, a number, True or False; yours is {described(value)}")
    try:
        load_config("mini", **changes)
    except ConfigError as error:
        raise NotYet(f"the Config refuses this: {error}") from error
    if not changes:
        raise NotYet(
            "which two fields differ from the printed form? `gholm train --help` lists them under 'losses'"
        )
    if "denominator" in changes and changes["denominator"] != "negatives":
        raise NotYet(
            'denominator: the printed form has only the negatives, as our default does; "all" is Khosla\'s'
        )
    if changes.get("reduction") != "sum":
        raise NotYet("eq. (11) begins with a sum over i ∈ I; our default takes the mean")
    if changes.get("normalize") is not False:
        raise NotYet("the printed form nowhere divides z by its length; our default does")
    extra = set(changes) - {"reduction", "normalize", "denominator"}
    if extra:
        raise NotYet(f"{', '.join(sorted(extra))}: eq. (11) does not mention this; leave it at its default")
    return "Right."


@hints(
    "Sort first, but remember where each p value came from: np.argsort gives the positions.",
    "The k-th smallest, counted from 0, is compared with 0.05 / (M − k). Stop at the first that is too large.",
    "for k, i in enumerate(np.argsort(p)): stop if p[i] > 0.05 / (len(p) - k), else mark position i as True.",
)
def holm(answer: Callable) -> str:
    """Exercise 3: ``answer(p)``, (M,) p values → (M,) bool: which are significant at 5 % after Holm's correction."""
    p = np.array([0.30, 0.012, 0.001, 0.02, 0.04])
    found = array(shaped(answer(p.copy()), p.shape, "each p value gets an answer"), "True and False")
    if found.dtype != bool:
        raise NotYet(f"the answers are True or False, not {found.dtype}")
    wrong = {
        "that is no correction at all: every p below 0.05": p < 0.05,
        "that is Bonferroni, 0.05 / M for all; Holm compares the second smallest with 0.05 / (M − 1), and so on": (
            p < 0.05 / len(p)
        ),
    }
    ranks = np.sort(p) <= 0.05 / (len(p) - np.arange(len(p)))
    wrong["those are the answers in the order of the sorted p values; put them back where each p stood"] = (
        ranks
    )
    wrong["that is the other way round: True means that it remains significant"] = ~(p < 0.015)
    explain(found, wrong, np.array_equal)
    if found.tolist() != [False, True, True, False, False]:
        raise NotYet(
            f"for p = {p.tolist()}, compare the smallest, 0.001, with 0.05 / 5, then 0.012 with 0.05 / 4, and 0.02 "
            f"with 0.05 / 3: this one fails, so all larger ones fail too. Your function gives {found.tolist()}"
        )
    # The third fails; the fourth would pass its own bound, but nothing passes after a failure.
    again = array(answer(np.array([0.001, 0.002, 0.024, 0.024, 0.2])), "True and False").tolist()
    if again == [True, True, False, True, False]:
        raise NotYet("once a p value fails, all larger ones fail, even if they pass their own bound")
    if again != [True, True, False, False, False]:
        raise NotYet(
            "correct for one list of p values, wrong for another: is a number written into your function?"
        )
    return "Right."
