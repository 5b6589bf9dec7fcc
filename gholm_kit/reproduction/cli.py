"""``gholm reproduce``: make the missing runs, then the tables and figures."""

from __future__ import annotations

from pathlib import Path

import torch

from gholm_kit.reproduction import jobs
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.estimate import plan
from gholm_kit.reproduction.make import is_main_process, make_runs
from gholm_kit.reproduction.outputs import (
    differing_files,
    differing_run,
    ledger_tables,
    tables_folder,
    write_all,
)
from gholm_kit.reproduction.paper_figures import differing_figures, write_figure
from gholm_kit.reproduction.paper_tables import paper_table
from gholm_kit.reproduction.part_shares import measure_parts
from gholm_kit.reproduction.request import Request
from gholm_kit.table import Table
from gholm_lib.paths import records_folder


def wanted(request: Request) -> list[jobs.Job]:
    """The jobs behind a request."""
    preset, chosen = request.preset, []
    rivals = jobs.with_seeds(jobs.rival_jobs(preset, request.rivals), request.seeds)
    if request.all:
        return jobs.all_jobs(preset, request.seeds) + rivals
    for table in request.table:
        chosen += jobs.table_jobs(_known(table, jobs.TABLES, "table"), preset)
    seeded = jobs.with_seeds(chosen, request.seeds)
    for figure in request.figure:
        seeded += jobs.figure_jobs(_known(figure, jobs.FIGURES, "figure"), preset)
    if request.ledger:
        seeded += jobs.with_seeds(jobs.ledger_jobs(preset), request.seeds)
    return list(dict.fromkeys(seeded + rivals))


def _known(number: int, numbers: tuple[int, ...], what: str) -> int:
    if number not in numbers:
        raise ValueError(f"the paper has no {what} {number}; there are {numbers[0]} to {numbers[-1]}")
    return number


def _share(text: str) -> tuple[int, int]:
    try:
        part, parts = map(int, text.split("/"))
    except ValueError:
        raise ValueError(f"shard must be i/n, for example 1/2, got {text!r}") from None
    return part, parts


def reproduce(request: Request) -> int:
    """Carry out a request; returns the exit status."""
    asked = request.table or request.figure or request.ledger or request.rivals or request.all
    if not (asked or request.check):
        raise ValueError(
            "say what to reproduce: --table 2, --figure 6, --ledger, --rivals wsdan or --all (--dry-run estimates "
            "the cost)"
        )
    if request.threads:
        torch.set_num_threads(request.threads)
    records = request.records or records_folder() / request.preset
    part, parts = _share(request.shard)
    own = jobs.shard(jobs.with_weights(wanted(request), request.weights), part, parts)
    if request.dry_run:
        print(plan(own, records, request.options))
        return 0
    if request.check:
        return _check(request, records)
    if not request.from_records:
        make_runs(own, records, request.options)
    if not is_main_process():
        return 0
    configs = {job.config for job in own}
    rows = jobs.with_seeds(jobs.part_jobs(request.preset), request.seeds)
    measure_parts([r for r in rows if parts == 1 or r.config in configs], records, request.options)
    if parts > 1:
        print(
            "this share is done; when all shares are, use --from-records instead of --shard for tables and figures"
        )
        return 0
    for figure in jobs.FIGURES if request.all else request.figure:
        written = ", ".join(map(str, write_figure(figure, request.preset, request.options, request.redraw)))
        print(f"figure {figure}: {written}")
    if request.all:
        written = write_all(request.preset, records, request.options.data_root)
        print(
            f"written: {len(written)} files in {tables_folder(request.preset)} and the tables in the documents"
        )
        return 0
    for table in _chosen(request, Archive.read(records)):
        table.write(tables_folder(request.preset))
        print(table.markdown())
    return 0


def _chosen(request: Request, archive: Archive) -> list[Table]:
    preset, root = request.preset, request.options.data_root
    tables = [paper_table(n, preset, archive, root) for n in request.table]
    return tables + (ledger_tables(preset, archive) if request.ledger else [])


def _check(request: Request, records: Path) -> int:
    differing = differing_files(request.preset, records, request.options.data_root)
    problems = [f"{p} does not match the records; `gholm reproduce --all` writes it again" for p in differing]
    problems += [
        f"{p} was drawn from other settings, weights or images; `gholm reproduce --all` draws it again"
        for p in differing_figures(request.preset, request.options)
    ]
    problems += differing_run(request.preset, records, request.options)
    print(
        "\n".join(problems)
        or "every table and figure matches the records and networks, and a short run repeats the recorded result"
    )
    return 1 if problems else 0
