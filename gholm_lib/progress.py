"""Regular status lines for logs, which show no progress bar: a silent hour would look like a hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 50.0  # seconds between lines: at least one a minute, however long a step takes


@contextmanager
def log_lines(status: Callable[[], str], wanted: bool, say: Callable[[str], None]) -> Iterator[None]:
    """In this context, a separate thread prints ``status()`` and the time so far at regular intervals.

    wanted  if False, nothing is printed, as for a visible progress bar or a quiet run
    """
    if not wanted:
        yield
        return
    over, start = threading.Event(), time.monotonic()

    def speak() -> None:
        while not over.wait(EVERY):
            say(f"{status()}, {(time.monotonic() - start) / 60:.1f} min so far")

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
