"""Equal tuning: each row of a table gets the same search for its learning rate and its length of schedule.

A branch adds its loss, so it enlarges the step, and on a network that has not converged any larger step looks like a
good idea. So rows are compared at their own best settings. These are chosen on held-out *training* images, the same
ones for each row and seed; the answers to test images, which each record also has, are not read here.

The search goes on from the records alone: killed and started again, or divided into shards, it makes the same runs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from gholm_kit.reproduction import jobs
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.jobs import Job
from gholm_kit.reproduction.make import make_runs
from gholm_kit.reproduction.questions import lengthened
from gholm_lib.config import Config, RunOptions

HELD_OUT = 0.25  # of each class's training images, where a row's own settings hold out none
WIDER = 3  # factors of two by which the grid may grow on each side
DIVERGED = -math.inf  # the held-out accuracy of a run whose loss stopped being finite

_CROP = jobs.ROWS["Raw + Crop"]
# What the crop owes to the heatmap: the same second look at another place, and the same step without a second look.
CONTROLS: dict[str, dict[str, Any]] = {
    "Crop: random box": {**_CROP, "crop_box": "random"},
    "Crop: centred box": {**_CROP, "crop_box": "centre"},
    "Crop: whole picture again": {**_CROP, "crop_box": "whole"},
    "Crop: true box of the object": {**_CROP, "crop_box": "object"},
    "Crop: box of the deciding parts": {**_CROP, "crop_box": "parts"},
    "Raw, loss doubled": {**jobs.ROWS[jobs.RAW], "raw_weight": 2.0},
}
RIVALS = {"wsdan": "WS-DAN", "mmal": "MMAL", "cal": "CAL"}
CONTROLLED = ("cub", "cars")  # the data sets of Tables 2 and 3
LONG_RAW = "Raw, as many passes as all branches"


@dataclass(frozen=True)
class Row:
    """One row that is tuned.

    name     in words
    changes  the fields of the Config that make it
    longer   epochs and the epochs of decay are multiplied by this
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    longer: int = 1


class Grid(NamedTuple):
    """Learning rates: ``ours`` times 2 to the power of ``low``, ``low + 1``, ..., ``high``."""

    low: int
    high: int

    @property
    def powers(self) -> range:
        return range(self.low, self.high + 1)


FIRST_GRID = Grid(-1, 1)
# The middle of the first grid and the shorter schedule, the same for all data sets of a preset.
START: dict[str, dict[str, Any]] = {
    "mini": {"lr": 0.002, "epochs": 10, "lr_decay_epochs": (4, 7)},
    "paper": {"lr": 0.001, "epochs": 45, "lr_decay_epochs": (15, 30)},  # section 4.2
}


class Recipe(NamedTuple):
    """A learning rate, as a power of two times ours, and how many times longer the schedule is than ours."""

    power: int
    length: int


@dataclass(frozen=True)
class Best:
    """A row's best recipe.

    accuracy  held-out, in percent: the mean over the search's seeds
    at_edge   the rate is the lowest or the highest of the grid, so a better one may lie outside
    """

    recipe: Recipe
    accuracy: float
    at_edge: bool


@dataclass(frozen=True)
class Search:
    """The same search for each row.

    ours     settings of all branches on one data set, without held-out images
    rows     the first one is Raw, whose best recipe is also given to all others
    grid     the rates that are tried first
    lengths  schedules, in multiples of ours
    seeds    runs of each try: seeds 0 to seeds - 1
    of       of which rows this is the search, in the names of its tables: "" or "rivals"
    """

    ours: Config
    rows: tuple[Row, ...]
    grid: Grid = FIRST_GRID
    lengths: tuple[int, ...] = (1, 2)
    seeds: int = 1
    of: str = ""

    @property
    def name(self) -> str:
        """The end of the names of its tables."""
        return "_".join(filter(None, (self.of, self.ours.dataset)))

    def rate(self, power: int) -> float:
        """The learning rate."""
        return self.ours.lr * 2.0**power

    def recipes(self, grid: Grid) -> list[Recipe]:
        """Every try of a row."""
        return [Recipe(power, length) for power in grid.powers for length in self.lengths]

    def config(self, row: Row, recipe: Recipe) -> Config:
        """A row with a recipe, trained on all training images; seed 0."""
        longer = lengthened(self.ours, row.longer * recipe.length)
        return longer.replace(**{"lr": self.rate(recipe.power), **row.changes})

    def tries(self, row: Row, recipe: Recipe) -> list[Job]:
        """The runs of one try, one for each seed.

        Where the rows hold out images anyway, as on the mini sets, a try is also the row's run for the tables.
        Otherwise it is a run of its own, tested only at its end.
        """
        config = self.config(row, recipe)
        if not config.holdout:
            config = config.replace(holdout=HELD_OUT, evaluate_every=config.epochs)
        return jobs.with_seeds([Job(config)], self.seeds)

    def jobs(self, grid: Grid) -> list[Job]:
        """All runs of the search; those that extend the first grid come last, so that shards stay as they are."""
        inner = set(self.recipes(self.grid))
        ordered = sorted(self.recipes(grid), key=lambda recipe: recipe not in inner)
        return [job for recipe in ordered for row in self.rows for job in self.tries(row, recipe)]

    def accuracy(self, row: Row, recipe: Recipe, archive: Archive) -> float | None:
        """Held-out accuracy in percent, the mean over seeds; DIVERGED if a run did; None if one is missing."""
        found = self.tries(row, recipe)
        if any(job in archive.failures for job in found):
            return DIVERGED
        if any(job not in archive for job in found):
            return None
        return statistics.mean(held_out_accuracy(archive, job) for job in found)

    def best(self, row: Row, grid: Grid, archive: Archive) -> Best:
        """The best try of a row, all of which are recorded.

        Of equal ones the first is taken that is inside the grid, then the shortest, then that with the lowest rate.
        """

        def rank(recipe: Recipe) -> tuple:
            return (
                -(self.accuracy(row, recipe, archive) or 0.0),
                _at_edge(recipe, grid),
                recipe.length,
                recipe.power,
            )

        recipe = min(self.recipes(grid), key=rank)
        accuracy = self.accuracy(row, recipe, archive)
        assert accuracy is not None
        return Best(recipe, accuracy, _at_edge(recipe, grid))


def held_out_accuracy(archive: Archive, job: Job) -> float:
    """Accuracy on the held-out images after the last epoch, in percent."""
    record = archive.records[job]
    return float(record.curve[-1]["held_out"][record.answer])


def _at_edge(recipe: Recipe, grid: Grid) -> bool:
    return recipe.power in (grid.low, grid.high)


@dataclass(frozen=True)
class Progress:
    """How far a search has come.

    grid   the grid that is being tried, or the last one
    bests  the best recipe of each row, by name; None while runs of this grid are missing
    said   for each time the grid was extended, why
    """

    grid: Grid
    bests: dict[str, Best] | None
    said: tuple[str, ...] = ()


def progress(search: Search, archive: Archive) -> Progress:
    """Read from the records how far a search has come: which grids are complete, and whether they were wide enough.

    A grid grows for all rows when it is too narrow for one, so that all have the same number of tries.
    """
    grid, said = search.grid, []
    while all(job in archive for job in search.jobs(grid)):
        bests = {row.name: search.best(row, grid, archive) for row in search.rows}
        wider = _wider(search, grid, bests)
        said += list(_reasons(search, grid, wider, bests))
        if wider == grid:
            return Progress(grid, bests, tuple(said))
        grid = wider
    return Progress(grid, None, tuple(said))


def _wider(search: Search, grid: Grid, bests: Mapping[str, Best]) -> Grid:
    """The grid with a further rate on each side where a row has its best, as far as WIDER allows."""
    powers = {best.recipe.power for best in bests.values()}
    low = grid.low - (grid.low in powers and grid.low > search.grid.low - WIDER)
    return Grid(low, grid.high + (grid.high in powers and grid.high < search.grid.high + WIDER))


def _reasons(search: Search, grid: Grid, wider: Grid, bests: Mapping[str, Best]) -> Iterator[str]:
    for old, new, side in ((grid.low, wider.low, "lowest"), (grid.high, wider.high, "highest")):
        names = ", ".join(name for name, best in bests.items() if best.recipe.power == old)
        if new != old:
            yield (
                f"best at the {side} rate {search.rate(old):g}: {names}; the grid is extended to "
                f"{search.rate(new):g}, for all rows"
            )
        elif names:
            yield (
                f"best at the {side} rate {search.rate(old):g} after {WIDER} extensions: {names}; the grid is not "
                "extended again, so a better rate may lie outside"
            )


def tune(
    search: Search,
    records: Path,
    options: RunOptions,
    own: Callable[[list[Job]], list[Job]] = list,
    say: Callable[[str], None] = print,
) -> Progress:
    """Make the runs of a search that are not recorded yet, and extend its grid until each best lies inside.

    own      of some jobs, those that this process makes (its shard)
    returns  the finished search; with missing bests if other processes have not made their runs yet
    """
    told = 0
    while True:
        state = progress(search, Archive.read(records))
        for line in state.said[told:]:
            say(line)
        told = len(state.said)
        if state.bests is not None:
            return state
        mine = own(search.jobs(state.grid))
        make_runs(mine, records, options, say)
        archive = Archive.read(records)
        if any(job not in archive for job in search.jobs(state.grid)):
            say("this share of the search is done; give the command again when all shares are")
            return state


def final_jobs(search: Search, bests: Mapping[str, Best], seeds: int) -> list[Job]:
    """The runs on all training images: each row at its own best, and at the recipe that is best for Raw."""
    one = bests[search.rows[0].name].recipe
    recipes = [(row, recipe) for row in search.rows for recipe in (bests[row.name].recipe, one)]
    return jobs.with_seeds([Job(search.config(row, recipe)) for row, recipe in recipes], seeds)


def search_for(preset: str, dataset: str, seeds: int = 1) -> Search:
    """The search for a data set (the paper's name, "cub"): the rows of its tables.

    For "cub" and "cars" these are the rows of Tables 2 and 3 and all controls; for the others Raw and all branches,
    which Tables 8 and 9 compare.
    """
    if dataset not in jobs.DATASETS[preset]:
        known = ", ".join(jobs.DATASETS[preset])
        raise ValueError(f"--tune takes the paper's data sets, {known}; got {dataset!r}")
    controls = {
        name: changes
        for name, changes in CONTROLS.items()
        if preset == "mini"
        or changes.get("crop_box") != "parts"  # the deciding parts of photographs are not known
    }
    rows = [Row(name, changes) for name, changes in (jobs.ROWS | controls).items()]
    rows.append(Row(LONG_RAW, jobs.ROWS[jobs.RAW], longer=3))  # Raw, Crop and Drop
    if dataset not in CONTROLLED:
        rows = [row for row in rows if row.name in (jobs.RAW, jobs.OURS)]
    return Search(jobs.config_for(preset, dataset).replace(**START[preset]), tuple(rows), seeds=seeds)


def rival_search(preset: str, dataset: str, methods: Sequence[str], seeds: int = 1) -> Search:
    """The same search for rivals (``gholm_kit.rivals``), beside Raw and all branches, whose runs they share."""
    search = search_for(preset, dataset, seeds)
    known = [row for row in search.rows if row.name in (jobs.RAW, jobs.OURS)]
    rivals = [Row(f"{RIVALS[m]}, our re-implementation", {"method": m, "sup": False}) for m in methods]
    return replace(search, rows=(*known, *rivals), of="rivals")


def finished(preset: str, archive: Archive) -> list[tuple[Search, Progress]]:
    """The finished searches of a preset's data sets, in the order of the paper's tables."""
    searches = [search_for(preset, dataset) for dataset in jobs.DATASETS[preset]]
    states = [(search, progress(search, archive)) for search in searches]
    return [(search, state) for search, state in states if state.bests is not None]


class Tuned:
    """The settings of a table's rows, as far as the searches of a preset are finished."""

    def __init__(self, preset: str, archive: Archive):
        self.preset, self.archive = preset, archive
        self._found: dict[str, tuple[Search, Progress]] = {}

    def own_best(self, dataset: str, row: str) -> Config | None:
        """A row of one of the paper's data sets with its own best recipe; None before its search is finished."""
        return self._with_recipe_of(row, dataset, row)

    def one_recipe(self, dataset: str, row: str) -> Config:
        """A row with the recipe that is best for Raw; with the preset's before the search is finished."""
        return self._with_recipe_of(jobs.RAW, dataset, row) or jobs.config_for(self.preset, dataset, row)

    @property
    def ways(self) -> tuple[jobs.Settings, jobs.Settings]:
        """One recipe for all rows, and each row's own."""
        return self.one_recipe, self.own_best

    def _with_recipe_of(self, best: str, dataset: str, row: str) -> Config | None:
        if dataset not in self._found:
            search = search_for(self.preset, dataset)
            self._found[dataset] = search, progress(search, self.archive)
        search, state = self._found[dataset]
        if state.bests is None:
            return None
        return next(search.config(r, state.bests[best].recipe) for r in search.rows if r.name == row)
