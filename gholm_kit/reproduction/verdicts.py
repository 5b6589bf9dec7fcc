"""When do the records agree with a claim of the paper? The rule in one place.

A claim here is a direction: this row is better than that one. Whether a measured difference has a direction is
decided for all comparisons of one table together, by Holm's correction of their p values (``uncertainty.holm``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gholm_kit.table import FAR_APART, NOT_RUN, Interval
from gholm_lib.uncertainty import Difference, holm

REPRODUCED, CONTRADICTED = "reproduced", "contradicted"  # on the paper's data
SAME, OPPOSITE = "same direction", "opposite direction"  # on other data
UNCLEAR = "not distinguishable"
ONE_SEED = "one seed: no verdict"  # how far two seeds differ is not known
COMPATIBLE = "inside the interval"
LEVEL = 0.05  # of a family of comparisons

Agreement = (
    int | None
)  # with the claim: 1 as the paper says, -1 the other way, 0 neither is significant, None not run

NUMBER_RULE = (
    "The paper's number itself: *inside the interval* of the measured accuracy (easy for a wide interval), or "
    "*measured above it* or *below it*."
)


def rule(real: bool) -> str:
    """The rule in words; ``real``: on the data that the paper used."""
    agree, differ = (REPRODUCED, CONTRADICTED) if real else (SAME, OPPOSITE)
    return (
        f"Verdict on a direction that the paper claims: *{agree}* or *{differ}* where the difference is significant "
        f"at 5 % after Holm's correction over the comparisons of this table; *{UNCLEAR}* where it is not; "
        f"*{NOT_RUN}* without records. Interval and p are those of the single comparison, before the correction. "
        "*Unstable*: some runs of a row, but not all, are at chance level, or the runs lie more than "
        f"{FAR_APART:.0f} points apart; such a row has no common mean, so it gets neither an interval nor a test. A "
        "difference of single runs gets no verdict either: its interval does not contain how far seeds differ."
    )


# ---------------------------------------------------------------------- is there a direction?


def too_few(change: Difference | None) -> str | None:
    """Why a difference between trained rows gets no verdict, in words; None where it gets one, or is missing."""
    return ONE_SEED if change is not None and change.seeds == 1 else None


def directions(changes: Sequence[Difference | None]) -> list[int | None]:
    """The sign of each significant difference of one family, 0 for the others; None where nothing was measured.

    Significant: Holm's adjusted p, over the measured differences of the family, is below 5 %.
    """
    measured = [c for c in changes if c is not None]
    adjusted = iter(holm([c.p for c in measured]))
    return [None if c is None else int(np.sign(c.mean)) * (next(adjusted) < LEVEL) for c in changes]


# ---------------------------------------------------------------------- verdicts


def agreement(direction: int | None, claimed: float) -> Agreement:
    """Of a measured direction with "this is better" (``claimed`` > 0) or "this is worse" (< 0)."""
    if claimed == 0:
        raise ValueError("the paper claims no direction here")
    return None if direction is None else direction * int(np.sign(claimed))


def of_all(agreements: Iterable[Agreement]) -> Agreement:
    """Agreement with a claim that makes several comparisons: the worst of them counts."""
    agreements = set(agreements)
    for worst in (-1, None, 0, 1):
        if worst in agreements:
            return worst
    raise ValueError("no comparison at all")


def word(agreement: Agreement, real: bool) -> str:
    """The verdict; ``real``: on the data that the paper used."""
    if agreement is None:
        return NOT_RUN
    if agreement == 0:
        return UNCLEAR
    return {1: (SAME, REPRODUCED), -1: (OPPOSITE, CONTRADICTED)}[agreement][real]


def of_number(measured: Interval | None, paper: float) -> str:
    """Where the accuracy that the paper prints lies; only for the data that the paper used."""
    if measured is None:
        return NOT_RUN
    if measured.low <= paper <= measured.high:
        return COMPATIBLE
    return "measured above it" if measured.low > paper else "measured below it"


def of_effect(direction: int | None) -> str:
    """What another reading does to the accuracy."""
    return {None: NOT_RUN, 1: "better", -1: "worse", 0: UNCLEAR}[direction]
