"""Tables from records, never typed."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from gholm_lib.evaluation import accuracy_interval
from gholm_lib.records import RECORD, Record, load_record

_COLUMNS = (
    "data",
    "classes",
    "test images",
    "network",
    "branches",
    "seeds",
    "epochs",
    "Raw",
    "Crop",
    "answer",
    "95 % interval",
)
_BRANCH_ORDER = ("raw", "raw+crop", "raw+crop+sup", "raw+crop+sup+drop")


def records_folder() -> Path:
    """``data/records`` of the project: the records that the tables are made of."""
    return Path(__file__).parents[1] / "data" / "records"


def load_records(folder: str | Path) -> list[Record]:
    """Every record below a folder, in the order of the folders' names."""
    return [load_record(path.parent) for path in sorted(Path(folder).rglob(RECORD))]


def results_table(records: Iterable[Record]) -> str:
    """Markdown: one row for each data set, network and set of branches, over its seeds.

    Accuracy in percent at the last epoch (Raw, Crop, and the answer: Raw + Crop, or Raw alone): the mean over seeds,
    with the standard deviation where there are several; 95 % interval (Wilson) of the answer over the test images
    of all seeds together, which ignores that the seeds share their images.
    """
    groups: dict[tuple, list[Record]] = defaultdict(list)
    for record in records:
        config = record.settings
        order = (
            _BRANCH_ORDER.index(config.branches) if config.branches in _BRANCH_ORDER else len(_BRANCH_ORDER)
        )
        branches = (order, config.branches, config.digest)
        key = (config.dataset, record.data["classes"], config.backbone, *branches)
        groups[key].append(record)
    lines = [
        "| " + " | ".join(_COLUMNS) + " |",
        "|" + "---|" * len(_COLUMNS),
    ]
    return "\n".join(lines + [_row(key, groups[key]) for key in sorted(groups)])


def _row(key: tuple, records: list[Record]) -> str:
    dataset, classes, backbone, _, branches, _ = key
    first = records[0]
    correct = [c for r in records for c in r.predictions.correct(r.answer)]
    low, high = accuracy_interval(correct)
    cells = [
        dataset,
        classes,
        first.data["test"],
        backbone,
        branches.replace("+", " + "),
        len(records),
        first.config["epochs"],
        _mean([r.results["last"].get("raw") for r in records]),
        _mean([r.results["last"].get("crop") for r in records]),
        _mean([r.accuracy for r in records]),
        f"{100 * low:.1f} to {100 * high:.1f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _mean(values: list[float | None]) -> str:
    if values[0] is None:
        return "–"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"
