"""Make the runs that are not recorded yet, and report how much is left.

The record of a finished run (``record.json`` and ``predictions.npz``, no weights) is saved in the records folder. If
a run's loss stops being finite, ``failure.json`` is saved there instead: this is a result, too. The command can be
killed at any moment. Started again, it skips recorded runs and resumes the interrupted one after its last complete
epoch.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gholm_kit.reproduction.archive import FAILURE, Archive
from gholm_kit.reproduction.estimate import Estimate
from gholm_kit.reproduction.jobs import Job
from gholm_kit.rivals import network
from gholm_lib.config import Config, RunOptions
from gholm_lib.datasets import DataError, FineGrainedData, dataset_info, load_dataset
from gholm_lib.gradcam import NonFiniteError
from gholm_lib.provenance import of_record, origin, require_same, split_data
from gholm_lib.records import RECORD, Record, write_whole
from gholm_lib.runs import evaluate_run
from gholm_lib.training import is_main_process, train


def make_runs(
    jobs: Sequence[Job], records: Path, options: RunOptions, say: Callable[[str], None] = print
) -> None:
    """Make the jobs that are not recorded, in order; print a line of progress after each.

    raises DataError, before anything starts, if a data set is missing
    """
    if not is_main_process():  # several processes share each run; only one prints
        say = _nothing
    archive = Archive.read(records)
    todo = [j for j in jobs if j not in archive]
    for dataset in dict.fromkeys(j.config.dataset for j in todo):
        load_dataset(dataset, options.data_root)
    for line in require_own_records(jobs, archive, records, options):
        say(line)
    estimate = Estimate.of(archive, options)
    say(f"{len(jobs)} runs and tests, {len(jobs) - len(todo)} recorded already; {estimate.left(todo)}")
    for done, job in enumerate(todo, 1):
        start = time.perf_counter()
        result = make(job, records, options)
        if isinstance(result, Record):
            estimate.learn(job, result)
            outcome = _accuracy_of(result)
        else:
            outcome = _said_of(result)
        say(
            f"[{done}/{len(todo)}] {job.name}: {outcome}, {time.perf_counter() - start:.0f} s; "
            f"{estimate.left(todo[done:])}"
        )


def _accuracy_of(record: Record) -> str:
    """The last accuracy: on held-out images where there are some, as choices are made on them alone."""
    held_out = record.curve[-1].get("held_out") if record.curve else None
    return f"{held_out[record.answer]:.1f} % held out" if held_out else f"{record.accuracy:.1f} %"


def with_data(jobs: Sequence[Job], options: RunOptions) -> tuple[list[Job], list[str]]:
    """The jobs whose data set is here, and a line about each set that is not."""
    lacking = [n for n in dict.fromkeys(j.config.dataset for j in jobs) if _data_at_hand(n, options) is None]
    lines = []
    for name in lacking:
        count, info = sum(j.config.dataset == name for j in jobs), dataset_info(name)
        lines.append(f"{name} is not here, so {count} of the runs and tests are left out: {info.next_step}")
    return [j for j in jobs if j.config.dataset not in lacking], lines


def _said_of(failure: dict[str, Any]) -> str:
    epoch, mu = failure["epoch"], failure["tested_mu"]
    if epoch is None:
        return f"not finite when tested with mu {mu:g}" if mu else "not finite"
    return f"loss not finite in epoch {epoch}" if failure["step"] else f"not finite after epoch {epoch}"


def require_own_records(
    jobs: Sequence[Job], archive: Archive, records: Path, options: RunOptions
) -> Iterator[str]:
    """Compare records and failure notes with the current data; yields a line about older ones, if there are any.

    Records of a data set that is not installed are not compared: no new run uses it.

    raises OtherOriginError
    """
    recorded = [j for j in jobs if j in archive]
    sets = {name: _data_at_hand(name, options) for name in {j.config.dataset for j in recorded}}
    advice = "choose another records folder (--records), or remove this record to make the run again"
    silent = []
    for job in recorded:
        data = sets[job.config.dataset]
        if data is not None:
            now = origin(job.config, split_data(job.config, data))
            silent.append(require_same(_kept(job, archive), now, records / job.name, data.root, advice))
    older = [line for line in silent if line]
    if older:
        yield f"{len(older)} records are older and do not describe all of their data, for example: {older[0]}"


def _data_at_hand(name: str, options: RunOptions) -> FineGrainedData | None:
    try:
        return load_dataset(name, options.data_root)
    except DataError:
        return None


def _kept(job: Job, archive: Archive) -> Mapping[str, Any]:
    if job in archive.records:
        return of_record(archive.records[job])
    return archive.failures[job].get("data", {})


def _nothing(line: str) -> None:
    """Print nothing."""


def make(job: Job, records: Path, options: RunOptions) -> Record | dict[str, Any]:
    """Train (or resume, or test) and record one job; returns its record, or the note of its failure."""
    try:
        record = train(job.config, options, network=network)
        if job.tested_mu is not None:
            record = _tested(job, options)
    except NonFiniteError as error:
        failure = _failure(job, error, options)
        # The process that fails writes the note, as the others may not fail. Then all must stop: they wait for it.
        (records / job.name).mkdir(parents=True, exist_ok=True)
        text = json.dumps(failure, indent=1).encode()
        write_whole(records / job.name / FAILURE, lambda f: f.write(text))
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise
        return failure
    if is_main_process():
        kept = replace(record, config=_shortened(job.config).to_dict())
        kept.save(records / job.name)  # record.json is last, so an incomplete copy is never a record
    return record


def _tested(job: Job, options: RunOptions) -> Record:
    """The record of a trained network, tested with another mu."""
    record = evaluate_run(Path(options.runs) / job.config.run_id, options, job.tested_mu)
    record.config = job.config.to_dict()  # as trained
    record.tested_mu = job.tested_mu
    return record


def _failure(job: Job, error: NonFiniteError, options: RunOptions) -> dict[str, Any]:
    """The note of a failure: settings, message and, if training recorded them, epoch, step and loss terms."""
    note = {"epoch": None, "step": None}
    path = Path(options.runs) / job.config.run_id / FAILURE
    if path.exists() and not (path.parent / RECORD).exists():  # otherwise the file is from an earlier attempt
        note |= json.loads(path.read_text())
    # JSON has no NaN or infinity.
    terms = {k: str(v) if not math.isfinite(v) else v for k, v in note.pop("terms", {}).items()}
    about = {"config": _shortened(job.config).to_dict(), "tested_mu": job.tested_mu}
    return {**about, **note, "terms": terms, "message": str(error).split(" The state")[0]}


def _shortened(config: Config) -> Config:
    """Keep only the name of a weights file (its digest is in the data): a shared record names nobody's folders."""
    return config.replace(weights=Path(config.weights).name)
