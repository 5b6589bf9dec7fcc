"""Tables that the paper does not have: choosing an epoch, the deciding parts, how many images would be enough, and
the effect of each reading of what it leaves open."""

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
)
from gholm_kit.reproduction.questions import LEDGER, Question, Reading
from gholm_kit.reproduction.tuning import Tuned
from gholm_kit.table import (
    FAR_APART,
    NOT_RUN,
    Change,
    Mean,
    PValue,
    Table,
    accuracy_cell,
    accuracy_of,
    interval_of,
    mean_of,
)
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
        records = archive.row(jobs.config_for(preset, "cub", name, **jobs.EVERY_EPOCH[preset]))
        last, best = (accuracy_cell(records), best_test(records)) if records else (NOT_RUN, None)
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
    share = jobs.epoch_jobs(preset)[0].config.holdout
    note = (
        f"Accuracy in percent on the test images, mean ± standard deviation over seeds. {100 * share:.0f} % of the "
        "training images are held out. All three columns show the same networks, tested after every epoch."
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
            "the box centred": f"kept_centred_{mu}",
            "erased, share of the image": f"erased_{theta}",
            "deciding parts erased": f"removed_{theta}",
            "the erasure moved at random": f"removed_moved_{theta}",
        }
        shares = {c: _mean_share(found, k) for c, k in columns.items()}
        row = {"data": job.config.dataset, "branches": _branches(job), "seeds": len(found)}
        rows.append(row | (shares if found else {**shares, "box, share of the image": NOT_RUN}))
    note = (
        "Mean over test images and seeds. Deciding parts: the places that tell an image's class from the classes "
        "most like it; each part counts the same. Box at μ = 1.7, erasure at θ = 1.5, both from the class that Raw "
        "predicts, also for networks trained without Crop or Drop. Moved at random: the same shape somewhere else, "
        "which is what chance would give. Centred: a box of the same size in the middle of the image, where most "
        "objects are; measurements made before this column was added lack it."
    )
    return Table(
        "parts", "Does the crop keep, and the erasure take, what decides?", rows, [note, *_drawn(preset)]
    )


def _mean_share(found: Sequence[dict[str, np.ndarray]], name: str) -> Percent | None:
    """None where a measurement lacks it."""
    if not found or not all(name in f for f in found):
        return None
    return Percent(float(np.mean([f[name] for f in found])))


def _branches(job: jobs.Job) -> str:
    return next(
        n for n, c in jobs.ROWS.items() if all(getattr(job.config, k) == v for k, v in _full(c).items())
    )


def _full(changes: dict[str, Any]) -> dict[str, Any]:
    return {"crop": True, "sup": True, "drop": True} | changes


# ---------------------------------------------------------------------- what the runs took


def cost_table(preset: str, archive: Archive) -> Table:
    """Minutes of the recorded runs, by data set and branches. Tests with another mu train nothing: not counted."""
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
        f"Recorded wall time of training and testing, {total:.1f} hours in all. Several runs shared a machine, and "
        "some were paused and resumed, so the median says more than the sum."
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
    """Test images and seeds with which a difference as small as the paper's is found in four of five studies."""
    rows = branch_rows(Tuned(preset, archive).own_best, archive, "cub")
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
        f"the share of images on which exactly one of two neighbouring rows of Table 2 is right "
        f"({100 * disagreement:.1f} %)"
        if disagreement is not None
        else "a measured disagreement (not run yet)"
    )
    seeds = f" Seeds: by a paired t test, with the measured spread of {spread:.2f} points." if spread else ""
    note = (
        f"How many it takes to find a true difference at the 5 % level with a probability of 80 %. Unpaired: two "
        f"independent test sets, at the paper's {100 * accuracy:.1f} %. Paired: both networks see the same images "
        f"(McNemar's test), with {measured}.{seeds} CUB has {published.COUNTS['cub'][2]} test images."
    )
    return Table(
        "power", "How many test images or seeds does a difference need?", table, [note, *_drawn(preset)]
    )


def step_disagreement(rows: dict[str, Row]) -> float | None:
    """Share of images on which exactly one of two neighbouring rows of Table 2 is right; None without records."""
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
    """One reading, measured. ``change`` is the difference from our readings, None where there is none to tell."""

    question: Question
    reading: Reading
    measured: Mean | str | None
    change: Difference | None
    words: str
    seeds: int = 0


def ledger_effects(preset: str, archive: Archive) -> list[Effect]:
    """Every other reading of every open question, on the first data set; verdicts corrected over all of them."""
    ours = jobs.config_for(preset, "cub")
    base = Row(published.LOGITS["both"], archive.row(ours))
    readings = [(q, r, _reading_row(r, ours, base, archive)) for q in LEDGER for r in q.readings]
    changes = [None if row is None or row.failures else row.tested for *_, row in readings]
    signs = verdicts.directions(changes)
    return [_effect(*each, sign) for each, sign in zip(readings, signs, strict=True)]


def _reading_row(reading: Reading, ours: Config, base: Row, archive: Archive) -> Row | None:
    """None where no run can show the reading."""
    config = reading.config(ours)
    if config is None:
        return None
    return Row(base.paper, archive.row(config), archive.failed(config), against=base)


def _effect(question: Question, reading: Reading, row: Row | None, sign: int | None) -> Effect:
    if row is None:
        return Effect(question, reading, None, None, reading.instead)
    if row.failures:
        return Effect(question, reading, row.measured, None, "diverged", len(row.records))
    words = row.unjudged or verdicts.of_effect(sign)
    return Effect(question, reading, row.measured, row.change, words, len(row.records))


def ledger_table(preset: str, archive: Archive) -> Table:
    """Each question that the paper leaves open: our reading and why, the others, and their effect on accuracy."""
    base = archive.row(jobs.config_for(preset, "cub"))
    effects, rows, asked = ledger_effects(preset, archive), [], None
    for effect in effects:
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
                "p": delta and PValue(delta.p),
                "verdict": effect.words,
            }
        )
        asked = question
    title = f"What the paper leaves open, measured on {_on(preset, 'cub')}"
    notes = [
        _ledger_note(preset, base, sum(e.change is not None and e.change.seeds > 1 for e in effects)),
        SAME_MACHINE_NOTE,
    ]
    return Table("ledger", title, rows, [*notes, *_drawn(preset)])


SAME_MACHINE_NOTE = (
    "On one machine, the same settings and seed give the same run, bit for bit. Another processor rounds "
    "differently, and the run becomes another one, as with another seed; a verdict from three runs may then change."
)


def _ledger_note(preset: str, base: Sequence[Record], tested: int) -> str:
    standing = f"{accuracy_of(base)} % ({interval_of(base)}), {len(base)} seed(s)" if base else NOT_RUN
    return (
        f"All our readings together, on {_on(preset, 'cub')}: {standing}. Each other reading changes one thing; "
        "all branches are trained. Effect: difference from our readings in points, with its 95 % interval over "
        "test images and seeds (with one seed, over images alone) and that interval's p. *Better* or *worse*: "
        f"significant at 5 % after Holm's correction over the {tested} readings tested; *{verdicts.UNCLEAR}*: not. "
        "*Unstable*: some runs, but not all, are at chance level, or they lie more than "
        f"{FAR_APART:.0f} points apart; then the accuracy of each run is shown and nothing is tested. Single "
        "runs get no verdict."
    )
