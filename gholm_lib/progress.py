"""A line now and then where no progress bar is seen: in a log, a silent hour looks like a hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 50.0  # seconds between lines: one at least every minute, whatever a step takes


@contextmanager
def log_lines(status: Callable[[], str], wanted: bool, say: Callable[[str], None]) -> Iterator[None]:
    """While inside, say ``status()`` and how long it has been going on, now and then, from a thread of its own.

    wanted  False says nothing: a bar shows the progress, or nobody wants to see any
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
