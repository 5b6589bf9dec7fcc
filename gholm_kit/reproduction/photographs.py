"""The kept runs on photographs, which belong to no table of the paper, and ``gholm reproduce --photographs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gholm_kit.reproduction.jobs import Job
from gholm_kit.table import Table, results_table, weights_notes
from gholm_lib.paths import records_folder
from gholm_lib.records import Record, load_records

STARTED_FROM = "mobilenetv2_100_in1k.safetensors"  # the name that the kept records give their weights file
NOTES = [
    "A few classes of the real sets and an ImageNet MobileNetV2 on a CPU. This shows that method and code work on "
    "photographs; it does not reproduce the paper's numbers. The recipe was chosen by Raw's accuracy on the same "
    "CUB test images as here, and used for Cars unchanged. With one seed, intervals and p cover the choice of test "
    "images only, not the differences between seeds.",
    f"`gholm reproduce --photographs --weights {STARTED_FROM}` makes these runs again, on those of the two sets "
    "that are here, and shows the kept accuracies beside the new ones.",
]


def photographs_table(folder: Path | None = None) -> Table:
    """The table of the kept runs, or of the runs recorded in another folder."""
    table = results_table(load_records(folder or kept_folder()), "photographs", "Runs on photographs")
    return replace(table, notes=[*NOTES, *table.notes])


def kept_folder() -> Path:
    """The records of the kept runs."""
    return records_folder() / "photographs"


def photograph_jobs(weights: Sequence[Path]) -> list[Job]:
    """The kept runs' settings, starting from a weights file.

    raises ValueError if not exactly one file is given, or if it does not exist
    """
    if len(weights) != 1:
        raise ValueError(
            f"the kept runs on photographs started from {STARTED_FROM}, an ImageNet MobileNetV2 (timm's "
            "mobilenetv2_100 with pad_type=same and a mean of .5); give one such file with --weights FILE"
        )
    if not weights[0].is_file():
        raise ValueError(f"no weights file {weights[0]} (--weights)")
    kept = load_records(kept_folder())
    return [Job(record.settings.replace(weights=str(weights[0]))) for record in kept]


def beside_kept(records: Path) -> Table:
    """The accuracies of the runs recorded in ``records``, beside those of the kept runs."""
    old, new = load_records(kept_folder()), load_records(records)
    again = {_row(r): r for r in new}
    rows = []
    for kept in old:
        here = again.get(_row(kept))
        rows.append(
            {
                "data": kept.config["dataset"],
                "branches": kept.settings.branches.replace("+", " + "),
                "kept": kept.accuracy,
                "made again": "not run" if here is None else here.accuracy,
            }
        )
    notes = [*NOTES, *weights_notes([*old, *new])]
    return Table("photographs_again", "Runs on photographs, made again", rows, notes)


def _row(record: Record) -> tuple[str, str]:
    return record.config["dataset"], record.settings.branches
