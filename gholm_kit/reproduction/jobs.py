"""The runs that a table, a figure or the ledger needs. A run that several of them need is made only once.

The preset "paper" is section 4.2 of the paper on the four real sets; "mini" is the same on the four drawn families.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm

from gholm_kit.reproduction.questions import LEDGER
from gholm_lib.config import WEIGHTS, Config, load_config

DATASETS = {
    "paper": {name: name for name in ("cub", "cars", "aircraft", "dogs")},
    "mini": {"cub": "mini_birds", "cars": "mini_cars", "aircraft": "mini_aircraft", "dogs": "mini_dogs"},
}
ROWS = {  # rows of Tables 2 and 3; each adds one branch to the row above
    "Raw": {"crop": False, "sup": False, "drop": False},
    "Raw + Crop": {"sup": False, "drop": False},
    "Raw + Crop + Sup": {"drop": False},
    "Raw + Crop + Sup + Drop": {},
}
RAW, OURS = "Raw", "Raw + Crop + Sup + Drop"
MUS = (1.6, 1.7, 1.8, 1.9, 2.0, 2.1)  # Table 4
COMPARED = {6: "cars", 7: "cub", 8: "aircraft", 9: "dogs"}  # Tables 6 to 9 compare methods on one set each
# To compare ways of choosing the epoch, separate runs are tested after every epoch and hold out training images.
EVERY_EPOCH: dict[str, dict[str, Any]] = {
    "mini": {"evaluate_every": 1},  # they hold out half of them anyway
    "paper": {"evaluate_every": 1, "holdout": 0.15},
}
TABLES = tuple(range(1, 10))
FIGURES = tuple(range(1, 7))


@dataclass(frozen=True, eq=False)
class Job:
    """One measurement: a training run, or a test of a finished run's network with another mu of eq. (5).

    A run that starts from a local copy of the model hub's weights (:func:`with_weights`) is the same job as one that
    starts from the hub.
    """

    config: Config
    tested_mu: float | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[Config, float | None]:
        return from_hub(self.config), self.tested_mu

    @property
    def name(self) -> str:
        """The name of the folder for its record."""
        return self.config.run_id + (f"-tested-at-mu-{self.tested_mu:g}" if self.tested_mu else "")


def config_for(preset: str, dataset: str, row: str = OURS, **changes) -> Config:
    """Settings of one row; ``dataset`` is the paper's name ("cub"), which the preset maps to a data set."""
    return load_config(preset, dataset=DATASETS[preset][dataset], **(ROWS[row] | changes))


# The settings of a row, by the paper's name of the data set ("cub") and the row's name; None where not known.
Settings = Callable[[str, str], Config | None]


def preset_settings(preset: str) -> Settings:
    """The recipe of the preset for all rows."""
    return lambda dataset, row: config_for(preset, dataset, row)


def table_jobs(table: int, settings: Settings) -> list[Job]:
    """The jobs of one table, for seed 0, as far as their settings are known."""
    if table == 1:
        return []
    if table in (2, 3):
        dataset = {2: "cub", 3: "cars"}[table]
        return _known(settings(dataset, row) for row in ROWS)
    if table == 5:
        return _known([settings("cub", OURS)])
    if table == 4:
        trained = _known([settings("cub", OURS)])
        every = [Job(j.config.replace(mu=mu)) for j in trained for mu in MUS]
        return every + [Job(j.config, mu) for j in trained for mu in MUS if mu != j.config.mu]
    return _known(settings(COMPARED[table], row) for row in (RAW, OURS))


def _known(configs: Iterable[Config | None]) -> list[Job]:
    return [Job(config) for config in configs if config is not None]


def epoch_jobs(preset: str) -> list[Job]:
    """The rows of Table 2 with held-out images, to compare ways of choosing the epoch; seed 0."""
    return [Job(config_for(preset, "cub", row, **EVERY_EPOCH[preset])) for row in ROWS]


def figure_jobs(figure: int, preset: str) -> list[Job]:
    """The trained networks that a figure needs; seed 0. Figures 1 and 4 need none."""
    one = ["cub"]
    datasets = {2: one, 3: one, 5: one, 6: list(DATASETS[preset])}.get(figure, [])
    return [Job(config_for(preset, d)) for d in datasets]


def part_jobs(preset: str) -> list[Job]:
    """The trained rows of Tables 2, 3, 8 and 9, to measure whether heatmaps find the deciding parts; seed 0."""
    if preset == "paper":  # the deciding parts of photographs are not known
        return []
    return [j for t in (2, 3, 8, 9) for j in table_jobs(t, preset_settings(preset))]


def check_job(preset: str) -> Job:
    """A run of seconds with all branches, that ``--check`` makes again.

    Without colour jitter: torchvision cuts its grey levels off, and where a processor has no fused multiply-add some
    come out one lower, from which two epochs make another network.
    """
    jitter = {"brightness": 0.0, "saturation": 0.0}
    return Job(config_for(preset, "cub", classes=4, epochs=2, lr_decay_epochs=(1,), **jitter))


def rival_jobs(preset: str, methods: Sequence[str]) -> list[Job]:
    """Rivals (``gholm_kit.rivals``) on every data set, with the recipe of the paper's tables; seed 0."""
    return [Job(config_for(preset, d, method=m, sup=False)) for d in DATASETS[preset] for m in methods]


def ledger_jobs(preset: str) -> list[Job]:
    """Our readings, and every other reading that a run can test, on the first data set; seed 0."""
    ours = config_for(preset, "cub")
    readings = [r.config(ours) for q in LEDGER for r in q.readings]
    return [Job(ours)] + [Job(c) for c in readings if c is not None]


def with_seeds(jobs: Iterable[Job], seeds: int) -> list[Job]:
    """All jobs with seed 0, then all with seed 1, ...; each job once."""
    jobs = list(jobs)
    every = [Job(j.config.replace(seed=s), j.tested_mu) for s in range(seeds) for j in jobs]
    return list(dict.fromkeys(every))


def from_hub(config: Config) -> Config:
    """Replace a local copy of the hub's weights (a file with the name of its timm model) by "timm"."""
    is_file = config.weights not in WEIGHTS
    return (
        config.replace(weights="timm") if is_file and Path(config.weights).stem == config.backbone else config
    )


def with_weights(jobs: Sequence[Job], files: Sequence[Path]) -> list[Job]:
    """The jobs, starting from ``files`` instead of the model hub; each file has the name of its timm model.

    raises ValueError if a file does not exist or does not have the name of a model, or if a model has no file
    """
    wanted = sorted({j.config.backbone for j in jobs if j.config.weights == "timm"})
    given = {Path(f).stem: Path(f) for f in files}
    if not files:
        return list(jobs)
    if not wanted:
        raise ValueError("--weights is for runs that start from the model hub; none of these runs does")
    for name, path in given.items():
        if not path.is_file():
            raise ValueError(f"no weights file {path} (--weights)")
        if not timm.is_model(name):  # files that only other runs need are allowed
            raise ValueError(
                f"--weights {path}: the file must have the name of its timm model, as the content does not say it; "
                f"these runs need {', '.join(wanted)}"
            )
    lacking = [n for n in wanted if n not in given]
    if lacking:
        raise ValueError(f"{lacking[0]}.safetensors is missing from --weights; some runs start from it")

    def started(config: Config) -> Config:
        return config.replace(weights=str(given[config.backbone])) if config.weights == "timm" else config

    return [Job(started(j.config), j.tested_mu) for j in jobs]


def all_jobs(preset: str, seeds: int, ways: Sequence[Settings]) -> list[Job]:
    """All jobs, the most useful first: tables, figures, then the ledger.

    ways  of choosing the settings of a table's rows; the tables show several beside each other
    """
    tables = [j for t in TABLES for way in ways for j in table_jobs(t, way)] + epoch_jobs(preset)
    figures = [j for f in FIGURES for j in figure_jobs(f, preset)]
    ordered = with_seeds(tables, seeds) + with_seeds(figures, 1) + with_seeds(ledger_jobs(preset), seeds)
    return list(dict.fromkeys([*ordered, check_job(preset)]))


def shard(jobs: list[Job], part: int, parts: int) -> list[Job]:
    """The jobs for process ``part`` (from 1) of ``parts``; together, the parts make each job once.

    The tests of a network stay with its training. Each run goes to the part with the least work so far, counted in
    branches and epochs. So every process computes the same division.
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
