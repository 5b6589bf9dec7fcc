"""Which runs a table, a figure or the ledger needs. A run that several need is one run: its config is its identity.

The preset "paper" is section 4.2 of the paper on the four real sets; "mini" is the same on the four drawn families.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gholm_lib.config import Config, load_config
from gholm_lib.reproduce.ledger import LEDGER

DATASETS = {
    "paper": {name: name for name in ("cub", "cars", "aircraft", "dogs")},
    "mini": {"cub": "mini_birds", "cars": "mini_cars", "aircraft": "mini_aircraft", "dogs": "mini_dogs"},
}
ROWS = {  # of Tables 2 and 3; each row adds one branch to the row above
    "Raw": {"crop": False, "sup": False, "drop": False},
    "Raw + Crop": {"sup": False, "drop": False},
    "Raw + Crop + Sup": {"drop": False},
    "Raw + Crop + Sup + Drop": {},
}
RAW, OURS = "Raw", "Raw + Crop + Sup + Drop"
MUS = (1.6, 1.7, 1.8, 1.9, 2.0, 2.1)  # Table 4
COMPARED = {6: "cars", 7: "cub", 8: "aircraft", 9: "dogs"}  # Tables 6 to 9 compare methods on one set each
# Choosing an epoch without looking at test images costs training images (40 a class in the mini sets), so it is
# done in runs of its own, which test after every epoch; all other runs train on everything.
HOLDOUT = {"holdout": 0.15, "evaluate_every": 1}
TABLES = tuple(range(1, 10))
FIGURES = tuple(range(1, 7))


@dataclass(frozen=True)
class Job:
    """One thing to measure: a training run, or a finished run's network tested with another mu of eq. (5)."""

    config: Config
    tested_mu: float | None = None

    @property
    def name(self) -> str:
        """Folder name of its record."""
        return self.config.run_id + (f"-tested-at-mu-{self.tested_mu:g}" if self.tested_mu else "")


def config_for(preset: str, dataset: str, row: str = OURS, **changes) -> Config:
    """Settings of one row; ``dataset`` is the paper's ("cub"), the preset says which set stands for it."""
    return load_config(preset, dataset=DATASETS[preset][dataset], **(ROWS[row] | changes))


def table_jobs(table: int, preset: str) -> list[Job]:
    """The jobs of one table, for seed 0."""
    if table == 1:
        return []
    if table in (2, 3):
        dataset = {2: "cub", 3: "cars"}[table]
        return [Job(config_for(preset, dataset, row)) for row in ROWS]
    if table == 4:
        trained = [Job(config_for(preset, "cub", mu=mu)) for mu in MUS]
        ours = config_for(preset, "cub")
        return trained + [Job(ours, mu) for mu in MUS if mu != ours.mu]
    if table == 5:
        return [Job(config_for(preset, "cub"))]
    return [Job(config_for(preset, COMPARED[table], row)) for row in (RAW, OURS)]


def epoch_jobs(preset: str) -> list[Job]:
    """The rows of Table 2 with images held out, to compare ways of choosing an epoch; seed 0."""
    return [Job(config_for(preset, "cub", row, **HOLDOUT)) for row in ROWS]


def figure_jobs(figure: int, preset: str) -> list[Job]:
    """The trained networks that a figure needs; seed 0. Figures 1 and 4 need none."""
    one = ["cub"]
    datasets = {2: one, 3: one, 5: one, 6: list(DATASETS[preset])}.get(figure, [])
    return [Job(config_for(preset, d)) for d in datasets]


def part_jobs(preset: str) -> list[Job]:
    """The trained rows of Tables 2, 3, 8 and 9: whether their heatmaps find the deciding parts; seed 0."""
    if preset == "paper":  # nobody knows the deciding parts of a photograph
        return []
    return [j for t in (2, 3, 8, 9) for j in table_jobs(t, preset)]


def check_job(preset: str) -> Job:
    """A run of seconds with all branches, that ``--check`` makes again.

    Without colour jitter: torchvision cuts its grey levels off, and where a processor has no fused multiply-add some
    come out one lower, from which two epochs make another network.
    """
    jitter = {"brightness": 0.0, "saturation": 0.0}
    return Job(config_for(preset, "cub", classes=4, epochs=2, lr_decay_epochs=(1,), **jitter))


def ledger_jobs(preset: str) -> list[Job]:
    """Our reading, and each other reading that a run can show, on the first data set; seed 0."""
    ours = config_for(preset, "cub")
    readings = [r.config(ours) for q in LEDGER for r in q.readings]
    return [Job(ours)] + [Job(c) for c in readings if c is not None]


def with_seeds(jobs: Iterable[Job], seeds: int) -> list[Job]:
    """Seed 0 of all, then seed 1 of all, ...; each job once."""
    jobs = list(jobs)
    every = [Job(j.config.replace(seed=s), j.tested_mu) for s in range(seeds) for j in jobs]
    return list(dict.fromkeys(every))


def all_jobs(preset: str, seeds: int) -> list[Job]:
    """Everything, in the order in which it is most useful to have: the tables, then the ledger."""
    tables = [j for t in TABLES for j in table_jobs(t, preset)] + epoch_jobs(preset)
    figures = [j for f in FIGURES for j in figure_jobs(f, preset)]
    ordered = with_seeds(tables, seeds) + with_seeds(figures, 1) + with_seeds(ledger_jobs(preset), seeds)
    return list(dict.fromkeys([*ordered, check_job(preset)]))


def shard(jobs: list[Job], part: int, parts: int) -> list[Job]:
    """The jobs that process ``part`` of ``parts`` (from 1) makes; together the parts make each job once.

    A network's tests stay with its training. Each run goes to the part that has least to do so far, counted in
    branches and epochs, so the division is the same wherever it is worked out.
    """
    if not 1 <= part <= parts:
        raise ValueError(f"shard must be i/n with 1 <= i <= n, got {part}/{parts}")
    load, owner = [0.0] * parts, {}
    for job in jobs:
        run = job.config.run_id
        if run not in owner:
            owner[run] = load.index(min(load))
            load[owner[run]] += job.config.epochs * (1 + job.config.crop + job.config.drop)
    return [j for j in jobs if owner[j.config.run_id] == part - 1]
