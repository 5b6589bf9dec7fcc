"""What all checks share: the error that tells a reader what to look at."""

from __future__ import annotations


class NotYet(AssertionError):
    """The answer is not right yet; the message says what to look at."""
