"""A run that draws its losses and its accuracy while it trains: `train(config, watch=watching.curves())`.

One figure in the notebook, drawn again at most every second, with the time left. Where nobody looks (CI, nbconvert,
a plain script) nothing is drawn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle, Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gholm_kit import style
from gholm_lib.training import Progress, Watch

EVERY = 1.0  # seconds between two drawings, at least
SHARE = 0.05  # of the time may go into drawing, at most
DPI = 80


def curves() -> Watch | None:
    """A watcher for `gholm_lib.training.train` that draws the run; None where nobody looks."""
    return Curves() if someone_looks() else None


def someone_looks() -> bool:
    """Whether this code runs in a notebook that a person has open, and not in CI."""
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None or os.environ.get("CI", "") not in ("", "0", "false"):
        return False
    # nbconvert and the like execute a notebook with nobody there to answer a question.
    return bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


class Curves:
    """Draws a run into one output of a notebook cell.

    clock  seconds; a test gives another one
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.handle: DisplayHandle | None = None
        self.due = clock() + EVERY

    def __call__(self, progress: Progress) -> None:
        """Draw, unless it is too early; the end of the run is always drawn."""
        start = self.clock()
        over = progress.done == progress.total and progress.so_far is None
        if start < self.due and not over:
            return
        picture = Image(data=style.png(figure(progress), dpi=DPI), alt=in_words(progress))
        if self.handle is None:
            self.handle = display(picture, display_id=True)
        else:
            self.handle.update(picture)
        now = self.clock()
        self.due = now + max(EVERY, (now - start) / SHARE)


@style.in_style
def figure(progress: Progress) -> Figure:
    """Losses and accuracies of the finished epochs and of the one that runs; the title says the time left."""
    fig = Figure(figsize=(12, 3.8))
    left, right = fig.subplots(1, 2, gridspec_kw={"left": 0.07, "right": 0.98, "bottom": 0.18, "top": 0.8})
    epochs, entries = _points(progress)
    for term in entries[0]["losses"]:
        if term != "total":
            style.curve(left, epochs, [e["losses"][term] for e in entries], term)
    accuracy = [e["train_accuracy"] for e in entries]
    right.plot(epochs, accuracy, color="0.5", marker="o", label="training images")
    tested = [e for e in progress.curve if "test" in e]
    for answer in ("raw", "crop", "both"):
        if tested and answer in tested[0]["test"]:
            values = [e["test"][answer] for e in tested]
            style.curve(right, [e["epoch"] for e in tested], values, answer)
    _label(left, "loss (training)", progress)
    _label(right, "accuracy in %", progress)
    right.set_ylim(0, 100)
    fig.suptitle(in_words(progress), fontsize=15)
    return fig


def _points(progress: Progress) -> tuple[list[float], list[dict]]:
    """Where the points of the curves are, in epochs, and what they show."""
    entries = list(progress.curve)
    places: list[float] = [e["epoch"] for e in entries]
    if progress.so_far is not None:
        entries.append(progress.so_far())
        places.append(progress.done / progress.an_epoch)
    return places, entries


def _label(ax: Axes, what: str, progress: Progress) -> None:
    ax.set(xlabel="epoch", ylabel=what, xlim=(0, progress.total / progress.an_epoch * 1.02))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(loc="center left" if what.startswith("loss") else "upper left", fontsize=12)


def in_words(progress: Progress) -> str:
    """ "step 120 of 280, about 40 s left"."""
    if progress.done == progress.total and progress.so_far is None:
        return f"{progress.total} steps, finished"
    seconds = progress.seconds
    left = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f"step {progress.done} of {progress.total}, about {left} left"
