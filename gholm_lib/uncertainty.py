"""How sure is a difference? Intervals over test images and seeds, paired tests, and how many images would be enough.

Everything starts from ``correct`` (S, N) bool: S seeds of one row on the same N test images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats

from gholm_lib.records import Record


def accuracy_interval(correct: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of an accuracy over (N,) bool, in 0..1."""
    result = stats.binomtest(int(np.sum(correct)), len(correct))
    interval = result.proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Exact McNemar test of two classifiers on the same images, (N,) bool each: the two-sided p value.

    Only the images on which they disagree count; with none the classifiers cannot be told apart (p = 1).
    """
    if first.shape != second.shape:
        raise ValueError(f"the two need the same images, got {first.shape} and {second.shape}")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def correct_matrix(records: Sequence[Record], answer: str | None = None) -> np.ndarray:
    """(S, N) bool of the runs of one row; ``answer`` "raw", "crop", "both", or None for each run's own.

    raises ValueError when the runs were not tested on the same images
    """
    _require_same_images(records)
    return np.stack([correct_answers(record, answer) for record in records])


def correct_answers(record: Record, answer: str | None = None) -> np.ndarray:
    """(N,) bool of one run; ``answer`` as for :func:`correct_matrix`."""
    if record.predictions is None:
        raise ValueError(
            f"the record of {record.settings.run_id} has no predictions; read it from its folder with load_record"
        )
    return record.predictions.correct(answer or record.answer)


def _require_same_images(records: Sequence[Record]) -> None:
    if len({r.data["test_ids_sha256"] for r in records}) > 1:
        raise ValueError(
            "a paired comparison needs the same test images; these runs were tested on different ones"
        )


def clustered_variance(values: np.ndarray) -> tuple[float, float]:
    """Variance of the mean of (S, N) values, and its degrees of freedom (inf with one seed).

    Values of one image belong together, and so do values of one seed: the two-way clustered variance (Cameron,
    Gelbach & Miller 2011), with Satterthwaite's degrees of freedom, because few seeds tell little of their spread.
    With one seed, or seeds that spread no more than chance, it is the variance over images alone. In simulations of
    equal rows with three seeds, its 95 % intervals left out zero in 2 to 9 of 100 cases; resampling images alone
    left it out in up to 58 where seeds matter, McNemar's test on the pooled pairs in up to 62.
    """
    seeds, images = values.shape
    by_image = float(values.mean(0).var()) / images
    if seeds == 1:
        return by_image, math.inf
    by_seed = float(values.mean(1).var(ddof=1)) / seeds
    single = float(values.var()) / values.size
    if by_seed <= single:
        return by_image, math.inf
    variance = by_image + by_seed - single
    return variance, max(seeds - 1.0, (seeds - 1) * (variance / by_seed) ** 2)


def mean_interval(correct: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean accuracy over seeds, in 0..1; ``correct`` (S, N) bool.

    Wilson's, with the number of independent images that has the same variance as :func:`clustered_variance`; with
    one seed it is the plain Wilson interval.
    """
    p = float(correct.mean())
    variance, freedom = clustered_variance(correct)
    n = p * (1 - p) / variance if variance > 0 else float(correct.shape[1])
    t = float(stats.t.ppf(0.5 + confidence / 2, freedom))
    middle = (p + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t / (1 + t**2 / n) * math.sqrt(p * (1 - p) / n + t**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Difference:
    """One row against another on the same images: mean, 95 % interval, and the p that belongs to the interval.

    McNemar's p and the disagreement are of answers only.
    """

    mean: float
    low: float
    high: float
    seeds: int
    p_clustered: float | None = (
        None  # of "no difference", over test images and seeds, by the interval's variance
    )
    p: float | None = None  # McNemar's, over all (image, seed) pairs
    disagreement: float | None = None  # share of (image, seed) pairs on which exactly one of the two is right

    def __str__(self) -> str:
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f})"


def difference(correct: np.ndarray, against: np.ndarray) -> Difference:
    """Accuracy of ``correct`` minus ``against``, (S, N) bool each, row s of both from the same seed; in points.

    p: exact McNemar over all (image, seed) pairs, which takes these as independent although the seeds share their
    images: read it beside the interval, not instead of it.
    """
    plain = value_difference(100.0 * correct, 100.0 * against)
    p = mcnemar(correct.ravel(), against.ravel())
    return replace(plain, p=p, disagreement=float((correct != against).mean()))


def value_difference(values: np.ndarray, against: np.ndarray, confidence: float = 0.95) -> Difference:
    """Mean of ``values`` minus that of ``against``, (S, N) numbers each, row s of both from the same seed.

    The interval takes :func:`clustered_variance` and a t quantile.
    """
    if values.shape != against.shape:
        raise ValueError(f"the two need the same images and seeds, got {values.shape} and {against.shape}")
    change = np.asarray(values, float) - np.asarray(against, float)
    variance, freedom = clustered_variance(change)
    mean, half = float(change.mean()), float(stats.t.ppf(0.5 + confidence / 2, freedom)) * math.sqrt(variance)
    # Without any variance every image and seed changed by the same: by nothing, or by something.
    p = 2 * float(stats.t.sf(abs(mean) / math.sqrt(variance), freedom)) if variance else float(mean == 0)
    return Difference(mean, mean - half, mean + half, len(change), p)


# ---------------------------------------------------------------------- how many would be enough?


def images_needed(
    points: float, accuracy: float, disagreement: float | None = None, power: float = 0.8, alpha: float = 0.05
) -> int:
    """Test images needed to detect a true difference of ``points`` percentage points with probability ``power``.

    disagreement  share of images on which exactly one of the two networks is right, for McNemar's paired test
                  (Connor 1987). None: two unpaired sets of images, each of the returned size.
    """
    d = points / 100
    z_alpha, z_beta = stats.norm.ppf(1 - alpha / 2), stats.norm.ppf(power)
    if disagreement is None:
        other = min(1.0, accuracy + d)
        spread = accuracy * (1 - accuracy) + other * (1 - other)
        return math.ceil((z_alpha + z_beta) ** 2 * spread / d**2)
    if disagreement < d:
        raise ValueError(
            f"networks that differ by {d:g} disagree on at least that share, got {disagreement:g}"
        )
    return math.ceil(
        (z_alpha * math.sqrt(disagreement) + z_beta * math.sqrt(disagreement - d**2)) ** 2 / d**2
    )


def seeds_needed(points: float, spread: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Seeds per row needed to detect a true difference of ``points`` on one fixed test set, by a paired t test.

    spread  standard deviation, in points, of the difference between two runs with the same seed
    """
    if spread <= 0:
        return 2
    effect = points / spread

    def lacking(n: float) -> float:
        critical = stats.t.ppf(1 - alpha / 2, n - 1)
        return power - float(stats.nct.sf(critical, n - 1, effect * math.sqrt(n)))

    if lacking(2) <= 0:
        return 2
    # The noncentral t is slow and inaccurate for large n; there the normal distribution is just as good.
    normal = (stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) ** 2 / effect**2
    if normal > 500:
        return math.ceil(normal)
    return math.ceil(optimize.brentq(lacking, 2, normal + 10))
