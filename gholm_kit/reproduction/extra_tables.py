"""What the paper has no table of: choosing an epoch, the deciding parts, how many images would be enough, and the
effect of each reading of what it leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gholm_kit import published
from gholm_kit.reproduction import jobs, verdicts
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.paper_tables import (
    DRAWN_NOTE,
    Percent,
    Row,
    best_test,
    branch_rows,
    is_real,
    measured_cell,
)
from gholm_kit.reproduction.questions import LEDGER, Question, Reading
from gholm_kit.table import NOT_RUN, Change, Mean, PValue, Table, accuracy_of, change, interval_of, mean_of
from gholm_lib.config import Config
from gholm_lib.records import Record
from gholm_lib.uncertainty import Difference, images_needed, seeds_needed

POINTS = (0.2, 0.5, 1.0, 2.0)


def _on(preset: str, dataset: str) -> str:
    name = jobs.DATASETS[preset][dataset]
    return published.NAMES[dataset] if is_real(preset) else f"{name} (drawn data)"


def _drawn(preset: str) -> list[str]:
    return [] if is_real(preset) else [DRAWN_NOTE]


# ---------------------------------------------------------------------- which epoch?


def epochs_table(preset: str, archive: Archive) -> Table:
    """Three ways of choosing the epoch whose accuracy is reported, on the same networks."""
    rows = []
    for name in jobs.ROWS:
        records = archive.row(jobs.config_for(preset, "cub", name, **jobs.HOLDOUT))
        last, best = (accuracy_of(records), best_test(records)) if records else (NOT_RUN, None)
        rows.append(
            {
                "branches": name,
                "seeds": len(records),
                "training images": records[0].data["train"] if records else None,
                "last epoch": last,
                "chosen on held-out images": _held_out(records),
                "best test epoch (optimistic)": best,
                "optimism: best test epoch minus last": best and mean_of(_optimism(records)),
            }
        )
    share = f"{100 * jobs.HOLDOUT['holdout']:.0f} %"
    note = (
        f"Accuracy in percent on the test images, mean ± standard deviation over seeds. {share} of the training "
        "images are held out, so these networks learn from less than those of Table 2. All three columns are the "
        "same networks, tested after every epoch."
    )
    title = f"Which epoch is reported? Measured on {_on(preset, 'cub')}"
    return Table("epochs", title, rows, [note, *_drawn(preset)])


def _held_out(records: Sequence[Record]):
    return mean_of([r.results["held_out"][r.answer] for r in records]) if records else None


def _optimism(records: Sequence[Record]) -> list[float]:
    return [r.results["best_test"][r.answer] - r.accuracy for r in records]


# ---------------------------------------------------------------------- the deciding parts


def parts_table(preset: str, archive: Archive) -> Table:
    """Does the crop keep, and the erasure take, what decides the class?"""
    rows = []
    for job in jobs.part_jobs(preset):
        found = archive.part_row(job.config)
        mu, theta = f"{job.config.mu:g}", "1.5"
        columns = {
            "box, share of the image": f"area_{mu}",
            "deciding parts in the box": f"kept_{mu}",
            "the box moved at random": f"kept_moved_{mu}",
            "erased, share of the image": f"erased_{theta}",
            "deciding parts erased": f"removed_{theta}",
            "the erasure moved at random": f"removed_moved_{theta}",
        }
        shares = {
            c: Percent(float(np.mean([f[k] for f in found]))) if found else None for c, k in columns.items()
        }
        row = {"data": job.config.dataset, "branches": _branches(job), "seeds": len(found)}
        rows.append(row | ({**shares} if found else {**shares, "box, share of the image": NOT_RUN}))
    note = (
        "Mean over test images and seeds. Deciding parts: the places that tell an image's class from the classes "
        "nearest to it, the same for each part. Box at μ = 1.7, erasure at θ = 1.5, by the class that Raw predicts; "
        "a network that was trained without Crop or Drop is asked all the same. Moved at random: the same shape "
        "elsewhere, what chance would give."
    )
    return Table(
        "parts", "Does the crop keep, and the erasure take, what decides?", rows, [note, *_drawn(preset)]
    )


def _branches(job: jobs.Job) -> str:
    return next(
        n for n, c in jobs.ROWS.items() if all(getattr(job.config, k) == v for k, v in _full(c).items())
    )


def _full(changes: dict[str, Any]) -> dict[str, Any]:
    return {"crop": True, "sup": True, "drop": True} | changes


# ---------------------------------------------------------------------- what the runs took


def cost_table(preset: str, archive: Archive) -> Table:
    """Minutes of the recorded runs, by data set and branches; tests with another mu train nothing: left out."""
    runs: dict[tuple, list[Record]] = {}
    for job, record in archive.records.items():
        if job.tested_mu is None:
            where = record.environment["device"], record.environment["threads"]
            runs.setdefault((job.config.dataset, job.config.branches, job.config.epochs, *where), []).append(
                record
            )
    rows = [_cost_row(kind, records) for kind, records in sorted(runs.items())]
    total = sum(r.cost["seconds"] for records in runs.values() for r in records) / 3600
    note = (
        f"Wall time of training with its tests, as recorded, {total:.1f} hours in all. Several runs shared one "
        "machine, and some were stopped for a while and went on: the median tells more than the sum."
    )
    return Table("cost", "What the recorded runs took", rows or [{"data": NOT_RUN}], [note, *_drawn(preset)])


def _cost_row(kind: tuple, records: Sequence[Record]) -> dict[str, Any]:
    dataset, branches, epochs, device, threads = kind
    minutes = [r.cost["seconds"] / 60 for r in records]
    return {
        "data": dataset,
        "branches": branches,
        "epochs": epochs,
        "runs": len(records),
        "minutes a run, median": round(float(np.median(minutes)), 1),
        "least": round(min(minutes), 1),
        "most": round(max(minutes), 1),
        "device": device,
        "threads": threads,
    }


# ---------------------------------------------------------------------- how many would be enough?


def power_table(preset: str, archive: Archive) -> Table:
    """Test images and seeds with which a difference as small as the paper's is seen in four of five studies."""
    rows = branch_rows(preset, archive, "cub")
    disagreement, spread = step_disagreement(rows), _seed_spread(rows)
    accuracy = published.BRANCHES["cub"][jobs.OURS] / 100
    table = []
    for points in POINTS:
        table.append(
            {
                "true difference in points": points,
                "images of CUB's test set": round(points / 100 * published.COUNTS["cub"][2]),
                "test images, unpaired": images_needed(points, accuracy),
                "test images, paired": _paired(points, accuracy, disagreement),
                "seeds, one test set": seeds_needed(points, spread) if spread else None,
            }
        )
    measured = (
        f"the share of answers that change sides from one row of Table 2 to the next ({100 * disagreement:.1f} %)"
        if disagreement is not None
        else "a measured disagreement (not run yet)"
    )
    seeds = f" Seeds: by a paired t test, with the measured spread of {spread:.2f} points." if spread else ""
    note = (
        f"Numbers with which a true difference is found at the 5 % level with a probability of 80 %. Unpaired: two "
        f"independent test sets, at the paper's {100 * accuracy:.1f} %. Paired: both answer the same images "
        f"(McNemar), with {measured}.{seeds} CUB has {published.COUNTS['cub'][2]} test images."
    )
    return Table(
        "power", "How many test images or seeds does a difference need?", table, [note, *_drawn(preset)]
    )


def step_disagreement(rows: dict[str, Row]) -> float | None:
    """Share of answers that change sides from one row of Table 2 to the next, on average; None without records."""
    steps = [r.change for r in rows.values() if r.change]
    return float(np.mean([s.disagreement for s in steps])) if steps else None


def _paired(points: float, accuracy: float, disagreement: float | None) -> int | None:
    if disagreement is None:
        return None
    return images_needed(points, accuracy, max(disagreement, points / 100))


def _seed_spread(rows: dict[str, Row]) -> float | None:
    """Standard deviation, between seeds, of the difference between neighbouring rows, in points."""
    squares = []
    for row in rows.values():
        if row.against is None:
            continue
        own, above = ({r.config["seed"]: r.accuracy for r in x.records} for x in (row, row.against))
        steps = [own[s] - above[s] for s in own.keys() & above.keys()]
        if len(steps) > 1:
            squares.append(np.var(steps, ddof=1))
    return float(np.sqrt(np.mean(squares))) if squares else None


# ---------------------------------------------------------------------- the ledger


@dataclass(frozen=True)
class Effect:
    """One reading, measured. ``change`` is the difference to our readings, None where there is none to tell."""

    question: Question
    reading: Reading
    measured: Mean | str | None
    change: Difference | None
    words: str
    seeds: int = 0


def ledger_effects(preset: str, archive: Archive) -> list[Effect]:
    """Every other reading of every open question, on the first data set."""
    ours = jobs.config_for(preset, "cub")
    return [_effect(q, r, ours, archive) for q in LEDGER for r in q.readings]


def _effect(question: Question, reading: Reading, ours: Config, archive: Archive) -> Effect:
    config = reading.config(ours)
    if config is None:
        return Effect(question, reading, None, None, reading.instead)
    records, failures, base = archive.row(config), archive.failed(config), archive.row(ours)
    delta = change(records, base) if records and base and not failures else None
    words = "diverged" if failures else verdicts.of_effect(delta)
    return Effect(question, reading, measured_cell(records, failures), delta, words, len(records))


def ledger_table(preset: str, archive: Archive) -> Table:
    """Each question that the paper leaves open: our reading and why, the others, and their effect on accuracy."""
    base = archive.row(jobs.config_for(preset, "cub"))
    rows, asked = [], None
    for effect in ledger_effects(preset, archive):
        question, delta = effect.question, effect.change
        about = {
            "question": question.asks,
            "the paper": question.gives,
            "ours, and why": f"{question.ours}: {question.why}",
        }
        rows.append(
            (about if question is not asked else dict.fromkeys(about, ""))
            | {
                "other reading": effect.reading.name,
                "seeds": effect.seeds or None,
                "accuracy": effect.measured,
                "effect": delta and Change(delta),
                "p": delta and PValue(delta.p_clustered),
                "verdict": effect.words,
            }
        )
        asked = question
    standing = f"{accuracy_of(base)} % ({interval_of(base)}), {len(base)} seed(s)" if base else NOT_RUN
    note = (
        f"Our readings together, on {_on(preset, 'cub')}: {standing}. Each other reading changes this one thing, "
        "all branches trained. Effect: difference in points to our readings, 95 % interval over images and seeds "
        "(one seed: over images alone); p belongs to that interval; *better* or *worse* where it leaves out zero. "
        "With two dozen comparisons, about one such word is due to chance."
    )
    title = f"What the paper leaves open, measured on {_on(preset, 'cub')}"
    return Table("ledger", title, rows, [note, *_drawn(preset)])
