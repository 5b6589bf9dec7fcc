"""Start-up and busy machines: the tables have their rows; no time is asserted."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gholm_kit.speed import machine


@pytest.mark.slow
def test_start_times_has_a_row_for_each_command():
    table = machine.start_times(repeats=1)
    assert table["command"].tolist() == list(machine.STARTS)
    assert (table["CPU seconds"] > 0).all()
    assert table["over python -c pass"].iloc[0] == 0


@pytest.mark.slow
def test_busy_steps_leaves_no_loop_behind(monkeypatch):
    started = []
    plain = subprocess.Popen

    def noted(*args, **kwargs):
        started.append(plain(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(machine.subprocess, "Popen", noted)
    monkeypatch.setattr(machine, "THREADS", {"one thread": machine.THREADS["one thread"]})
    table = machine.busy_steps(steps=2, rounds=1)
    assert table["machine"].tolist() == ["quiet", "busy"]
    assert (table["seconds a step"] > 0).all()
    loops = [p for p in started if p.args[:2] == [sys.executable, "-c"] and "while True" in p.args[2]]
    assert len(loops) == os.cpu_count()
    assert all(loop.poll() is not None for loop in loops)


def test_a_setting_replaces_what_the_shell_had(monkeypatch):
    seen = {}

    def run(words, env, **_):
        seen.update(env)
        return subprocess.CompletedProcess(words, 0, stdout="0.5\n")

    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(machine.subprocess, "run", run)
    assert machine._step_seconds(3, machine.THREADS["OMP_WAIT_POLICY=PASSIVE"]) == 0.5
    assert seen["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "OMP_NUM_THREADS" not in seen
