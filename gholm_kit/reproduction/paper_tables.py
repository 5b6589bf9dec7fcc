"""Tables 1 to 9 as in the paper, with what the records say beside them.

Each measured row stands there twice. *Own best*: with the learning rate and schedule that were best for it on
held-out training images (``tuning``); the verdict depends on this. *One recipe*: with those that were best for Raw,
for all rows, which is how the paper compares.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from gholm_kit import published
from gholm_kit.reproduction import jobs, verdicts
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.jobs import Settings
from gholm_kit.reproduction.tuning import Tuned
from gholm_kit.table import (
    NOT_RUN,
    Change,
    Interval,
    Mean,
    PValue,
    Table,
    accuracy_cell,
    change,
    instability,
    interval_of,
    mean_of,
)
from gholm_lib.config import Config
from gholm_lib.datasets import DataError, load_dataset
from gholm_lib.records import Record
from gholm_lib.uncertainty import Difference

NUMBERS_NOTE = (
    "Accuracy (eq. 13) in percent at the last epoch, of Raw + Crop where both are trained: mean ± standard "
    "deviation over seeds. Intervals: 95 %, over test images and seeds (two-way clustered variance, Satterthwaite's "
    "degrees of freedom; with one seed over images alone). p belongs to the interval of the difference. Not used: "
    "McNemar's test on pooled pairs, which in simulations calls equal rows different too often, and a paired t test "
    "over seeds, which takes the test images for granted."
)
DRAWN_NOTE = (
    "Measured on drawn teaching data with a small ConvNeXt at 112 pixels. This shows what the method does there; it "
    "can agree or disagree with a direction, not with the paper's numbers on photographs."
)
WAYS_NOTE = (
    "*Own best*: each row with the learning rate and schedule that were best for it on held-out training images, "
    "of the same tries for all rows; the verdict depends on these columns. *One recipe*: all rows with the rate and "
    "the schedule that were best for Raw, as the paper gives one recipe for all its rows; *one recipe suggests* is "
    "the verdict that these runs alone would have given."
)

MU = 1.7  # of section 4.2; the other values of Table 4 are compared with it
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class PaperNumber:
    """An accuracy that the paper prints, and its step from the row that it is compared with."""

    accuracy: float
    step: float | None = None

    def __str__(self) -> str:
        step = "" if self.step is None else f" ({self.step:+.1f})".replace("-", "−")
        return f"{self.accuracy:.1f}{step}"

    def plain(self) -> dict[str, Any]:
        return {"": self.accuracy, "step": None if self.step is None else round(self.step, 4)}


@dataclass(frozen=True)
class Row:
    """What one row of a table needs: its runs, and the row that it is compared with."""

    paper: float
    records: Sequence[Record]
    failures: Sequence[dict[str, Any]] = ()
    answer: str | None = None
    against: Row | None = None

    @property
    def step(self) -> float | None:
        """The paper's difference; None in a first row, and where the two are equal."""
        if self.against is None:
            return None
        return round(self.paper - self.against.paper, 4)

    @property
    def unstable(self) -> str | None:
        """Why the row, or the one that it is compared with, has no common mean; None where both have one."""
        own = instability(self.records, self.answer)
        return own or (self.against.unstable if self.against else None)

    @cached_property
    def change(self) -> Difference | None:
        """None without a row to compare with, without common seeds, and where one of the two is unstable."""
        if self.against is None or self.unstable:
            return None
        return change(self.records, self.against.records, self.answer, self.against.answer)

    @property
    def unjudged(self) -> str | None:
        """Why the difference gets no verdict, in words; None where it is tested, or where there is none."""
        return self.unstable or verdicts.too_few(self.change)

    @property
    def tested(self) -> Difference | None:
        """The difference, where it is one of the comparisons that a table tests."""
        return None if self.unjudged else self.change

    @property
    def measured(self) -> Mean | str:
        return measured_cell(self.records, self.failures, self.answer)

    @property
    def interval(self) -> Interval | None:
        if not self.records or instability(self.records, self.answer):
            return None
        return interval_of(self.records, self.answer)

    def cells(self, compared_with: str, real: bool, verdict: str | None) -> dict[str, Any]:
        """The row at its own best; ``real``: the paper's data, so its number itself is judged too."""
        delta = self.change
        cells = {
            "paper": PaperNumber(self.paper, self.step),
            "own best": self.measured,
            "95 % interval": self.interval,
            f"difference to {compared_with}": delta and Change(delta),
            "p": delta and PValue(delta.p),
            "verdict": verdict,
        }
        if real:
            cells["the paper's number"] = verdicts.of_number(self.interval, self.paper)
        return cells


def both_ways(
    own: Mapping[Key, Row], one: Mapping[Key, Row], compared_with: str, real: bool
) -> dict[Key, dict[str, Any]]:
    """The columns that all tables share: each row at its own best, with the verdict, and at one recipe for all."""
    words, suggested = judged(list(own.values()), real), judged(list(one.values()), real)
    return {
        key: {
            **mine.cells(compared_with, real, verdict),
            "one recipe": same.measured,
            f"difference to {compared_with}, one recipe": same.change and Change(same.change),
            "one recipe suggests": suggestion,
        }
        for (key, mine), same, verdict, suggestion in zip(
            own.items(), one.values(), words, suggested, strict=True
        )
    }


def judged(rows: Sequence[Row], real: bool) -> list[str | None]:
    """The verdict on each row's step, corrected over all of them; None where the paper claims no step."""
    claimed = [row for row in rows if row.step]
    signs = iter(verdicts.directions([row.tested for row in claimed]))
    return [_verdict(row, next(signs), real) if row.step else None for row in rows]


def _verdict(row: Row, direction: int | None, real: bool) -> str:
    return row.unjudged or verdicts.word(verdicts.agreement(direction, row.step), real)


def measured_cell(
    records: Sequence[Record], failures: Sequence[dict[str, Any]] = (), answer: str | None = None
) -> Mean | str:
    """Mean over seeds, or in words why there is none: a seed failed, or the row is unstable (then each run's)."""
    if failures:
        return f"diverged ({len(failures)} of {len(failures) + len(records)} seeds)"
    return accuracy_cell(records, answer) if records else NOT_RUN


def is_real(preset: str) -> bool:
    return preset == "paper"


def _row(
    archive: Archive,
    config: Config | None,
    number: float,
    against: Row | None = None,
    mu: float | None = None,
) -> Row:
    if config is None:  # its own best is not known yet
        return Row(number, (), against=against)
    return Row(number, archive.row(config, mu), archive.failed(config, mu), against=against)


def two_settings(preset: str, archive: Archive) -> tuple[Settings, Settings]:
    """Each row's own best settings, and one recipe for all rows."""
    one_recipe, own_best = Tuned(preset, archive).ways
    return own_best, one_recipe


def _title(number: int, preset: str, dataset: str | None = None) -> str:
    title = f"Table {number}. {published.TITLES[number]}"
    if dataset and not is_real(preset):
        title += f": the paper, and measured on {jobs.DATASETS[preset][dataset]} (drawn data)"
    return title


def _notes(preset: str, *more: str) -> list[str]:
    real = is_real(preset)
    return [*more, WAYS_NOTE, NUMBERS_NOTE, verdicts.rule(real), verdicts.NUMBER_RULE if real else DRAWN_NOTE]


# ---------------------------------------------------------------------- Table 1


def table_1(preset: str, data_root: Path | None = None) -> Table:
    """The paper's counts beside those of the sets that the preset uses, as they lie on disk."""
    rows = []
    for name, (classes, train, test) in published.COUNTS.items():
        counts = _counts(jobs.DATASETS[preset][name], data_root)
        rows.append(
            {
                "data set": published.NAMES[name],
                "classes": classes,
                "training images": train,
                "test images": test,
                "here": jobs.DATASETS[preset][name],
                **dict(
                    zip(("classes here", "training images here", "test images here"), counts, strict=True)
                ),
            }
        )
    where = "counted on disk" if is_real(preset) else "the drawn family that stands for it, counted on disk"
    return Table("table_1", _title(1, preset), rows, [f'The paper\'s counts, and "here": {where}.'])


def _counts(dataset: str, data_root: Path | None) -> tuple:
    try:
        data = load_dataset(dataset, data_root)
    except DataError:
        return ("not here",) * 3
    return len(data.classes), len(data.train), len(data.test)


# ---------------------------------------------------------------------- Tables 2 and 3


def branch_rows(settings: Settings, archive: Archive, dataset: str) -> dict[str, Row]:
    """The rows of Table 2 ("cub") or 3 ("cars"), each compared with the row above."""
    rows: dict[str, Row] = {}
    above = None
    for name, number in published.BRANCHES[dataset].items():
        above = rows[name] = _row(archive, settings(dataset, name), number, above)
    return rows


def branch_table(number: int, preset: str, archive: Archive) -> Table:
    """Table 2 or 3."""
    dataset, real = {2: "cub", 3: "cars"}[number], is_real(preset)
    own, one = (branch_rows(settings, archive, dataset) for settings in two_settings(preset, archive))
    cells = both_ways(own, one, "the row above", real)
    rows = [
        {
            "experiment": k,
            "branches": name,
            "seeds": len(row.records),
            **cells[name],
            "best test epoch (optimistic)": best_test(row.records),
        }
        for k, (name, row) in enumerate(own.items(), 1)
    ]
    note = (
        "Best test epoch: the accuracy at the tested epoch that is best on the test images. Most mini runs "
        "are only tested every fifth epoch, which leaves little choice; the table of epochs has every epoch."
    )
    return Table(f"table_{number}", _title(number, preset, dataset), rows, _notes(preset, note))


def best_test(records: Sequence[Record]) -> Mean | None:
    """Accuracy at the epoch that is best on the test images, which nobody may choose."""
    return mean_of([r.results["best_test"][r.answer] for r in records]) if records else None


# ---------------------------------------------------------------------- Table 4


def mu_rows(settings: Settings, archive: Archive, trained: bool) -> dict[float, Row]:
    """The rows of Table 4, compared with mu = 1.7: networks trained with each, or that of 1.7 tested with each."""
    ours = settings("cub", jobs.OURS)
    middle = _row(archive, ours, published.MU[MU])
    rows = {MU: middle}
    for mu, number in published.MU.items():
        if mu != MU:
            config = ours and ours.replace(mu=mu) if trained else ours
            rows[mu] = _row(archive, config, number, middle, None if trained else mu)
    return {mu: rows[mu] for mu in published.MU}


def table_4(preset: str, archive: Archive) -> Table:
    settings, rows = two_settings(preset, archive), []
    own, one = (mu_rows(each, archive, True) for each in settings)
    tested = mu_rows(settings[0], archive, False)
    cells = both_ways(own, one, "μ = 1.7", is_real(preset))
    for mu, row in own.items():
        other = tested[mu]
        rows.append(
            {
                "μ": mu,
                "seeds": len(row.records),
                **cells[mu],
                "box, share of the image": _box_area(row.records),
                "tested with μ only": other.measured,
                "difference to μ = 1.7, tested only": other.change and Change(other.change),
            }
        )
    note = "Tested with μ only: the network is trained with μ = 1.7; only at test time are crops cut with another μ."
    return Table("table_4", _title(4, preset, "cub"), rows, _notes(preset, note))


def _box_area(records: Sequence[Record]) -> Percent | None:
    areas = [r.results["last"]["box_area"] for r in records if "box_area" in r.results["last"]]
    return Percent(sum(areas) / len(areas)) if areas else None


@dataclass(frozen=True)
class Percent:
    """A share, shown in percent."""

    share: float

    def __str__(self) -> str:
        return f"{100 * self.share:.0f} %"

    def plain(self) -> dict[str, Any]:
        return {"": round(self.share, 4)}


# ---------------------------------------------------------------------- Table 5


def logits_rows(settings: Settings, archive: Archive) -> dict[str, Row]:
    """The three answers of one network; the single ones compared with the sum, which the paper calls better."""
    both = replace(_row(archive, settings("cub", jobs.OURS), published.LOGITS["both"]), answer="both")
    records, failures = both.records, both.failures
    single = {a: Row(published.LOGITS[a], records, failures, a, both) for a in ("raw", "crop")}
    return single | {"both": both}


def table_5(preset: str, archive: Archive) -> Table:
    names = {"raw": "Raw", "crop": "Crop", "both": "Raw + Crop"}
    own, one = (logits_rows(settings, archive) for settings in two_settings(preset, archive))
    cells = both_ways(own, one, "Raw + Crop", is_real(preset))
    rows = [
        {"logits": names[answer], "seeds": len(row.records), **cells[answer]} for answer, row in own.items()
    ]
    note = (
        "Three answers of one network for each seed, trained with all branches. The paper claims that the sum is "
        "better than either; it claims no direction between Raw and Crop."
    )
    return Table("table_5", _title(5, preset, "cub"), rows, _notes(preset, note))


# ---------------------------------------------------------------------- Tables 6 to 9


def compared_rows(number: int, settings: Settings, archive: Archive) -> dict[str, Row]:
    """The two rows of Tables 6 to 9 that are measured: the backbone alone, and the method compared with it."""
    numbers = {p.row: p.accuracy for p in published.COMPARED[number] if p.row}
    dataset = jobs.COMPARED[number]
    raw = _row(archive, settings(dataset, jobs.RAW), numbers[jobs.RAW])
    ours = _row(archive, settings(dataset, jobs.OURS), numbers[jobs.OURS], raw)
    return {jobs.RAW: raw, jobs.OURS: ours}


def compared_table(number: int, preset: str, archive: Archive) -> Table:
    """Tables 6 to 9. Rows of other methods are what this paper cites from theirs; none is measured here."""
    measured, one = (compared_rows(number, settings, archive) for settings in two_settings(preset, archive))
    found = both_ways(measured, one, "ConvNeXt", is_real(preset))
    config = jobs.config_for(preset, jobs.COMPARED[number])
    where = f"{config.backbone} on {config.dataset}"
    columns = [*found[jobs.RAW], "best test epoch (optimistic)"]
    empty = dict.fromkeys(columns)
    rows = []
    for row in published.COMPARED[number]:
        cells = {"method": row.method, "backbone": row.backbone, "source": row.source}
        own = measured.get(row.row)
        if own is None:
            cells |= {"measured with": "published only"} | empty | {"paper": PaperNumber(row.accuracy)}
        else:
            best = {"best test epoch (optimistic)": best_test(own.records)}
            cells |= {"measured with": where} | found[row.row] | best
        rows.append(cells)
    return Table(
        f"table_{number}",
        _title(number, preset, jobs.COMPARED[number]),
        rows,
        _compared_notes(number, preset),
    )


def _compared_notes(number: int, preset: str) -> list[str]:
    note = (
        "Published only: the paper cites the number from the source in its reference list (numbers in brackets are "
        "its); neither the paper nor this kit measured it."
    )
    if not is_real(preset):
        note += " The measured rows use the mini backbone, so they cannot be compared with published ones."
    own = [published.REMARKS[number]] if number in published.REMARKS else []
    return _notes(preset, note, *own)


def paper_table(number: int, preset: str, archive: Archive, data_root: Path | None = None) -> Table:
    """One of the paper's nine tables."""
    if number == 1:
        return table_1(preset, data_root)
    if number in (2, 3):
        return branch_table(number, preset, archive)
    if number in (4, 5):
        return {4: table_4, 5: table_5}[number](preset, archive)
    return compared_table(number, preset, archive)
