"""The sentences of the paper that claim a result, and what the records say of each. Verdicts are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

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
from gholm_kit.reproduction.tuning import Tuned
from gholm_kit.table import Change, Table
from gholm_lib.uncertainty import Difference, value_difference

NOT_TESTED = "not tested here"
BY_CONSTRUCTION = "so by construction"


@dataclass(frozen=True)
class Comparison:
    """One measured difference that a claim is about.

    name      what is compared; two claims that make the same comparison give it the same name
    claimed   1: the paper says that it is above zero; -1: below
    unstable  why there is no difference to tell, in words
    """

    name: str
    change: Difference | None
    claimed: int = 1
    unstable: str | None = None

    @classmethod
    def of(cls, name: str, row: Row, claimed: int = 1) -> Comparison:
        return cls(name, row.change, claimed, row.unstable)

    @property
    def unjudged(self) -> str | None:
        """Why there is no verdict, in words."""
        return self.unstable or verdicts.too_few(self.change)


Found = tuple[str, str]  # verdict, evidence
Directions = dict[str, int | None]  # by the comparison's name


@dataclass(frozen=True)
class Claim:
    """One sentence.

    section       of the paper; seen  where the notebooks show it
    compare       the comparisons that test the claim: all of them must have the paper's direction
    about         what is compared, before the evidence
    construction  the definition makes it so, whatever the network: no test, and not part of the family
    judge         verdict and evidence of a claim that is not about differences
    instead       why there is none of these
    """

    section: str
    says: str
    seen: str
    compare: Callable[[str, Archive], list[Comparison]] | None = None
    about: str = ""
    construction: bool = False
    judge: Callable[[str, Archive], Found] | None = None
    instead: str = ""


def judged(preset: str, archive: Archive) -> tuple[list[Found], int]:
    """Verdict and evidence of each claim, and how many measured comparisons share Holm's correction.

    A comparison that two claims make counts once.
    """
    compared = [claim.compare(preset, archive) if claim.compare else [] for claim in CLAIMS]
    tested = [c for claim, own in zip(CLAIMS, compared, strict=True) if not claim.construction for c in own]
    family = _directions(tested)

    def judge(claim: Claim, own: list[Comparison]) -> Found:
        if claim.compare:
            verdict = _constructed if claim.construction else _verdict
            return verdict(claim, own, family, is_real(preset))
        return claim.judge(preset, archive) if claim.judge else (NOT_TESTED, claim.instead)

    return [judge(*each) for each in zip(CLAIMS, compared, strict=True)], len(family)


def _directions(comparisons: Iterable[Comparison]) -> Directions:
    measured = {c.name: c.change for c in comparisons if c.change is not None and not c.unjudged}
    return dict(zip(measured, verdicts.directions(list(measured.values())), strict=True))


def _agreement(comparison: Comparison, family: Directions) -> verdicts.Agreement:
    if comparison.unjudged:
        return 0  # neither direction can be told
    return verdicts.agreement(family.get(comparison.name), comparison.claimed)


def _verdict(claim: Claim, compared: list[Comparison], family: Directions, real: bool) -> Found:
    """All comparisons must agree; of several, the worst counts."""
    agreements = [_agreement(c, family) for c in compared]
    shown = [c.unjudged or verdicts.word(a, real) for c, a in zip(compared, agreements, strict=True)]
    lines = [
        f"{_points(c)}, {w}" if c.change else f"{c.name}: {w}" for c, w in zip(compared, shown, strict=True)
    ]
    return verdicts.word(verdicts.of_all(agreements), real), claim.about + "; ".join(lines)


def _constructed(claim: Claim, compared: list[Comparison], _: Directions, real: bool) -> Found:
    """A higher threshold keeps a part of what a lower one keeps, so the box and what is in it can hardly grow."""
    signs = verdicts.directions([c.change for c in compared])  # not of the family; one seed is enough
    agreement = verdicts.of_all(map(verdicts.agreement, signs, (c.claimed for c in compared)))
    verdict = BY_CONSTRUCTION if agreement == 1 else verdicts.word(agreement, real)
    return verdict, claim.about + "; ".join(_points(c) for c in compared)


def _points(comparison: Comparison) -> str:
    change = comparison.change
    return f"{comparison.name}: {Change(change) if change else verdicts.NOT_RUN}"


# ---------------------------------------------------------------------- what is compared


def _settings(preset: str, archive: Archive) -> jobs.Settings:
    """Accuracies are compared with each row at its own best."""
    return Tuned(preset, archive).own_best


def _step(row: str) -> Callable[[str, Archive], list[Comparison]]:
    def compare(preset: str, archive: Archive) -> list[Comparison]:
        return [_one_step(preset, archive, dataset, row) for dataset in published.BRANCHES]

    return compare


def _one_step(preset: str, archive: Archive, dataset: str, row: str) -> Comparison:
    name = f"{jobs.DATASETS[preset][dataset]} {row.split(' + ')[-1]}"
    return Comparison.of(name, branch_rows(_settings(preset, archive), archive, dataset)[row])


def _all_modules(preset: str, archive: Archive) -> list[Comparison]:
    added = [row for row in jobs.ROWS if row != jobs.RAW]
    return [_one_step(preset, archive, dataset, row) for dataset in published.BRANCHES for row in added]


def _best_mu(preset: str, archive: Archive) -> list[Comparison]:
    rows = {
        mu: r for mu, r in mu_rows(_settings(preset, archive), archive, trained=True).items() if r.against
    }
    return [Comparison.of(f"μ = {mu:g}", row, -1) for mu, row in rows.items()]


def _shares(preset: str, archive: Archive, name: str) -> np.ndarray | None:
    """One share of ``parts.npz`` of the full method on the first data set, in percent, (S, N)."""
    found = archive.part_row(jobs.config_for(preset, "cub"))
    return np.stack([100 * f[name] for f in found]) if found else None


def _share_change(preset: str, archive: Archive, first: str, second: str) -> Difference | None:
    """Mean of one share minus another, in points."""
    values = [_shares(preset, archive, name) for name in (first, second)]
    return None if values[0] is None else value_difference(*values)


def _along_mu(share: str) -> Callable[[str, Archive], list[Comparison]]:
    """A share of ``parts.npz`` at the smaller minus at the larger mu."""

    def compare(preset: str, archive: Archive) -> list[Comparison]:
        changes = {e: _share_change(preset, archive, *(f"{share}_{mu:g}" for mu in e)) for e in _ends()}
        return [Comparison(f"{low:g} against {high:g}", change) for (low, high), change in changes.items()]

    return compare


def _small_mu_misses(preset: str, archive: Archive) -> list[Comparison]:
    """Located: what the box holds of the deciding parts beyond what it holds when moved at random."""
    low, middle = _ends()[0]
    names = [f"{k}_{mu:g}" for mu in (low, middle) for k in ("kept", "kept_moved")]
    values = [_shares(preset, archive, name) for name in names]
    delta = None
    if values[0] is not None:
        at_low, moved_low, at_middle, moved_middle = values
        delta = value_difference(at_low - moved_low, at_middle - moved_middle)
    name = f"share of the deciding parts beyond the box moved at random, {low:g} against {middle:g}"
    return [Comparison(name, delta, -1)]


def _ends() -> list[tuple[float, float]]:
    return [(jobs.MUS[0], jobs.MUS[1]), (jobs.MUS[1], jobs.MUS[-1])]


def _single_logits(preset: str, archive: Archive) -> list[Comparison]:
    answers = logits_rows(_settings(preset, archive), archive)
    alone = branch_rows(_settings(preset, archive), archive, "cub")[jobs.RAW]
    names = {"raw": "Raw logits", "crop": "Crop logits"}
    return [Comparison.of(name, replace(answers[a], against=alone)) for a, name in names.items()]


def _sum_best(preset: str, archive: Archive) -> list[Comparison]:
    answers = logits_rows(_settings(preset, archive), archive)
    names = {"raw": "Raw against the sum", "crop": "Crop against the sum"}
    return [Comparison.of(name, answers[a], -1) for a, name in names.items()]


def _beats_baseline(preset: str, archive: Archive) -> list[Comparison]:
    rows = {
        d: compared_rows(n, _settings(preset, archive), archive)[jobs.OURS] for n, d in jobs.COMPARED.items()
    }
    return [Comparison.of(jobs.DATASETS[preset][d], row) for d, row in rows.items()]


def _numbers(preset: str, archive: Archive) -> Found:
    if not is_real(preset):
        return verdicts.NOT_RUN, "needs the real data sets: `gholm reproduce --all --preset paper`"
    rows = {
        jobs.COMPARED[n]: compared_rows(n, _settings(preset, archive), archive)[jobs.OURS]
        for n in jobs.COMPARED
    }
    found = {d: verdicts.of_number(r.interval, r.paper) for d, r in rows.items()}
    evidence = "; ".join(f"{published.NAMES[d]}: {v}" for d, v in found.items())
    if verdicts.NOT_RUN in found.values():
        return verdicts.NOT_RUN, evidence
    inside = set(found.values()) == {verdicts.COMPATIBLE}
    return verdicts.word(1 if inside else -1, real=True), evidence


def _crop_finds(preset: str, archive: Archive) -> list[Comparison]:
    delta = _share_change(preset, archive, "kept_1.7", "kept_moved_1.7")
    return [Comparison("deciding parts in the box, minus the box moved at random", delta)]


def _drop_widens(preset: str, archive: Archive) -> list[Comparison]:
    with_drop, without = (
        {r.config["seed"]: _areas(r) for r in archive.row(jobs.config_for(preset, "cub", row))}
        for row in (jobs.OURS, "Raw + Crop + Sup")
    )
    seeds = sorted(with_drop.keys() & without.keys())
    delta = (
        value_difference(*(np.stack([x[s] for s in seeds]) for x in (with_drop, without))) if seeds else None
    )
    return [Comparison("attended box, in points of the image, with Drop minus without", delta)]


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

_PLACES = "in the paper's own tables " + ", ".join(_leads(n) for n in jobs.COMPARED)

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "abstract",
        f"The accuracies on Cars, CUB, Aircraft and Dogs are {_ACCURACIES} %.",
        "07, Tables 6-9",
        judge=_numbers,
    ),
    Claim(
        "2.3",
        "The paper verifies that ConvNeXt is effective for fine-grained images.",
        "07, Tables 6-9",
        instead="neither the paper nor this kit ran another backbone with the same recipe; the paper cites ViT-B_16 "
        "(below ConvNeXt-S on CUB and Dogs, above it on Cars and Aircraft)",
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
    Claim(
        "4.3.2",
        "With small μ the cropped region is large.",
        "07, Table 4; 02",
        _along_mu("area"),
        about="box area in points of the image, ",
        construction=True,
    ),
    Claim(
        "4.3.2", "With small μ the crop locates the key regions badly.", "08, claims; 02", _small_mu_misses
    ),
    Claim(
        "4.3.2",
        "With large μ the crop loses key regions.",
        "08, claims; 02",
        _along_mu("kept"),
        about="share of the deciding parts in the box, in points, ",
        construction=True,
    ),
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
        "On CUB it is better than all methods with a CNN or ViT backbone, and top-3.",
        "07, Table 7",
        instead=f"in the paper's own table, {_leads(7)}: better than every CNN and ViT method listed, and none is "
        "listed that would make it second or third; backbones and image sizes differ",
    ),
    Claim(
        "4.4",
        "It is top-1 on Dogs, and better than most on Cars and Aircraft.",
        "07, Tables 6-9",
        instead=f"{_PLACES}; backbones and image sizes differ, and no number of runs is given",
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
    real, rows = is_real(preset), []
    found, family = judged(preset, archive)
    for claim, (verdict, evidence) in zip(CLAIMS, found, strict=True):
        cells = {"section": claim.section, "the paper says": claim.says, "seen in": claim.seen}
        rows.append(cells | {"verdict": verdict, "evidence": evidence})
    note = (
        "Differences in points, with 95 % intervals over test images and seeds, and the verdict on each. The claims "
        f"are one family of {family} measured comparisons, larger than that of any other table, "
        "so a step can be significant in its own table and not here. Where a claim makes several comparisons, the "
        "worst counts: *μ = 1.7 is highest* is contrary to the records only if another μ is significantly better."
    )
    seen = "Seen in: chapter, and what in it."
    where = "on photographs" if real else "on drawn data"
    return Table(
        "claims",
        f"What the paper claims, and what the records say {where}",
        rows,
        [note, seen, verdicts.rule(real), *([] if real else [DRAWN_NOTE])],
    )
