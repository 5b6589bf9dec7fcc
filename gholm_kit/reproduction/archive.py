"""The records of one folder, looked up by job."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gholm_kit.reproduction.jobs import Job
from gholm_lib.config import Config, config_from_dict
from gholm_lib.records import Record, RecordError, load_records

FAILURE, PARTS = "failure.json", "parts.npz"


@dataclass
class Archive:
    """Records, and notes of runs whose loss stopped being finite, by job.

    Jobs are identified by their settings, not by folder names. So old records are still found if the kit later gains
    a setting whose default they used.
    """

    records: dict[Job, Record]
    failures: dict[Job, dict[str, Any]]
    parts: dict[Job, dict[str, Any]] = field(default_factory=dict)  # see ``parts``

    @classmethod
    def read(cls, folder: str | Path) -> Archive:
        """Read every record and every failure note below a folder (which need not exist)."""
        notes = [_note(p) for p in sorted(Path(folder).rglob(FAILURE))]
        records = {Job(r.settings, r.tested_mu): r for r in load_records(folder)}
        failures = {Job(config_from_dict(n["config"]), n["tested_mu"]): n for n in notes if "tested_mu" in n}
        shares = {j: load_parts(Path(folder) / j.name / PARTS) for j in records}
        return cls(records, failures, {j: found for j, found in shares.items() if found})

    def __contains__(self, job: Job) -> bool:
        return job in self.records or job in self.failures

    def row(self, config: Config, tested_mu: float | None = None) -> list[Record]:
        """The records of these settings, by seed."""
        return self._recorded.get(Job(config.replace(seed=0), tested_mu), [])

    def failed(self, config: Config, tested_mu: float | None = None) -> list[dict[str, Any]]:
        """The failure notes of these settings, by seed."""
        return self._failed.get(Job(config.replace(seed=0), tested_mu), [])

    def part_row(self, config: Config) -> list[dict[str, Any]]:
        """The part shares of these settings, by seed."""
        return self._with_parts.get(Job(config.replace(seed=0)), [])

    @cached_property
    def _with_parts(self) -> dict[Job, list[dict[str, Any]]]:
        return _by_row(self.parts)

    @cached_property
    def _recorded(self) -> dict[Job, list[Record]]:
        return _by_row(self.records)

    @cached_property
    def _failed(self) -> dict[Job, list[dict[str, Any]]]:
        return _by_row(self.failures)


def _note(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise RecordError(f"{path} cannot be read as a failure note: {error}") from error


def load_parts(path: Path) -> dict[str, np.ndarray] | None:
    """One number per test image for each measure, by name; None if nothing was measured."""
    if not path.exists():
        return None
    with np.load(path) as file:
        return {k: v.astype(float) for k, v in file.items()}


def _by_row(jobs: dict[Job, Any]) -> dict[Job, list]:
    rows: dict[Job, list] = defaultdict(list)
    for job in sorted(jobs, key=lambda j: j.config.seed):
        rows[Job(job.config.replace(seed=0), job.tested_mu)].append(jobs[job])
    return rows
