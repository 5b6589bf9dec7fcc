"""Tables 1 to 9 as in the paper, with what the records say beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gholm_kit import published
from gholm_kit.reproduction import jobs, verdicts
from gholm_kit.reproduction.archive import Archive
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
    "can agree or disagree with a direction, not with the paper's numbers on photographs. Image size, learning rate "
    "and number of epochs were chosen by Raw's accuracy on these same test images."
)


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
    def measured(self) -> Mean | str:
        return measured_cell(self.records, self.failures, self.answer)

    @property
    def interval(self) -> Interval | None:
        if not self.records or instability(self.records, self.answer):
            return None
        return interval_of(self.records, self.answer)

    def cells(self, compared_with: str, real: bool, verdict: str | None) -> dict[str, Any]:
        """The columns that all tables share; ``real``: the paper's data, so its number itself is judged too."""
        delta = self.change
        cells = {
            "paper": PaperNumber(self.paper, self.step),
            "measured": self.measured,
            "95 % interval": self.interval,
            f"difference to {compared_with}": delta and Change(delta),
            "p": delta and PValue(delta.p),
            "verdict": verdict,
        }
        if real:
            cells["the paper's number"] = verdicts.of_number(self.interval, self.paper)
        return cells


def judged(rows: Sequence[Row], real: bool) -> list[str | None]:
    """The verdict on each row's step, corrected over all of them; None where the paper claims no step."""
    claimed = [row for row in rows if row.step]
    signs = iter(verdicts.directions([row.change for row in claimed]))
    return [_verdict(row, next(signs), real) if row.step else None for row in rows]


def _verdict(row: Row, direction: int | None, real: bool) -> str:
    return row.unstable or verdicts.word(verdicts.agreement(direction, row.step), real)


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
    archive: Archive, config: Config, number: float, against: Row | None = None, mu: float | None = None
) -> Row:
    return Row(number, archive.row(config, mu), archive.failed(config, mu), against=against)


def _title(number: int, preset: str, dataset: str | None = None) -> str:
    title = f"Table {number}. {published.TITLES[number]}"
    if dataset and not is_real(preset):
        title += f": the paper, and measured on {jobs.DATASETS[preset][dataset]} (drawn data)"
    return title


def _notes(preset: str, *more: str) -> list[str]:
    real = is_real(preset)
    return [*more, NUMBERS_NOTE, verdicts.rule(real), verdicts.NUMBER_RULE if real else DRAWN_NOTE]


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


def branch_rows(preset: str, archive: Archive, dataset: str) -> dict[str, Row]:
    """The rows of Table 2 ("cub") or 3 ("cars"), each compared with the row above."""
    rows: dict[str, Row] = {}
    above = None
    for name, number in published.BRANCHES[dataset].items():
        above = rows[name] = _row(archive, jobs.config_for(preset, dataset, name), number, above)
    return rows


def branch_table(number: int, preset: str, archive: Archive) -> Table:
    """Table 2 or 3."""
    dataset, real = {2: "cub", 3: "cars"}[number], is_real(preset)
    branches = branch_rows(preset, archive, dataset)
    found = judged(list(branches.values()), real)
    rows = [
        {
            "experiment": k,
            "branches": name,
            "seeds": len(row.records),
            **row.cells("the row above", real, verdict),
            "best test epoch (optimistic)": best_test(row.records),
        }
        for k, ((name, row), verdict) in enumerate(zip(branches.items(), found, strict=True), 1)
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


def mu_rows(preset: str, archive: Archive, trained: bool) -> dict[float, Row]:
    """The rows of Table 4, compared with mu = 1.7: networks trained with each, or that of 1.7 tested with each."""
    ours = jobs.config_for(preset, "cub")
    middle = _row(archive, ours, published.MU[ours.mu])
    rows = {ours.mu: middle}
    for mu, number in published.MU.items():
        if mu != ours.mu:
            job = (ours.replace(mu=mu), None) if trained else (ours, mu)
            rows[mu] = _row(archive, job[0], number, middle, job[1])
    return {mu: rows[mu] for mu in published.MU}


def table_4(preset: str, archive: Archive) -> Table:
    trained, tested = mu_rows(preset, archive, True), mu_rows(preset, archive, False)
    found, rows = judged(list(trained.values()), is_real(preset)), []
    for (mu, row), verdict in zip(trained.items(), found, strict=True):
        other = tested[mu]
        rows.append(
            {
                "μ": mu,
                "seeds": len(row.records),
                **row.cells("μ = 1.7", is_real(preset), verdict),
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


def logits_rows(preset: str, archive: Archive) -> dict[str, Row]:
    """The three answers of one network; the single ones compared with the sum, which the paper calls better."""
    records, failures = (f(jobs.config_for(preset, "cub")) for f in (archive.row, archive.failed))
    both = Row(published.LOGITS["both"], records, failures, "both")
    single = {a: Row(published.LOGITS[a], records, failures, a, both) for a in ("raw", "crop")}
    return single | {"both": both}


def table_5(preset: str, archive: Archive) -> Table:
    names, answers = {"raw": "Raw", "crop": "Crop", "both": "Raw + Crop"}, logits_rows(preset, archive)
    found = judged(list(answers.values()), is_real(preset))
    rows = [
        {
            "logits": names[answer],
            "seeds": len(row.records),
            **row.cells("Raw + Crop", is_real(preset), verdict),
        }
        for (answer, row), verdict in zip(answers.items(), found, strict=True)
    ]
    note = (
        "Three answers of one network for each seed, trained with all branches. The paper claims that the sum is "
        "better than either; it claims no direction between Raw and Crop."
    )
    return Table("table_5", _title(5, preset, "cub"), rows, _notes(preset, note))


# ---------------------------------------------------------------------- Tables 6 to 9


def compared_rows(number: int, preset: str, archive: Archive) -> dict[str, Row]:
    """The two rows of Tables 6 to 9 that are measured: the backbone alone, and the method compared with it."""
    numbers = {p.row: p.accuracy for p in published.COMPARED[number] if p.row}
    dataset = jobs.COMPARED[number]
    raw = _row(archive, jobs.config_for(preset, dataset, jobs.RAW), numbers[jobs.RAW])
    return {
        jobs.RAW: raw,
        jobs.OURS: _row(archive, jobs.config_for(preset, dataset), numbers[jobs.OURS], raw),
    }


def compared_table(number: int, preset: str, archive: Archive) -> Table:
    """Tables 6 to 9. Rows of other methods are what this paper cites from theirs; none is measured here."""
    measured, real = compared_rows(number, preset, archive), is_real(preset)
    found = dict(zip(measured, judged(list(measured.values()), real), strict=True))
    config = jobs.config_for(preset, jobs.COMPARED[number])
    where = f"{config.backbone} on {config.dataset}"
    columns = [*measured[jobs.RAW].cells("ConvNeXt", real, None), "best test epoch (optimistic)"]
    empty = dict.fromkeys(columns)
    rows = []
    for row in published.COMPARED[number]:
        cells = {"method": row.method, "backbone": row.backbone, "source": row.source}
        own = measured.get(row.row)
        if own is None:
            cells |= {"measured with": "published only"} | empty | {"paper": PaperNumber(row.accuracy)}
        else:
            best = {"best test epoch (optimistic)": best_test(own.records)}
            cells |= {"measured with": where} | own.cells("ConvNeXt", real, found[row.row]) | best
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
