"""Write tables from records, to ``figures/tables/<preset>/`` and into the documents, and check that all agree."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from gholm_kit.reproduction import jobs
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.chinese import in_chinese
from gholm_kit.reproduction.claims import claims_table
from gholm_kit.reproduction.extra_tables import (
    cost_table,
    epochs_table,
    ledger_table,
    parts_table,
    power_table,
)
from gholm_kit.reproduction.make import make
from gholm_kit.reproduction.paper_tables import paper_table
from gholm_kit.reproduction.photographs import photographs_table
from gholm_kit.reproduction.second_looks import load_second_looks
from gholm_kit.reproduction.second_looks_shown import second_looks_table
from gholm_kit.reproduction.tuning import finished
from gholm_kit.reproduction.tuning_tables import tuned_table, tuning_table
from gholm_kit.table import Table
from gholm_lib.config import RunOptions
from gholm_lib.paths import project_root
from gholm_lib.provenance import differences, of_record
from gholm_lib.records import Record

# Other processors round differently, and may draw some pictures with a few grey levels more or less.
# Within these limits it is the same run: share of test images, points, share of an epoch's loss.
# Rounding moves the loss by a millionth, pictures drawn elsewhere by a few ten-thousandths, another gamma by .004.
SAME_ANSWERS, SAME_ACCURACY, SAME_LOSS = 0.95, 3.0, 0.002
DOCUMENTS = ("README.md", "README.zh-CN.md", "docs/results.md")  # they show tables between markers
_BRANCH_COLUMNS = [
    "branches",
    "seeds",
    "paper",
    "own best",
    "95 % interval",
    "difference to the row above",
    "verdict",
    "one recipe",
    "one recipe suggests",
]
_TUNED_COLUMNS = [
    "row",
    "seeds",
    "own best",
    "difference to Raw",
    "verdict",
    "difference to Raw at one recipe",
    "what one recipe would have suggested",
]
SEARCH_TABLES = (tuning_table, tuned_table)  # of a data set whose search is finished
DOCUMENT_COLUMNS = {
    "table_2": _BRANCH_COLUMNS,
    "table_3": _BRANCH_COLUMNS,
    "tuned_mini_birds": _TUNED_COLUMNS,
    "tuned_mini_cars": _TUNED_COLUMNS,
    "ledger": ["question", "the paper", "ours, and why", "other reading", "seeds", "effect", "verdict"],
    "photographs": [
        "data",
        "classes",
        "test images",
        "branches",
        "seeds",
        "Raw",
        "Crop",
        "answer",
        "95 % interval",
        "difference to the row above",
    ],
    "second_looks": [
        "second look",
        "cut from",
        "μ",
        "share of the picture, %",
        "alone minus Raw",
        "alone minus random box",
        "alone minus centred box",
        "Raw + it minus Raw",
        "verdict",
        "Raw + it minus Raw + random box",
        "Raw + it minus Raw + centred box",
    ],
}


def ledger_tables(preset: str, archive: Archive) -> list[Table]:
    """Tables that the paper does not have."""
    makers = (ledger_table, claims_table, epochs_table, parts_table, power_table, cost_table)
    return [make(preset, archive) for make in makers if not (make is parts_table and preset == "paper")]


def all_tables(preset: str, archive: Archive, data_root: Path | None = None) -> list[Table]:
    """Tables 1 to 9, then the others."""
    paper = [paper_table(n, preset, archive, data_root) for n in jobs.TABLES]
    searched = [make(*each, archive) for each in finished(preset, archive) for make in SEARCH_TABLES]
    return paper + searched + ledger_tables(preset, archive)


def how_to_make(preset: str, archive: Archive) -> str | None:
    """The sentence that says how to make the records of a preset; None where there are some."""
    if archive.records or archive.failures:
        return None
    return (
        f"there are no records of the preset {preset}; `gholm reproduce --all --preset {preset}` makes them, "
        f"`gholm reproduce --table 2 --preset {preset}` those of one table"
    )


def tables_folder(preset: str) -> Path:
    return project_root() / "figures" / "tables" / preset


def documents() -> list[Path]:
    """The documents that show tables."""
    return [project_root() / name for name in DOCUMENTS]


# ---------------------------------------------------------------------- the documents


def filled_in(text: str, tables: dict[str, Table], language: str = "en") -> str:
    """``text`` with new tables between the markers ``<!-- table: NAME -->`` and ``<!-- end -->``.

    language  of the tables: "en", or "zh-CN" for those whose words ``chinese.py`` knows
    """

    def block(found: re.Match) -> str:
        name = found[1]
        if name not in tables:
            raise ValueError(f"a marker names the unknown table {name!r}; there are {', '.join(tables)}")
        table = tables[name].only(DOCUMENT_COLUMNS.get(name))
        if language == "zh-CN":
            table = in_chinese(table)
        return f"<!-- table: {name} -->\n\n{table.markdown(heading=False)}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", block, text, flags=re.S)


def _document(path: Path, tables: dict[str, Table]) -> str:
    language = "zh-CN" if path.name.endswith(".zh-CN.md") else "en"
    return filled_in(path.read_text(encoding="utf-8"), tables, language)


# ---------------------------------------------------------------------- write and check


def _files(preset: str, records: Path, data_root: Path | None) -> dict[Path, str]:
    """Every file made from the records, with its content."""
    tables = {t.name: t for t in all_tables(preset, Archive.read(records), data_root)}
    files = {tables_folder(preset) / n: text for t in tables.values() for n, text in t.files().items()}
    if preset == "mini":  # the documents show this preset
        for table in (photographs_table(), second_looks_table(load_second_looks())):
            files |= {tables_folder("photographs") / n: text for n, text in table.files().items()}
            tables[table.name] = table
        files |= {path: _document(path, tables) for path in documents()}
    return files


def write_all(preset: str, records: Path, data_root: Path | None = None) -> list[Path]:
    """Write every table, also into the documents."""
    files = _files(preset, records, data_root)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return list(files)


def differing_files(preset: str, records: Path, data_root: Path | None = None) -> list[Path]:
    """The files that do not match the records."""
    files = _files(preset, records, data_root)
    return [p for p, text in files.items() if not p.exists() or p.read_text(encoding="utf-8") != text]


def differing_run(preset: str, records: Path, options: RunOptions) -> Iterator[str]:
    """Repeat the short run of ``jobs.check_job``; yields, in words, each difference from its record."""
    job = jobs.check_job(preset)
    kept = Archive.read(records).records.get(job)
    if kept is None:
        yield f"the short run {job.name} is not recorded yet"
        return
    with tempfile.TemporaryDirectory() as scratch:
        again = make(
            job, Path(scratch) / "records", replace(options, runs=Path(scratch) / "runs", quiet=True)
        )
    if not isinstance(again, Record):
        yield f"the short run diverges: {again['message']}"
        return
    differing = differences(of_record(kept), again.data)
    if differing:
        yield f"the short run was recorded with other data or weights: {', '.join(differing)}"
        return
    for epoch, (found, recorded) in enumerate(zip(again.curve, kept.curve, strict=True), start=1):
        losses = found["losses"]["total"], recorded["losses"]["total"]
        if abs(losses[0] / losses[1] - 1) > SAME_LOSS:
            yield "the short run's loss in epoch {} is {:.4f}, but {:.4f} was recorded".format(epoch, *losses)
    same = float(np.mean(again.predictions.both == kept.predictions.both))
    if same < SAME_ANSWERS:
        yield f"the short run gives the recorded answer on only {100 * same:.1f} % of the images"
    if abs(again.accuracy - kept.accuracy) > SAME_ACCURACY:
        yield f"the short run gives {again.accuracy:.1f} %, but {kept.accuracy:.1f} % was recorded"
