"""From records to files: ``figures/tables/<preset>/``, the README's tables, and the check that both still agree."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from gholm_lib.notebooks import project_root
from gholm_lib.records import Record
from gholm_lib.reproduce import grid
from gholm_lib.reproduce.beyond import cost_table, epochs_table, ledger_table, parts_table, power_table
from gholm_lib.reproduce.claims import claims_table
from gholm_lib.reproduce.run import make
from gholm_lib.reproduce.shelf import Shelf
from gholm_lib.reproduce.tables import paper_table
from gholm_lib.tables import Table, load_records, records_folder, results_table
from gholm_lib.training import RunOptions

# Another machine rounds otherwise, and may draw some pictures with a few grey levels more or less: what is still the
# same run. Share of test images, points, share of an epoch's loss. Rounding moves the loss by a millionth, pictures
# drawn elsewhere by a few ten-thousandths; another gamma or mu moves it by four thousandths or more.
SAME_ANSWERS, SAME_ACCURACY, SAME_LOSS = 0.95, 3.0, 0.002
PHOTOGRAPHS_NOTE = (
    "A few classes of the real sets, an ImageNet MobileNetV2, a CPU: evidence that method and code run on "
    "photographs, not the paper's numbers. The recipe was settled by looking at Raw's accuracy on these same test "
    "images. Where there is one seed, intervals and p are about the test images alone; how far two seeds differ is "
    "not in them."
)
README_COLUMNS = {
    "table_2": [
        "branches",
        "seeds",
        "paper",
        "measured",
        "95 % interval",
        "difference to the row above",
        "verdict",
    ],
    "table_3": [
        "branches",
        "seeds",
        "paper",
        "measured",
        "95 % interval",
        "difference to the row above",
        "verdict",
    ],
    "ledger": ["question", "the paper", "ours, and why", "other reading", "seeds", "effect", "in words"],
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
}


def ledger_tables(preset: str, shelf: Shelf) -> list[Table]:
    """What the paper has no table of."""
    makers = (ledger_table, claims_table, epochs_table, parts_table, power_table, cost_table)
    return [make(preset, shelf) for make in makers if not (make is parts_table and preset == "paper")]


def all_tables(preset: str, shelf: Shelf, data_root: Path | None = None) -> list[Table]:
    """Tables 1 to 9, then the others."""
    paper = [paper_table(n, preset, shelf, data_root) for n in grid.TABLES]
    return paper + ledger_tables(preset, shelf)


def photographs_table(folder: Path | None = None) -> Table:
    """The kept runs on photographs; they belong to no table of the paper."""
    folder = folder or records_folder() / "photographs"
    table = results_table(load_records(folder), "photographs", "Runs on photographs")
    return replace(table, notes=[PHOTOGRAPHS_NOTE, *table.notes])


def tables_folder(preset: str) -> Path:
    return project_root() / "figures" / "tables" / preset


def readme_path() -> Path:
    return project_root() / "README.md"


# ---------------------------------------------------------------------- the README


def filled_in(text: str, tables: dict[str, Table]) -> str:
    """``text`` with each table between its markers, ``<!-- table: NAME -->`` and ``<!-- end -->``, made anew."""

    def block(found: re.Match) -> str:
        name = found[1]
        if name not in tables:
            raise ValueError(f"the README wants a table {name!r}; there are {', '.join(tables)}")
        table = tables[name].only(README_COLUMNS.get(name))
        return f"<!-- table: {name} -->\n\n{table.markdown(heading=False)}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->.*?<!-- end -->", block, text, flags=re.S)


# ---------------------------------------------------------------------- write and check


def _files(preset: str, records: Path, data_root: Path | None) -> dict[Path, str]:
    """Every file that follows from the records, with its content."""
    tables = {t.name: t for t in all_tables(preset, Shelf.read(records), data_root)}
    files = {tables_folder(preset) / n: text for t in tables.values() for n, text in t.files().items()}
    if preset == "mini":  # the README shows these
        photographs = photographs_table()
        files |= {tables_folder("photographs") / n: text for n, text in photographs.files().items()}
        tables["photographs"] = photographs
        files[readme_path()] = filled_in(readme_path().read_text(encoding="utf-8"), tables)
    return files


def write_all(preset: str, records: Path, data_root: Path | None = None) -> list[Path]:
    """Write every table, and the README's."""
    files = _files(preset, records, data_root)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return list(files)


def differing_files(preset: str, records: Path, data_root: Path | None = None) -> list[Path]:
    """The files that are not what the records give."""
    files = _files(preset, records, data_root)
    return [p for p, text in files.items() if not p.exists() or p.read_text(encoding="utf-8") != text]


def differing_run(preset: str, records: Path, options: RunOptions) -> Iterator[str]:
    """Make the short run of ``grid.check_job`` again; in words what is not as it was recorded."""
    job = grid.check_job(preset)
    kept = Shelf.read(records).records.get(job)
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
    for epoch, (found, recorded) in enumerate(zip(again.curve, kept.curve, strict=True), start=1):
        losses = found["losses"]["total"], recorded["losses"]["total"]
        if abs(losses[0] / losses[1] - 1) > SAME_LOSS:
            yield "the short run's loss in epoch {} is {:.4f}, recorded is {:.4f}".format(epoch, *losses)
    same = float(np.mean(again.predictions.both == kept.predictions.both))
    if same < SAME_ANSWERS:
        yield f"the short run gives the recorded answer on {100 * same:.1f} % of the images only"
    if abs(again.accuracy - kept.accuracy) > SAME_ACCURACY:
        yield f"the short run gives {again.accuracy:.1f} %, recorded are {kept.accuracy:.1f} %"
