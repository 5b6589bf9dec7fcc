"""The sentences of the paper that claim a result, and what the records say of each. Verdicts are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from gholm_kit import published
from gholm_kit.reproduction import jobs, verdicts
from gholm_kit.reproduction.archive import Archive
from gholm_kit.reproduction.paper_tables import (
    DRAWN_NOTE,
    Row,
    branch_rows,
    compared_rows,
    is_real,
    logits_rows,
    mu_rows,
)
from gholm_kit.table import Change, Table
from gholm_lib.uncertainty import Difference, value_difference

NOT_TESTED = "not tested here"
BY_CONSTRUCTION = "so by construction"
Found = tuple[str, str]  # verdict, evidence


@dataclass(frozen=True)
class Claim:
    """One sentence. ``test(preset, archive)`` gives verdict and evidence; None: ``instead`` says why there is none.

    section  of the paper; seen  where the notebooks show it
    """

    section: str
    says: str
    seen: str
    test: Callable[[str, Archive], Found] | None = None
    instead: str = ""

    def judge(self, preset: str, archive: Archive) -> Found:
        return self.test(preset, archive) if self.test else (NOT_TESTED, self.instead)


def _points(name: str, delta: Difference | None) -> str:
    return f"{name}: {Change(delta) if delta else verdicts.NOT_RUN}"


def _better(named: dict[str, Difference | None]) -> Found:
    """Verdict on "all of these differences are above zero"."""
    found = verdicts.of_all(verdicts.of_difference(d, 1) for d in named.values())
    return found, "; ".join(_points(n, d) for n, d in named.items())


def _step(row: str) -> Callable[[str, Archive], Found]:
    def test(preset: str, archive: Archive) -> Found:
        return _better(
            {
                jobs.DATASETS[preset][d]: branch_rows(preset, archive, d)[row].change
                for d in published.BRANCHES
            }
        )

    return test


def _all_modules(preset: str, archive: Archive) -> Found:
    rows = {d: branch_rows(preset, archive, d) for d in published.BRANCHES}
    changes = [r.change for own in rows.values() for r in own.values() if r.against]
    found = [verdicts.of_difference(c, 1) for c in changes]
    counts = {v: found.count(v) for v in dict.fromkeys(found)}
    return verdicts.of_all(found), "of the steps: " + ", ".join(f"{n} {v}" for v, n in counts.items())


def _best_mu(preset: str, archive: Archive) -> Found:
    rows = {mu: r for mu, r in mu_rows(preset, archive, trained=True).items() if r.against}
    verdict = verdicts.of_all(verdicts.of_difference(r.change, -1) for r in rows.values())
    return verdict, "; ".join(_points(f"μ = {mu:g}", r.change) for mu, r in rows.items())


def _shares(preset: str, archive: Archive, name: str) -> np.ndarray | None:
    """One share of ``parts.npz`` of the full method on the first data set, in percent, (S, N)."""
    found = archive.part_row(jobs.config_for(preset, "cub"))
    return np.stack([100 * f[name] for f in found]) if found else None


def _share_change(preset: str, archive: Archive, first: str, second: str) -> Difference | None:
    """Mean of one share minus another, in points."""
    values = [_shares(preset, archive, name) for name in (first, second)]
    return None if values[0] is None else value_difference(*values)


def _small_mu_large_crop(preset: str, archive: Archive) -> Found:
    steps = {
        f"{a:g} against {b:g}": _share_change(preset, archive, f"area_{a:g}", f"area_{b:g}")
        for a, b in _ends()
    }
    verdict, evidence = _better(steps)
    return _by_construction(verdict), f"box area in points of the image, {evidence}"


def _large_mu_loses(preset: str, archive: Archive) -> Found:
    steps = {
        f"{a:g} against {b:g}": _share_change(preset, archive, f"kept_{a:g}", f"kept_{b:g}")
        for a, b in _ends()
    }
    verdict, evidence = _better(steps)
    return _by_construction(verdict), f"share of the deciding parts in the box, in points, {evidence}"


def _by_construction(verdict: str) -> str:
    """A higher threshold keeps a part of what a lower one keeps, so box and what is in it can hardly grow."""
    return BY_CONSTRUCTION if verdict == verdicts.REPRODUCED else verdict


def _small_mu_misses(preset: str, archive: Archive) -> Found:
    """Located: what the box holds of the deciding parts beyond what it holds when moved at random."""
    low, middle = _ends()[0]
    names = [f"{k}_{mu:g}" for mu in (low, middle) for k in ("kept", "kept_moved")]
    values = [_shares(preset, archive, name) for name in names]
    delta = None
    if values[0] is not None:
        at_low, moved_low, at_middle, moved_middle = values
        delta = value_difference(at_low - moved_low, at_middle - moved_middle)
    name = f"share of the deciding parts beyond the box moved at random, {low:g} against {middle:g}"
    return verdicts.of_difference(delta, -1), _points(name, delta)


def _ends() -> list[tuple[float, float]]:
    return [(jobs.MUS[0], jobs.MUS[1]), (jobs.MUS[1], jobs.MUS[-1])]


def _single_logits(preset: str, archive: Archive) -> Found:
    answers = logits_rows(preset, archive)
    raw_alone = branch_rows(preset, archive, "cub")[jobs.RAW]
    named = {}
    for answer, name in (("raw", "Raw logits"), ("crop", "Crop logits")):
        row = answers[answer]
        named[name] = Row(row.paper, row.records, row.failures, answer, raw_alone).change
    return _better(named)


def _sum_best(preset: str, archive: Archive) -> Found:
    rows = logits_rows(preset, archive)
    both = rows["both"]
    named = {
        f"against {name}": Row(both.paper, both.records, both.failures, "both", rows[answer]).change
        for answer, name in (("raw", "Raw"), ("crop", "Crop"))
    }
    return _better(named)


def _beats_baseline(preset: str, archive: Archive) -> Found:
    rows = {n: compared_rows(n, preset, archive)[jobs.OURS] for n in jobs.COMPARED}
    return _better({jobs.DATASETS[preset][jobs.COMPARED[n]]: r.change for n, r in rows.items()})


def _numbers(preset: str, archive: Archive) -> Found:
    if not is_real(preset):
        return verdicts.NOT_RUN, "needs the real data sets: `gholm reproduce --all --preset paper`"
    rows = {jobs.COMPARED[n]: compared_rows(n, preset, archive)[jobs.OURS] for n in jobs.COMPARED}
    found = {d: verdicts.of_number(r.interval, r.paper) for d, r in rows.items()}
    evidence = "; ".join(f"{published.NAMES[d]}: {v}" for d, v in found.items())
    if verdicts.NOT_RUN in found.values():
        return verdicts.NOT_RUN, evidence
    inside = set(found.values()) == {verdicts.COMPATIBLE}
    return verdicts.REPRODUCED if inside else verdicts.CONTRADICTED, evidence


def _crop_finds(preset: str, archive: Archive) -> Found:
    if is_real(preset):
        return NOT_TESTED, "no photograph says which of its parts decide"
    delta = _share_change(preset, archive, "kept_1.7", "kept_moved_1.7")
    return verdicts.of_difference(delta, 1), _points(
        "deciding parts in the box, minus the box moved at random", delta
    )


def _drop_widens(preset: str, archive: Archive) -> Found:
    with_drop, without = (
        {r.config["seed"]: _areas(r) for r in archive.row(jobs.config_for(preset, "cub", row))}
        for row in (jobs.OURS, "Raw + Crop + Sup")
    )
    seeds = sorted(with_drop.keys() & without.keys())
    delta = (
        value_difference(*(np.stack([x[s] for s in seeds]) for x in (with_drop, without))) if seeds else None
    )
    return verdicts.of_difference(delta, 1), _points(
        "attended box, in points of the image, with Drop minus without", delta
    )


def _areas(record) -> np.ndarray:
    """Share of the image in the box, in percent, of each test image."""
    x0, y0, x1, y1 = record.predictions.box.astype(float).T
    return 100 * (x1 - x0) * (y1 - y0) / record.predictions.image_size**2


def _leads(number: int) -> str:
    """What the paper's own table says of its rank; arithmetic, no experiment."""
    rows = sorted(published.COMPARED[number], key=lambda r: -r.accuracy)
    place = 1 + [r.row for r in rows].index(jobs.OURS)
    return f"{published.NAMES[jobs.COMPARED[number]]}: place {place} of {len(rows)}"


def _steps(row: str) -> str:
    """ "(+0.8, +1.1)": what the paper gains with a row of Tables 2 and 3."""
    names = list(jobs.ROWS)
    above = names[names.index(row) - 1]
    return _gains(numbers[row] - numbers[above] for numbers in published.BRANCHES.values())


def _gains(points: Iterable[float]) -> str:
    return f"({', '.join(f'{p:+.1f}' for p in points)})"


def _over_baseline() -> str:
    numbers = [{r.row: r.accuracy for r in rows} for rows in published.COMPARED.values()]
    return _gains(n[jobs.OURS] - n[jobs.RAW] for n in numbers)


_ACCURACIES = ", ".join(
    f"{next(r.accuracy for r in rows if r.row == jobs.OURS):.1f}" for rows in published.COMPARED.values()
)
_SINGLE = _gains(published.LOGITS[a] - published.BRANCHES["cub"][jobs.RAW] for a in ("raw", "crop"))

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "abstract",
        f"The accuracies on Cars, CUB, Aircraft and Dogs are {_ACCURACIES} %.",
        "07, Tables 6-9",
        _numbers,
    ),
    Claim("3.3", "The crop locates the regions with discriminative features.", "08, parts; 02", _crop_finds),
    Claim(
        "4.3.1",
        "Each proposed module raises the accuracy, on both data sets.",
        "07, Tables 2-3",
        _all_modules,
    ),
    Claim(
        "4.3.1", f"Heatmap cropping raises it {_steps('Raw + Crop')}.", "07, Tables 2-3", _step("Raw + Crop")
    ),
    Claim(
        "4.3.1",
        f"Supervised contrastive learning raises it {_steps('Raw + Crop + Sup')}.",
        "07, Tables 2-3",
        _step("Raw + Crop + Sup"),
    ),
    Claim(
        "4.3.1",
        f"Attention erasure raises it {_steps(jobs.OURS)}.",
        "07, Tables 2-3",
        _step("Raw + Crop + Sup + Drop"),
    ),
    Claim(
        "4.3.1", "Erasure makes the network attend to other regions as well.", "08, claims; 03", _drop_widens
    ),
    Claim(
        "4.3.1",
        "Erasure makes the network more robust.",
        "03",
        instead="the paper measures no robustness, and neither do the records",
    ),
    Claim(
        "1",
        "Contrastive learning increases differences between classes and reduces those within.",
        "04, embeddings",
        instead="records hold answers, not features; chapter 04 looks at the features",
    ),
    Claim(
        "4.3.2",
        f"μ = {max(published.MU, key=published.MU.get):g} gives the highest accuracy.",
        "07, Table 4",
        _best_mu,
    ),
    Claim("4.3.2", "With small μ the cropped region is large.", "07, Table 4; 02", _small_mu_large_crop),
    Claim(
        "4.3.2", "With small μ the crop locates the key regions badly.", "08, claims; 02", _small_mu_misses
    ),
    Claim("4.3.2", "With large μ the crop loses key regions.", "08, claims; 02", _large_mu_loses),
    Claim(
        "4.3.3",
        f"Raw logits alone, and Crop logits alone, beat the baseline {_SINGLE}.",
        "07, Table 5",
        _single_logits,
    ),
    Claim("4.3.3", "The sum of both logits is better than either.", "07, Table 5", _sum_best),
    Claim(
        "4.3.3",
        "Raw logits alone save the gradient at test time.",
        "05, time of a step",
        instead="by construction: one forward pass instead of two, and no map; `gholm bench` measures it",
    ),
    Claim(
        "4.4",
        f"The method beats its backbone on Cars, CUB, Aircraft and Dogs {_over_baseline()}.",
        "07, Tables 6-9",
        _beats_baseline,
    ),
    Claim(
        "4.4",
        "It is top-3 on CUB and top-1 on Dogs, and better than most on Cars and Aircraft.",
        "07, Tables 6-9",
        instead="in the paper's own tables "
        + ", ".join(_leads(n) for n in jobs.COMPARED)
        + "; published numbers are one run each, of other backbones and image sizes",
    ),
    Claim(
        "4.5",
        "Heatmaps show that ConvNeXt captures discriminative features.",
        "06, Figure 6; 01",
        instead="a figure of a few images shows that good cases exist; the share of the deciding parts in the crop, "
        "above, is the number for it",
    ),
)


def claims_table(preset: str, archive: Archive) -> Table:
    """Every claim and its verdict."""
    rows = []
    for claim in CLAIMS:
        verdict, evidence = claim.judge(preset, archive)
        cells = {"section": claim.section, "the paper says": claim.says, "seen in": claim.seen}
        rows.append(cells | {"verdict": verdict, "evidence": evidence})
    seen = "Seen in: chapter, and what in it."
    note = "Differences in points, 95 % intervals over test images and seeds; of several, the worst counts."
    drawn = [] if is_real(preset) else [DRAWN_NOTE]
    where = "on photographs" if is_real(preset) else "on drawn data"
    return Table(
        "claims",
        f"What the paper claims, held against the records {where}",
        rows,
        [note, seen, verdicts.RULE, *drawn],
    )
