"""When is a claim of the paper reproduced? The rule in one place.

A claim here is a direction: this row is better than that one. The measured difference has a 95 % interval over test
images and seeds (``uncertainty.difference``).
"""

from __future__ import annotations

from collections.abc import Iterable

from gholm_kit.table import NOT_RUN, Interval
from gholm_lib.uncertainty import Difference

REPRODUCED, CONTRADICTED, NOISE = "reproduced", "contradicted", "within noise"
COMPATIBLE = "inside the interval"
NUMBER_RULE = (
    "The paper's number itself: *inside the interval* of the measured accuracy, which a wide interval makes easy, "
    "or measured above or below it."
)
RULE = (
    "Verdict on a step that the paper reports: *reproduced* when the 95 % interval of the measured difference lies "
    "on the paper's side of zero, *contradicted* when it lies on the other side, *within noise* when it holds zero, "
    "*not run* without records. With many comparisons, one in twenty such intervals misses by chance."
)


def of_difference(measured: Difference | None, claimed: float) -> str:
    """Verdict on "this is better" (``claimed`` > 0) or "this is worse" (< 0)."""
    if claimed == 0:
        raise ValueError("the paper claims no direction here")
    if measured is None:
        return NOT_RUN
    low, high = (measured.low, measured.high) if claimed > 0 else (-measured.high, -measured.low)
    if low > 0:
        return REPRODUCED
    return CONTRADICTED if high < 0 else NOISE


def of_number(measured: Interval | None, paper: float) -> str:
    """Where the accuracy that the paper prints lies; only for the data that the paper used."""
    if measured is None:
        return NOT_RUN
    if measured.low <= paper <= measured.high:
        return COMPATIBLE
    return "measured above it" if measured.low > paper else "measured below it"


def of_effect(measured: Difference | None) -> str:
    """What another reading does to the accuracy, in words."""
    if measured is None:
        return NOT_RUN
    if measured.low > 0:
        return "better"
    return "worse" if measured.high < 0 else NOISE


def of_all(verdicts: Iterable[str]) -> str:
    """Verdict on a claim that makes several comparisons: the worst of them counts."""
    verdicts = set(verdicts)
    for verdict in (CONTRADICTED, NOT_RUN, NOISE, REPRODUCED):
        if verdict in verdicts:
            return verdict
    raise ValueError("no comparison at all")
