"""``gholm reproduce``: make the missing runs, then the tables and figures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import torch

from gholm_kit import style
from gholm_kit.reproduction import jobs
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.estimate import plan
from gholm_kit.reproduction.make import make_runs, with_data
from gholm_kit.reproduction.outputs import (
    SEARCH_TABLES,
    differing_files,
    differing_run,
    ledger_tables,
    tables_folder,
    write_all,
)
from gholm_kit.reproduction.paper_figures import differing_figures, save, write_figure
from gholm_kit.reproduction.paper_tables import paper_table
from gholm_kit.reproduction.part_shares import measure_parts
from gholm_kit.reproduction.photo_sheet import NAME as PHOTO_SHEET
from gholm_kit.reproduction.photo_sheet import draw_photo_sheet
from gholm_kit.reproduction.photographs import beside_kept, photograph_jobs
from gholm_kit.reproduction.request import Request
from gholm_kit.reproduction.second_looks import (
    ABOUT,
    kept_folder,
    load_second_looks,
    look_names,
    measure,
)
from gholm_kit.reproduction.second_looks_shown import NAME as SECOND_LOOKS
from gholm_kit.reproduction.second_looks_shown import draw_second_looks, second_looks_table
from gholm_kit.reproduction.sheets import Drawn
from gholm_kit.reproduction.tuning import (
    Progress,
    Search,
    Tuned,
    final_jobs,
    finished,
    progress,
    rival_search,
    search_for,
    tune,
)
from gholm_kit.reproduction.tuning_figure import search_figures
from gholm_kit.table import Table
from gholm_lib.datasets import DataError
from gholm_lib.paths import figures_folder, project_root, records_folder
from gholm_lib.progress import log_lines
from gholm_lib.runs import NotMadeError
from gholm_lib.training import is_main_process, say


def records_of(request: Request) -> Path:
    """The folder of a preset's records."""
    return request.records or records_folder() / request.preset


def wanted(request: Request) -> list[jobs.Job]:
    """The jobs behind a request."""
    preset, chosen = request.preset, []
    ways = Tuned(preset, Archive.read(records_of(request))).ways
    rivals = jobs.with_seeds(jobs.rival_jobs(preset, request.rivals), request.seeds)
    if request.all:
        return jobs.all_jobs(preset, request.seeds, ways) + rivals
    for table in request.table:
        _known(table, jobs.TABLES, "table")
        chosen += [j for way in ways for j in jobs.table_jobs(table, way)]
    seeded = jobs.with_seeds(chosen, request.seeds)
    for figure in request.figure:
        seeded += jobs.figure_jobs(_known(figure, jobs.FIGURES, "figure"), preset)
    if request.ledger:
        seeded += jobs.with_seeds(jobs.ledger_jobs(preset), request.seeds)
    return list(dict.fromkeys(seeded + rivals))


def _possible(request: Request) -> list[jobs.Job]:
    """The wanted jobs without those whose data set is not here, which is said; all of them if none is here."""
    everything = wanted(request)
    here, lines = with_data(everything, request.options)
    if not here or request.check or request.from_records:
        return everything
    for line in lines:
        say(line)
    return here


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
    of_paper = request.table or request.figure or request.ledger or request.all or request.check
    of_paper = of_paper or (request.rivals and not request.tune)
    alone = {
        "--tune": request.tune,
        "--photographs": request.photographs,
        "--second-looks": request.second_looks,
    }
    given = [option for option, value in alone.items() if value]
    if not (of_paper or given):
        raise ValueError(
            "say what to reproduce: --table 2, --figure 6, --ledger, --rivals wsdan, --tune cub, --all, "
            "--photographs or --second-looks (--dry-run estimates the cost)"
        )
    if len(given) + bool(of_paper) > 1:
        raise ValueError(
            f"{given[0]} goes alone: give --table, --figure, --ledger, --rivals, --all or --check in another command"
        )
    if request.threads:
        torch.set_num_threads(request.threads)
    if request.second_looks:
        return _second_looks(request)
    return _photographs(request) if request.photographs else _paper(request)


def _second_looks(request: Request) -> int:
    """``--second-looks``: measure, unless they are recorded already, and show the table."""
    default = kept_folder() if request.from_records else project_root() / "build" / "second_looks"
    folder = request.records or default
    recorded = request.from_records or (folder / ABOUT).exists()
    if request.dry_run:
        looks = (
            "no look is missing" if recorded else f"{len(look_names())} looks at each photograph are missing"
        )
        print(f"{looks} in {folder}; all of them take a quarter of an hour on one core")
        return 0
    if not recorded:
        measure(request.options.data_root, progress=not request.options.quiet).save(folder)
    print(second_looks_table(load_second_looks(folder)).markdown())
    return 0


def _photographs(request: Request) -> int:
    records = request.records or project_root() / "build" / "photographs"
    if not request.from_records:
        wanted = photograph_jobs(request.weights)
        here, lines = with_data(wanted, request.options)
        for line in lines:
            say(line)
        if request.dry_run:
            print(plan(here or wanted, records, request.options))
            return 0
        make_runs(here or wanted, records, request.options)
    if is_main_process():
        print(beside_kept(records).markdown())
    return 0


def _paper(request: Request) -> int:
    records = records_of(request)
    part, parts = _share(request.shard)
    if request.tune:
        return _tune_all(request, records, part, parts)
    own = jobs.shard(jobs.with_weights(_possible(request), request.weights), part, parts)
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
    with _status_lines("measuring deciding parts", request):
        measure_parts([r for r in rows if parts == 1 or r.config in configs], records, request.options)
    if parts > 1:
        print(
            "this share is done; when all shares are, use --from-records instead of --shard for tables and figures"
        )
        return 0
    complete = all([_draw(figure, request) for figure in (jobs.FIGURES if request.all else request.figure)])
    for name, draw in _other_figures(request).items():
        print(f"figure: {save(draw(), name, request.redraw)}")
    if request.all:
        written = write_all(request.preset, records, request.options.data_root)
        print(
            f"written: {len(written)} files in {tables_folder(request.preset)} and the tables in the documents"
        )
        return 0 if complete else 1
    for table in _chosen(request, Archive.read(records)):
        table.write(tables_folder(request.preset))
        print(table.markdown())
    return 0 if complete else 1


def _draw(figure: int, request: Request) -> bool:
    """Draw a figure; where its data or network are missing, say so and return False."""
    try:
        with _status_lines(f"drawing figure {figure}", request):
            written = write_figure(figure, request.preset, request.options, request.redraw)
    except (NotMadeError, DataError) as error:
        print(f"figure {figure}: not made, {error}")
        return False
    print(f"figure {figure}: {', '.join(map(str, written))}")
    return True


def _status_lines(stage: str, request: Request) -> AbstractContextManager[None]:
    """Lines for a log while something takes long; see ``log_lines``."""
    return log_lines(lambda: stage, not request.options.quiet and not sys.stderr.isatty(), say)


def _tune_all(request: Request, records: Path, part: int, parts: int) -> int:
    """``--tune``: the search of each data set, and then its runs on all training images."""

    def own(every: list[jobs.Job]) -> list[jobs.Job]:
        return jobs.shard(jobs.with_weights(every, request.weights), part, parts)

    for search in _searches(request):
        state = progress(search, Archive.read(records))
        if request.dry_run:
            missing = search.jobs(state.grid) if state.bests is None else _final(request, search, state)
            print(plan(own(missing), records, request.options))
            continue
        if not request.from_records:
            state = tune(search, records, request.options, own)
            if state.bests is not None:
                make_runs(own(_final(request, search, state)), records, request.options)
        if not is_main_process():
            continue
        if state.bests is None:
            print(f"the search on {search.ours.dataset} is not finished, so there is no table of it yet")
        else:
            _show_tuning(request, search, state, Archive.read(records))
    return 0


def _searches(request: Request) -> list[Search]:
    """The search of each data set: of the rows of the tables or, with ``--rivals``, of these."""
    preset, seeds = request.preset, request.tune_seeds
    if request.rivals:
        return [rival_search(preset, d, request.rivals, seeds) for d in request.tune]
    return [search_for(preset, d, seeds) for d in request.tune]


def _final(request: Request, search: Search, state: Progress) -> list[jobs.Job]:
    assert state.bests is not None
    return final_jobs(search, state.bests, request.seeds)


def _show_tuning(request: Request, search: Search, state: Progress, archive: Archive) -> None:
    for make in SEARCH_TABLES:
        table = make(search, state, archive)
        table.write(tables_folder(request.preset))
        print(table.markdown())
    for name, draw in _figures_of(search, state, archive).items():
        print(f"figure: {save(draw(), name, request.redraw)}")


def _figures_of(search: Search, state: Progress, archive: Archive) -> dict[str, Callable[[], Drawn]]:
    """The figures of a finished search: file name → function that draws."""
    return {
        f"{start}_{search.name}": partial(draw, search, state, archive)
        for start, draw in search_figures(search).items()
    }


def _chosen(request: Request, archive: Archive) -> list[Table]:
    preset, root = request.preset, request.options.data_root
    tables = [paper_table(n, preset, archive, root) for n in request.table]
    return tables + (ledger_tables(preset, archive) if request.ledger else [])


def _of_photographs(request: Request) -> dict[str, Callable[[], Drawn]]:
    """The wanted figures of photographs, for which no network is trained: file name → function that draws."""
    if request.preset != "mini":
        return {}
    everything = request.all or request.check
    sheet = {PHOTO_SHEET: draw_photo_sheet} if everything or 6 in request.figure else {}
    return sheet | ({SECOND_LOOKS: lambda: draw_second_looks(load_second_looks())} if everything else {})


def _other_figures(request: Request) -> dict[str, Callable[[], Drawn]]:
    """Figures that the paper does not have, and for which no network is needed."""
    found = _of_photographs(request)
    if request.all or request.check:
        archive = Archive.read(records_of(request))
        for search, state in finished(request.preset, archive):
            found |= _figures_of(search, state, archive)
    return found


def _old_figures(request: Request) -> list[Path]:
    paths = {figures_folder() / f"{name}.png": draw for name, draw in _other_figures(request).items()}
    old = [path for path, draw in paths.items() if style.made_from(path) != draw().about]
    return differing_figures(request.preset, request.options) + old


def _check(request: Request, records: Path) -> int:
    differing = differing_files(request.preset, records, request.options.data_root)
    problems = [f"{p} does not match the records; `gholm reproduce --all` writes it again" for p in differing]
    problems += [
        f"{p} was drawn from other settings, weights or images; `gholm reproduce --all` draws it again"
        for p in _old_figures(request)
    ]
    problems += differing_run(request.preset, records, request.options)
    print(
        "\n".join(problems)
        or "every table and figure matches the records and networks, and a short run repeats the recorded result"
    )
    return 1 if problems else 0
