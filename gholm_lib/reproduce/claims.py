"""The sentences of the paper that claim a result, and what the records say of each. Verdicts are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from gholm_lib.intervals import Difference, value_difference
from gholm_lib.reproduce import grid, paper, verdicts
from gholm_lib.reproduce.shelf import Shelf
from gholm_lib.reproduce.tables import (
    DRAWN_NOTE,
    Row,
    branch_rows,
    compared_rows,
    is_real,
    logits_rows,
    mu_rows,
)
from gholm_lib.tables import Change, Table

NOT_TESTED = "not tested here"
BY_CONSTRUCTION = "so by construction"
Found = tuple[str, str]  # verdict, evidence


@dataclass(frozen=True)
class Claim:
    """One sentence. ``test(preset, shelf)`` gives verdict and evidence; None: ``instead`` says why there is none.

    section  of the paper; seen  where the notebooks show it
    """

    section: str
    says: str
    seen: str
    test: Callable[[str, Shelf], Found] | None = None
    instead: str = ""

    def judge(self, preset: str, shelf: Shelf) -> Found:
        return self.test(preset, shelf) if self.test else (NOT_TESTED, self.instead)


def _points(name: str, delta: Difference | None) -> str:
    return f"{name}: {Change(delta) if delta else verdicts.NOT_RUN}"


def _better(named: dict[str, Difference | None]) -> Found:
    """Verdict on "all of these differences are above zero"."""
    found = verdicts.of_all(verdicts.of_difference(d, 1) for d in named.values())
    return found, "; ".join(_points(n, d) for n, d in named.items())


def _step(row: str) -> Callable[[str, Shelf], Found]:
    def test(preset: str, shelf: Shelf) -> Found:
        return _better(
            {grid.DATASETS[preset][d]: branch_rows(preset, shelf, d)[row].change for d in paper.BRANCHES}
        )

    return test


def _all_modules(preset: str, shelf: Shelf) -> Found:
    rows = {d: branch_rows(preset, shelf, d) for d in paper.BRANCHES}
    changes = [r.change for own in rows.values() for r in own.values() if r.against]
    found = [verdicts.of_difference(c, 1) for c in changes]
    counts = {v: found.count(v) for v in dict.fromkeys(found)}
    return verdicts.of_all(found), "of the steps: " + ", ".join(f"{n} {v}" for v, n in counts.items())


def _best_mu(preset: str, shelf: Shelf) -> Found:
    rows = {mu: r for mu, r in mu_rows(preset, shelf, trained=True).items() if r.against}
    verdict = verdicts.of_all(verdicts.of_difference(r.change, -1) for r in rows.values())
    return verdict, "; ".join(_points(f"μ = {mu:g}", r.change) for mu, r in rows.items())


def _shares(preset: str, shelf: Shelf, name: str) -> np.ndarray | None:
    """One share of ``parts.npz`` of the full method on the first data set, in percent, (S, N)."""
    found = shelf.part_row(grid.config_for(preset, "cub"))
    return np.stack([100 * f[name] for f in found]) if found else None


def _share_change(preset: str, shelf: Shelf, first: str, second: str) -> Difference | None:
    """Mean of one share minus another, in points."""
    values = [_shares(preset, shelf, name) for name in (first, second)]
    return None if values[0] is None else value_difference(*values)


def _small_mu_large_crop(preset: str, shelf: Shelf) -> Found:
    steps = {
        f"{a:g} against {b:g}": _share_change(preset, shelf, f"area_{a:g}", f"area_{b:g}") for a, b in _ends()
    }
    verdict, evidence = _better(steps)
    return _by_construction(verdict), f"box area in points of the image, {evidence}"


def _large_mu_loses(preset: str, shelf: Shelf) -> Found:
    steps = {
        f"{a:g} against {b:g}": _share_change(preset, shelf, f"kept_{a:g}", f"kept_{b:g}") for a, b in _ends()
    }
    verdict, evidence = _better(steps)
    return _by_construction(verdict), f"share of the deciding parts in the box, in points, {evidence}"


def _by_construction(verdict: str) -> str:
    """A higher threshold keeps a part of what a lower one keeps, so box and what is in it can hardly grow."""
    return BY_CONSTRUCTION if verdict == verdicts.REPRODUCED else verdict


def _small_mu_misses(preset: str, shelf: Shelf) -> Found:
    """Located: what the box holds of the deciding parts beyond what it holds when moved at random."""
    low, middle = _ends()[0]
    names = [f"{k}_{mu:g}" for mu in (low, middle) for k in ("kept", "kept_moved")]
    values = [_shares(preset, shelf, name) for name in names]
    delta = None
    if values[0] is not None:
        at_low, moved_low, at_middle, moved_middle = values
        delta = value_difference(at_low - moved_low, at_middle - moved_middle)
    name = f"share of the deciding parts beyond the box moved at random, {low:g} against {middle:g}"
    return verdicts.of_difference(delta, -1), _points(name, delta)


def _ends() -> list[tuple[float, float]]:
    return [(grid.MUS[0], grid.MUS[1]), (grid.MUS[1], grid.MUS[-1])]


def _single_logits(preset: str, shelf: Shelf) -> Found:
    answers = logits_rows(preset, shelf)
    raw_alone = branch_rows(preset, shelf, "cub")[grid.RAW]
    named = {}
    for answer, name in (("raw", "Raw logits"), ("crop", "Crop logits")):
        row = answers[answer]
        named[name] = Row(row.paper, row.records, row.failures, answer, raw_alone).change
    return _better(named)


def _sum_best(preset: str, shelf: Shelf) -> Found:
    rows = logits_rows(preset, shelf)
    both = rows["both"]
    named = {
        f"against {name}": Row(both.paper, both.records, both.failures, "both", rows[answer]).change
        for answer, name in (("raw", "Raw"), ("crop", "Crop"))
    }
    return _better(named)


def _beats_baseline(preset: str, shelf: Shelf) -> Found:
    rows = {n: compared_rows(n, preset, shelf)[grid.OURS] for n in grid.COMPARED}
    return _better({grid.DATASETS[preset][grid.COMPARED[n]]: r.change for n, r in rows.items()})


def _numbers(preset: str, shelf: Shelf) -> Found:
    if not is_real(preset):
        return verdicts.NOT_RUN, "needs the real data sets: `gholm reproduce --all --preset paper`"
    rows = {grid.COMPARED[n]: compared_rows(n, preset, shelf)[grid.OURS] for n in grid.COMPARED}
    found = {d: verdicts.of_number(r.interval, r.paper) for d, r in rows.items()}
    evidence = "; ".join(f"{paper.NAMES[d]}: {v}" for d, v in found.items())
    if verdicts.NOT_RUN in found.values():
        return verdicts.NOT_RUN, evidence
    inside = set(found.values()) == {verdicts.COMPATIBLE}
    return verdicts.REPRODUCED if inside else verdicts.CONTRADICTED, evidence


def _crop_finds(preset: str, shelf: Shelf) -> Found:
    if is_real(preset):
        return NOT_TESTED, "no photograph says which of its parts decide"
    delta = _share_change(preset, shelf, "kept_1.7", "kept_moved_1.7")
    return verdicts.of_difference(delta, 1), _points(
        "deciding parts in the box, minus the box moved at random", delta
    )


def _drop_widens(preset: str, shelf: Shelf) -> Found:
    with_drop, without = (
        {r.config["seed"]: _areas(r) for r in shelf.row(grid.config_for(preset, "cub", row))}
        for row in (grid.OURS, "Raw + Crop + Sup")
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
    rows = sorted(paper.COMPARED[number], key=lambda r: -r.accuracy)
    place = 1 + [r.row for r in rows].index(grid.OURS)
    return f"{paper.NAMES[grid.COMPARED[number]]}: place {place} of {len(rows)}"


def _steps(row: str) -> str:
    """ "(+0.8, +1.1)": what the paper gains with a row of Tables 2 and 3."""
    names = list(grid.ROWS)
    above = names[names.index(row) - 1]
    return _gains(numbers[row] - numbers[above] for numbers in paper.BRANCHES.values())


def _gains(points: Iterable[float]) -> str:
    return f"({', '.join(f'{p:+.1f}' for p in points)})"


def _over_baseline() -> str:
    numbers = [{r.row: r.accuracy for r in rows} for rows in paper.COMPARED.values()]
    return _gains(n[grid.OURS] - n[grid.RAW] for n in numbers)


_ACCURACIES = ", ".join(
    f"{next(r.accuracy for r in rows if r.row == grid.OURS):.1f}" for rows in paper.COMPARED.values()
)
_SINGLE = _gains(paper.LOGITS[a] - paper.BRANCHES["cub"][grid.RAW] for a in ("raw", "crop"))

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
        f"Attention erasure raises it {_steps(grid.OURS)}.",
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
        f"μ = {max(paper.MU, key=paper.MU.get):g} gives the highest accuracy.",
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
        + ", ".join(_leads(n) for n in grid.COMPARED)
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


def claims_table(preset: str, shelf: Shelf) -> Table:
    """Every claim and its verdict."""
    rows = []
    for claim in CLAIMS:
        verdict, evidence = claim.judge(preset, shelf)
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
