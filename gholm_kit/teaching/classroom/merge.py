"""The class is the replication: each student trains one seed of one row; here the records become one table.

A record counts only if it is a run of a kept row, on the same data, and says nothing impossible. Each seed of a row
counts once.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gholm_kit import style
from gholm_kit.table import Change, PValue, Table, accuracy_of, change, interval_of
from gholm_lib.config import Config
from gholm_lib.predictions import ANSWERS
from gholm_lib.provenance import differences, of_record
from gholm_lib.records import (
    PREDICTIONS,
    RECORD,
    Record,
    RecordError,
    labels_digest,
    load_record,
    load_records,
)
from gholm_lib.uncertainty import correct_matrix, mean_interval

LARGEST = 2**24  # bytes of a record's file, and of what is packed in it
_NOTE = (
    "Accuracy (eq. 13) in percent at the last epoch, mean ± standard deviation over seeds. Intervals: 95 %, over "
    "test images and seeds. Together: the class's seeds and those kept ones whose seed no student trained. "
    "Difference and p: together, over the seeds that both rows have, not corrected for several comparisons."
)


@dataclass
class Pooled:
    """One row: the class's accepted records (with their paths) and the kept ones, each in the order of seeds."""

    config: Config
    kept: list[Record]
    own: list[Record] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)

    @property
    def together(self) -> list[Record]:
        """One record a seed; where both have one, the class's."""
        by_seed = {r.config["seed"]: r for r in [*self.kept, *self.own]}
        return [by_seed[s] for s in sorted(by_seed)]


@dataclass(frozen=True)
class Merged:
    """The rows to which the class added runs, and (path, reason) of each record that does not count."""

    rows: list[Pooled]
    refused: list[tuple[Path, str]]

    @property
    def count(self) -> int:
        return sum(len(row.own) for row in self.rows)


def merge(folder: Path, kept: Path) -> Merged:
    """Check and pool every record below ``folder``; the records below ``kept`` tell which rows there are.

    raises ValueError if there is no record, or no kept one
    """
    paths = sorted(p.parent for p in folder.rglob(RECORD))
    if not paths:
        raise ValueError(
            f"no {RECORD} below {folder}; expected the folders of finished runs, one from each student"
        )
    rows = _rows(load_records(kept))
    if not rows:
        raise ValueError(f"no record below {kept} (--kept) to tell which rows there are")
    refused: list[tuple[Path, str]] = []
    seen: dict[str, tuple[Record, Path]] = {
        answers_digest(r): (r, kept) for row in rows.values() for r in row.kept
    }
    for path in paths:
        try:
            record = read(path)
            row = _row_of(record, rows)
            problem = _other_data(record, row) or impossible(record) or _again(record, path, row, seen)
        except RecordError as error:
            problem = str(error)
        if problem:
            refused.append((path, problem))
            continue
        seen.setdefault(answers_digest(record), (record, path))
        row.own.append(record)
        row.paths.append(path)
    grown = [row for row in rows.values() if row.own]
    for row in grown:
        order = np.argsort([r.config["seed"] for r in row.own], kind="stable")
        row.own, row.paths = [row.own[i] for i in order], [row.paths[i] for i in order]
    return Merged(sorted(grown, key=_order), refused)


def _rows(records: Sequence[Record]) -> dict[Config, Pooled]:
    """The kept rows by their settings with seed 0."""
    rows: dict[Config, Pooled] = {}
    for record in sorted(records, key=lambda r: r.config["seed"]):
        if record.tested_mu is None:
            key = record.settings.replace(seed=0)
            rows.setdefault(key, Pooled(key, [])).kept.append(record)
    return rows


def _order(row: Pooled) -> tuple[Any, ...]:
    return row.config.dataset, len(row.config.branches), row.config.digest


# ---------------------------------------------------------------------- checks of one record


def read(path: Path) -> Record:
    """A record from a stranger: files that are neither links nor too large, nothing in them that could run.

    raises RecordError, which says what is wrong
    """
    for name in (RECORD, PREDICTIONS):
        file = path / name
        if file.is_symlink() or not file.is_file():
            raise RecordError(f"{name} is missing, or no file")
        size = file.stat().st_size
        if name == PREDICTIONS and zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as packed:
                size = max(size, sum(i.file_size for i in packed.infolist()))
        if size > LARGEST:
            raise RecordError(f"{name} has {size} bytes, at most {LARGEST} are expected")
    return load_record(path)


def _row_of(record: Record, rows: Mapping[Config, Pooled]) -> Pooled:
    """The kept row of the same settings; raises RecordError, which names what differs from the nearest one."""
    if record.tested_mu is not None:
        raise RecordError(f"it is a test at mu {record.tested_mu:g} of a run, not a run")
    own = record.settings.replace(seed=0)
    if own in rows:
        return rows[own]
    plain = asdict(own)
    differing = {key: [f for f, v in asdict(key).items() if plain[f] != v] for key in rows}
    nearest = min(differing, key=lambda key: len(differing[key]))
    words = ", ".join(f"{f} is {plain[f]!r}, not {getattr(nearest, f)!r}" for f in differing[nearest][:4])
    more = len(differing[nearest]) - 4
    raise RecordError(
        f"no kept row has these settings; compared with the nearest, {nearest.run_id}: {words}"
        + (f" and {more} more" if more > 0 else "")
    )


def _other_data(record: Record, row: Pooled) -> str | None:
    """The first difference from the data of the kept runs, in what both record."""
    kept, own = of_record(row.kept[0]), of_record(record)
    lacking = [k for k in ("classes", "test", "train", "test_ids_sha256") if k not in own]
    if lacking:
        return f"data.{lacking[0]} is missing"
    counts = [f"{own[k]} {k} images, not {kept[k]}" for k in ("test", "train") if own[k] != kept[k]]
    found = [*counts, *differences(own, kept)]
    return f"other data than the kept runs: {found[0]}" if found else None


def impossible(record: Record) -> str | None:
    """The first thing found that a run cannot have written, in words; None if there is none."""
    try:
        return next(
            (text for check in (_predictions, _results, _curve, _cost) for text in check(record)), None
        )
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        return f"a value is missing or of the wrong type: {type(error).__name__}: {error}"


def _predictions(record: Record) -> list[str]:
    p, data = record.predictions, record.data
    assert p is not None  # load_record reads them
    n, classes = data["test"], data["classes"]
    wanted = {"label", "raw"} | ({"crop", "both"} if record.config["crop"] else set())
    for name in ("label", *ANSWERS):
        values = getattr(p, name)
        if values.shape != (n,) or values.dtype.kind not in "iu":
            return [
                f"predictions: {name} has the shape {values.shape} and type {values.dtype}, not {n} integers"
            ]
        low = 0 if name in wanted else -1
        high = classes if name in wanted else 0
        if n and not low <= int(values.min()) <= int(values.max()) < high:
            return [f"predictions: {name} has values outside {low} to {high - 1}"]
    said = data.get("test_labels_sha256")
    if said is not None and said != labels_digest(p.label.tolist()):
        return ["predictions: the labels are not those whose digest the record has"]
    return _boxes(record) if record.config["crop"] else []


def _boxes(record: Record) -> list[str]:
    assert record.predictions is not None
    box, side = record.predictions.box, record.predictions.image_size
    if side != record.config["image_size"] or box.shape != (record.data["test"], 4):
        return [f"predictions: boxes {box.shape} in images of {side} pixels"]
    x0, y0, x1, y1 = box.astype(int).T
    if (x0 < 0).any() or (y0 < 0).any() or (x1 > side).any() or (y1 > side).any() or (x1 <= x0).any():
        return [f"predictions: a box is not inside the image of {side} pixels"]
    return ["predictions: a box is empty"] if (y1 <= y0).any() else []


def _results(record: Record) -> list[str]:
    """Accuracies follow from the predictions, and the best epoch is no worse than the last."""
    assert record.predictions is not None
    counted, last = record.predictions.summary(), record.results["last"]
    for name, value in counted.items():
        if not math.isclose(last[name], value, abs_tol=1e-6):
            return [f"results: {name} is {last[name]}, but the predictions give {value:.4f}"]
    best = record.results["best_test"][record.answer]
    if not last[record.answer] - 1e-6 <= best <= 100:
        return [f"results: the best epoch has {best} %, the last one {last[record.answer]:.4f} %"]
    return []


def _curve(record: Record) -> list[str]:
    epochs = [entry["epoch"] for entry in record.curve]
    if epochs != list(range(1, record.config["epochs"] + 1)):
        return [f"curve: it has the epochs {epochs[:3]} ..., not 1 to {record.config['epochs']}"]
    for entry in record.curve:
        if not all(math.isfinite(loss) for loss in entry["losses"].values()):
            return [f"curve: a loss of epoch {entry['epoch']} is not finite"]
        if not 0 <= entry["train_accuracy"] <= 100:
            return [f"curve: train_accuracy of epoch {entry['epoch']} is {entry['train_accuracy']} %"]
    end = record.curve[-1].get("test", {}).get(record.answer)
    last = record.results["last"][record.answer]
    return [] if end == last else [f"curve: the last epoch's test has {end} %, results has {last} %"]


def _cost(record: Record) -> list[str]:
    seconds, speed = record.cost["seconds"], record.cost["images_per_second"]
    possible = 0 < seconds < math.inf and 0 < speed < math.inf
    return [] if possible else [f"cost: {seconds} seconds at {speed} images per second"]


def answers_digest(record: Record) -> str:
    """SHA-256 of a run's answers to all images, with the settings but the seed."""
    assert record.predictions is not None
    digest = hashlib.sha256(record.settings.digest.encode())
    for name in ANSWERS:
        digest.update(getattr(record.predictions, name).astype("<i8").tobytes())
    return digest.hexdigest()


def _again(record: Record, path: Path, row: Pooled, seen: Mapping[str, tuple[Record, Path]]) -> str | None:
    """Why a run counts as handed in before: a copy, another seed's answers, or a seed that another student has."""
    seed = record.config["seed"]
    same, where = seen.get(answers_digest(record), (None, path))
    if same is not None and same.config["seed"] != seed:
        return f"seed {seed} has the answers of seed {same.config['seed']} ({where}) to every image"
    if same is not None and (same.cost, same.environment) == (record.cost, record.environment):
        return f"it is the same run as in {where}: one of the two is a copy"
    taken = [p for r, p in zip(row.own, row.paths, strict=True) if r.config["seed"] == seed]
    return f"seed {seed} of this row counts already, from {taken[0]}" if taken else None


# ---------------------------------------------------------------------- table and picture


def table(merged: Merged) -> Table:
    """The class beside the kept runs, and both together."""
    rows, above = [], None
    for row in merged.rows:
        near = above is not None and above.config.dataset == row.config.dataset
        delta = change(row.together, above.together) if near and above else None
        rows.append(
            {
                "data": row.config.dataset,
                "branches": row.config.branches.replace("+", " + "),
                "class: seeds": len(row.own),
                "class": accuracy_of(row.own),
                "class: 95 %": interval_of(row.own),
                "kept: seeds": len(row.kept),
                "kept": accuracy_of(row.kept),
                "kept: 95 %": interval_of(row.kept),
                "together": accuracy_of(row.together),
                "together: 95 %": interval_of(row.together),
                "difference to the row above": delta and Change(delta),
                "p": delta and PValue(delta.p),
            }
        )
        above = row
    return Table("class", "The class beside the kept runs", rows, [_NOTE])


@style.in_style
def picture(merged: Merged):
    """Mean and 95 % interval of each row after one seed, two, three ...; a band for the kept runs."""
    columns = min(3, len(merged.rows))
    lines = -(-len(merged.rows) // columns)
    fig, axes = style.styled(columns, lines, size=(5, 4.2), sharey=True, squeeze=False)
    for ax in axes.flat[len(merged.rows) :]:
        ax.set_visible(False)
    for ax, row in zip(axes.flat, merged.rows, strict=False):
        correct = correct_matrix(row.own)
        grown = [correct[:k] for k in range(1, len(correct) + 1)]
        means = 100 * np.array([g.mean() for g in grown])
        bounds = 100 * np.array([mean_interval(g) for g in grown])
        kept = interval_of(row.kept)
        ax.axhspan(kept.low, kept.high, color="0.85", label=f"kept, {len(row.kept)} seeds: 95 %")
        ax.axhline(accuracy_of(row.kept).mean, color="0.45", linestyle="--", label="kept: mean")
        ax.errorbar(
            range(1, len(means) + 1),
            means,
            np.abs(bounds.T - means),
            fmt="o-",
            color=style.COLOURS["raw"],
            capsize=4,
            label="class: mean, 95 %",
        )
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlim(0.5, len(means) + 0.5)
        ax.set_title(f"{row.config.dataset}\n{row.config.branches.replace('+', ' + ')}", fontsize=13)
        ax.set_xlabel("seeds of the class")
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy in %")
    axes[0, 0].legend(fontsize=11)
    style.say_if_drawn(fig, merged.rows[0].config.dataset, "mini sets")
    return fig


def write(merged: Merged, out: Path) -> list[Path]:
    """Table (Markdown, CSV, LaTeX), ``class.png`` and ``refused.csv``; returns the paths."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    if merged.rows:
        written = table(merged).write(out)
        (out / "class.png").write_bytes(style.png(picture(merged), dpi=150))
        written.append(out / "class.png")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["run", "reason"])
    rows.writerows((str(path), reason) for path, reason in merged.refused)
    (out / "refused.csv").write_text(text.getvalue(), encoding="utf-8", newline="\n")
    return [*written, out / "refused.csv"]
