"""Tables from records, never typed: one table, written as Markdown, CSV and LaTeX, or styled in a notebook.

A cell is a text, a number, or one of the small classes below, which knows how it is shown and what it is in a CSV
file. What was not run says so.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gholm_lib.config import train_command
from gholm_lib.records import Record
from gholm_lib.uncertainty import Difference, accuracy_interval, correct_matrix, difference, mean_interval

if TYPE_CHECKING:
    import pandas as pd

NOT_RUN = "not run"
NOTHING = "–"
FAR_APART = 20.0  # points between the best and the worst run of a row; the seeds of most rows lie within 4


# ---------------------------------------------------------------------- cells


@dataclass(frozen=True)
class Mean:
    """Mean over seeds, in percent, and standard deviation between them (None for one seed)."""

    mean: float
    sd: float | None
    seeds: int

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + (f" ± {self.sd:.1f}" if self.sd is not None else "")

    def plain(self) -> dict[str, Any]:
        return {"": round(self.mean, 4), "sd": self.sd and round(self.sd, 4), "seeds": self.seeds}


@dataclass(frozen=True)
class Interval:
    """Two bounds in percent."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.1f} to {self.high:.1f}"

    def plain(self) -> dict[str, Any]:
        return {"low": round(self.low, 4), "high": round(self.high, 4)}


@dataclass(frozen=True)
class Change:
    """A difference between two rows, in points, with its interval."""

    of: Difference

    def __str__(self) -> str:
        # The proper minus sign; a mean that rounds to zero has no sign. (A bound never rounds to zero.)
        text = str(self.of)
        return (text[1:] if text.startswith(("+0.0 ", "-0.0 ")) else text).replace("-", "−")

    def plain(self) -> dict[str, Any]:
        return {"": round(self.of.mean, 4), "low": round(self.of.low, 4), "high": round(self.of.high, 4)}


@dataclass(frozen=True)
class PValue:
    """p of a test."""

    p: float

    def __str__(self) -> str:
        if self.p < 0.001:
            return "< 0.001"
        shown = f"{self.p:.3f}" if self.p < 0.1 else f"{self.p:.2f}"
        return f"{self.p:.4f}" if shown == "0.050" else shown  # on which side of 5 % it lies

    def plain(self) -> dict[str, Any]:
        return {"": float(f"{self.p:.4g}")}


def mean_of(values: Sequence[float]) -> Mean:
    """Mean and standard deviation of one number a seed."""
    return Mean(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def accuracy_of(records: Sequence[Record], answer: str | None = None) -> Mean:
    """Accuracy at the last epoch; ``answer`` None: each run's own (Raw + Crop, or Raw)."""
    return mean_of([r.results["last"][answer or r.answer] for r in records])


def interval_of(records: Sequence[Record], answer: str | None = None) -> Interval:
    """95 % interval of the accuracy, over test images and seeds."""
    low, high = mean_interval(correct_matrix(records, answer))
    return Interval(100 * low, 100 * high)


def change(
    records: Sequence[Record],
    against: Sequence[Record],
    answer: str | None = None,
    against_answer: str | None = None,
) -> Difference | None:
    """One row minus another over the seeds that both have; None without such a seed."""
    first, second = ({r.config["seed"]: r for r in row} for row in (records, against))
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    rows = [first[s] for s in common], [second[s] for s in common]
    correct_matrix([*rows[0], *rows[1]])  # the same images, or an error
    return difference(correct_matrix(rows[0], answer), correct_matrix(rows[1], against_answer))


def instability(records: Sequence[Record], answer: str | None = None) -> str | None:
    """Why the runs of one row have no common mean, in words; None where they have one.

    At chance: the 95 % interval of the run's accuracy reaches down to one in the number of classes.
    """
    lost = [_at_chance(r, answer) for r in records]
    if any(lost) and not all(lost):
        return f"unstable: {sum(lost)} of {len(lost)} runs at chance"
    accuracies = [r.results["last"][answer or r.answer] for r in records]
    if accuracies and max(accuracies) - min(accuracies) > FAR_APART:
        return f"unstable: runs from {min(accuracies):.0f} to {max(accuracies):.0f} %"
    return None


def _at_chance(record: Record, answer: str | None) -> bool:
    low, _ = accuracy_interval(record.predictions.correct(answer or record.answer))
    return low <= 1 / record.data["classes"]


def accuracy_cell(records: Sequence[Record], answer: str | None = None) -> Mean | str:
    """``accuracy_of`` or, in a row without a common mean, the accuracy of each run."""
    if instability(records, answer):
        return ", ".join(f"{r.results['last'][answer or r.answer]:.1f}" for r in records)
    return accuracy_of(records, answer)


# ---------------------------------------------------------------------- a table


@dataclass
class Table:
    """Rows of cells under the same columns.

    name   of its files
    title  above it
    notes  below it: what the numbers are and are not
    """

    name: str
    title: str
    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        return list(self.rows[0])

    def only(self, columns: Sequence[str] | None) -> Table:
        """The same with some columns; None: all."""
        return replace(self, rows=[{c: row[c] for c in columns or row} for row in self.rows])

    def shown(self) -> pd.DataFrame:
        """What a reader sees: texts."""
        import pandas as pd  # here: printing a table does not need it

        return pd.DataFrame(self._texts(), columns=self.columns, dtype=str)

    def _texts(self) -> list[list[str]]:
        return [[_shown(row[c]) for c in self.columns] for row in self.rows]

    def plain(self) -> pd.DataFrame:
        """What a program wants: numbers; a cell with an interval is several columns."""
        import pandas as pd

        return pd.read_csv(io.StringIO(self.csv()))

    def markdown(self, heading: bool = True) -> str:
        """GitHub's Markdown, with title and notes if ``heading``."""
        lines = [_line(self.columns), "|" + "---|" * len(self.columns)]
        lines += [_line(v.replace("|", "\\|") for v in row) for row in self._texts()]
        if not heading:
            return "\n".join(lines)
        return "\n".join([f"## {self.title}", "", *lines, "", *(f"- {n}" for n in self.notes)]) + "\n"

    def csv(self) -> str:
        """Numbers with four decimals; an empty field where there is nothing."""
        flat = [_flat(row) for row in self.rows]
        fields: list[str] = []
        for column in self.columns:
            own = dict.fromkeys(f for row in self.rows for f in _flat({column: row[column]}))
            fields += list(own) or [column]
        text = io.StringIO()
        writer = csv.DictWriter(text, fields, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        return text.getvalue()

    def latex(self) -> str:
        """A booktabs table."""
        body = [[_tex(c) for c in self.columns]]
        body += [[_tex(v) for v in row] for row in self._texts()]
        head, *rows = (" & ".join(cells) + r" \\" for cells in body)
        return "\n".join(
            [
                "% needs \\usepackage{booktabs}",
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_tex(self.title)}}}",
                rf"\begin{{tabular}}{{{'l' * len(self.columns)}}}",
                r"\toprule",
                head,
                r"\midrule",
                *rows,
                r"\bottomrule",
                r"\end{tabular}",
                *(rf"\par\footnotesize {_tex(n)}" for n in self.notes),
                r"\end{table}",
                "",
            ]
        )

    def files(self) -> dict[str, str]:
        """File name → content."""
        return {
            f"{self.name}.md": self.markdown(),
            f"{self.name}.csv": self.csv(),
            f"{self.name}.tex": self.latex(),
        }

    def write(self, folder: Path) -> list[Path]:
        """The three files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files().items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        return [folder / name for name in self.files()]

    def styled(self):
        """For a notebook: verdicts have colours that differ in grey print too, and contrary ones are bold."""

        def paint(value: str) -> str:
            colour = next((c for word, c in _COLOURS.items() if value.startswith(word)), None)
            weight = "font-weight: bold; " if colour == _CONTRARY else ""
            return f"{weight}background-color: {colour}; color: black" if colour else ""

        shown = self.shown()
        style = shown.style.hide(axis="index").set_caption(self.title)
        return style.map(paint, subset=[c for c in shown if c.startswith("verdict")])


_AGREES, _CONTRARY, _NEITHER, _BETTER, _WORSE = "#d5ead8", "#f6c9b4", "#f2f2f2", "#cfe3f3", "#f7dfc4"
_COLOURS = {  # by the first words of a verdict, see reproduction/verdicts.py
    "reproduced": _AGREES,
    "same direction": _AGREES,
    "contradicted": _CONTRARY,
    "opposite direction": _CONTRARY,
    "not distinguishable": _NEITHER,
    "unstable": _NEITHER,
    "better": _BETTER,
    "worse": _WORSE,
}


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for column, value in row.items():
        if hasattr(value, "plain"):
            flat |= {f"{column} {k}".strip(): v for k, v in value.plain().items()}
        elif value is not None:
            flat[column] = value
    return flat


_TEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", "−": "$-$"}
_TEX |= {
    "<": "$<$",
    ">": "$>$",
    "–": "--",
    "μ": r"$\mu$",
    "θ": r"$\theta$",
    "τ": r"$\tau$",
    "×": r"$\times$",
    "`": "",
    "*": "",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in text)


# ---------------------------------------------------------------------- the table of any finished runs

_BRANCH_ORDER = ("raw", "raw+crop", "raw+crop+sup", "raw+crop+sup+drop")


def results_table(records: Iterable[Record], name: str = "results", title: str = "Finished runs") -> Table:
    """One row for each data set, network and set of branches, over its seeds.

    Accuracy in percent at the last epoch; "answer" is Raw + Crop, or Raw alone. A row is compared with the row above
    if the two differ in their branches only.
    """
    records = list(records)
    rows: list[dict[str, Any]] = []
    above: list[Record] = []
    recipe = None
    for key, own in _groups(records).items():
        steady = recipe == key[:-2] and not instability(own) and not instability(above)
        delta = change(own, above) if steady else None
        rows.append(_result_row(own, delta))
        above, recipe = own, key[:-2]
    return Table(name, title, rows, [RESULT_NOTE, *weights_notes(records)])


def weights_notes(records: Iterable[Record]) -> list[str]:
    """A sentence on each weights file that runs started from: which file it was, or that the records do not say."""
    digests: dict[str, set[str | None]] = defaultdict(set)
    for record in records:
        config = record.settings
        if config.weights not in ("packaged", "lite0", "none"):  # these are the same everywhere
            name = f"timm's {config.backbone}" if config.weights == "timm" else Path(config.weights).name
            digests[name].add(record.data.get("weights_sha256"))
    return [f"Starting weights: {name}, {_identified(found)}." for name, found in sorted(digests.items())]


def _identified(digests: set[str | None]) -> str:
    known = sorted(d[:12] for d in digests if d)
    said = ["SHA-256 " + " and ".join(known)] if known else []
    if None in digests:
        said.append("SHA-256 not recorded (other weights of this name give other numbers)")
    return "; for some runs ".join(said)


def commands(records: Iterable[Record]) -> list[str]:
    """For each row of ``results_table``, the command that makes the run of its first seed again."""
    return [
        train_command(min(own, key=lambda r: r.config["seed"]).settings) for own in _groups(records).values()
    ]


def _groups(records: Iterable[Record]) -> dict[tuple, list[Record]]:
    """The runs of each row, in the order of the rows; networks tested with another mu are left out."""
    groups: dict[tuple, list[Record]] = defaultdict(list)
    for record in records:
        if record.tested_mu is None:
            groups[_group(record)].append(record)
    return dict(sorted(groups.items()))


RESULT_NOTE = (
    "Accuracy in percent at the last epoch, mean ± standard deviation over seeds; answer: Raw + Crop, or Raw alone. "
    "Intervals: 95 %, over test images and seeds (over test images alone where there is one seed). p: of the "
    "difference's interval, not corrected for several comparisons. Unstable: some runs of a row, but not all, are "
    f"at chance level, or they lie more than {FAR_APART:.0f} points apart; such a row shows each run, without mean, "
    "interval and comparison."
)


def _group(record: Record) -> tuple:
    """Same recipe first, then the branches in the paper's order."""
    config = record.settings
    recipe = config.replace(crop=True, sup=True, drop=True, seed=0).digest
    order = _BRANCH_ORDER.index(config.branches) if config.branches in _BRANCH_ORDER else len(_BRANCH_ORDER)
    return (config.dataset, record.data["classes"], config.backbone, recipe, order, config.branches)


def _result_row(records: list[Record], delta: Difference | None) -> dict[str, Any]:
    first = records[0]
    crop = first.config["crop"]
    return {
        "data": first.config["dataset"],
        "classes": first.data["classes"],
        "test images": first.data["test"],
        "network": first.config["backbone"],
        "branches": first.settings.branches.replace("+", " + "),
        "seeds": len(records),
        "epochs": first.config["epochs"],
        "Raw": accuracy_cell(records, "raw"),
        "Crop": accuracy_cell(records, "crop") if crop else None,
        "answer": accuracy_cell(records),
        "95 % interval": instability(records) or interval_of(records),
        "difference to the row above": delta and Change(delta),
        "p": delta and PValue(delta.p),
    }
