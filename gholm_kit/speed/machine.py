"""What depends on the machine: how soon the command line answers, and a training step beside other programs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pandas as pd

STARTS = {
    "python -c pass": ["-c", "pass"],
    "gholm --help": ["-m", "gholm_kit", "--help"],
    "gholm doctor --help": ["-m", "gholm_kit", "doctor", "--help"],
    "gholm train --help": ["-m", "gholm_kit", "train", "--help"],
    "gholm data list": ["-m", "gholm_kit", "data", "list"],
    "gholm results": ["-m", "gholm_kit", "results"],
}
# What a user may set before PyTorch is loaded; None: not set.
THREADS = {
    "default": {"OMP_WAIT_POLICY": None, "OMP_NUM_THREADS": None},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": None},
    "one thread": {"OMP_WAIT_POLICY": None, "OMP_NUM_THREADS": "1"},
}
_STEPS = """
import statistics, time
from gholm_kit.speed.timing import Case
from gholm_lib.config import Config
case, times = Case(Config(), 11, "cpu"), []
for _ in range({steps}):
    start = time.perf_counter()
    case.step()
    times.append(time.perf_counter() - start)
print(statistics.median(times[1:]))
"""


def start_times(repeats: int = 7) -> pd.DataFrame:
    """Columns "command", "CPU seconds" (median, user and system), "over python -c pass"."""
    taken: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(repeats + 1):
        for name, words in STARTS.items():
            taken[name].append(_cpu_seconds(words))
    rows = pd.DataFrame(
        {"command": list(taken), "CPU seconds": [statistics.median(v[1:]) for v in taken.values()]}
    )
    rows["over python -c pass"] = rows["CPU seconds"] - rows["CPU seconds"].iloc[0]
    return rows


def _cpu_seconds(words: Sequence[str]) -> float:
    before = os.times()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def busy_steps(steps: int = 12, rounds: int = 3) -> pd.DataFrame:
    """A training step of the mini network, alone and with a busy loop on each core.

    returns columns "machine" ("quiet", "busy"), "threads", "seconds a step" (median over rounds)
    """
    rows = []
    for machine, loops in (("quiet", 0), ("busy", os.cpu_count() or 1)):
        taken: dict[str, list[float]] = {name: [] for name in THREADS}
        with _busy_loops(loops):
            for _ in range(rounds):
                for name, setting in THREADS.items():
                    taken[name].append(_step_seconds(steps, setting))
        rows += [(machine, name, statistics.median(v)) for name, v in taken.items()]
    return pd.DataFrame(rows, columns=["machine", "threads", "seconds a step"])


def _step_seconds(steps: int, setting: dict[str, str | None]) -> float:
    env = {k: v for k, v in os.environ.items() if k not in setting}
    env |= {k: v for k, v in setting.items() if v is not None}
    done = subprocess.run(
        [sys.executable, "-c", _STEPS.format(steps=steps)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@contextmanager
def _busy_loops(count: int) -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    time.sleep(0.5 * bool(loops))
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
