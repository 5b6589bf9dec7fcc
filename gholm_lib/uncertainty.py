"""How certain is a difference? Intervals over test images and seeds, tests, and how many images would be enough.

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

    Only the images on which they disagree count; with none, p = 1. For one pair of runs: pairs (image, seed) of
    several runs are not independent, see :func:`clustered_variance`.
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

    Images and seeds are both samples, so the mean varies with either: ``images`` and ``seeds`` are the variances of
    the mean over each. Each contains ``both``, what neither the image nor the seed explains, so their sum counts it
    twice (two-way analysis of variance; for readers and cases, Obuchowski & Rockette 1995). The variance is
    ``max(images, seeds, images + seeds - both)``: few seeds may look alike by luck, so it is never below either
    share. Satterthwaite's degrees of freedom are ``(S - 1) (variance / seeds)**2`` (the images being many; Hillis
    2007), never below S - 1. With one seed it is the variance over images alone.

    Simulated with two equal rows of 3, 5 or 10 seeds on 300 images, 95 % intervals exclude zero in 2 to 7 of 100
    cases. Among the cases whose seeds look alike (``seeds <= both``), it is 2 to 7 of 100 if the seeds add little
    (up to half of ``both``). If they add one and a half times ``both`` and look alike by luck, it is 9 to 17; no
    interval from so few seeds avoids that. A paired t test over the seeds' means excludes zero in up to 43 of 100
    cases if some images favour one row, McNemar's test on the pooled pairs in up to 70, so neither is used.
    """
    seeds, images = values.shape
    by_image = float(values.mean(0).var()) / images
    if seeds == 1:
        return by_image, math.inf
    by_seed = float(values.mean(1).var(ddof=1)) / seeds
    variance = max(by_image, by_seed, by_image + by_seed - _both(values))
    return variance, (seeds - 1) * (variance / by_seed) ** 2 if by_seed else math.inf


def _both(values: np.ndarray) -> float:
    """Variance of the mean that comes from what neither image nor seed explains; (S, N) with S > 1."""
    seeds, images = values.shape
    rest = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    return float((rest**2).sum()) / ((seeds - 1) * max(images - 1, 1)) / values.size


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
    """One row against another on the same images: mean, 95 % interval, and the p value of the same variance.

    p             of "no difference", over test images and seeds; below .05 exactly where the interval excludes zero
    disagreement  share of (image, seed) pairs on which exactly one of the two is right; None for other values
    """

    mean: float
    low: float
    high: float
    seeds: int
    p: float | None = None
    disagreement: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:+.1f} ({_bound(self.low)} to {_bound(self.high)})"


def _bound(value: float) -> str:
    """One decimal; more where it would read 0.0, because on which side of zero a bound lies matters."""
    decimals = next((d for d in (1, 2, 3, 4) if round(value, d)), 1)
    return f"{value:+.{decimals}f}"


def difference(correct: np.ndarray, against: np.ndarray) -> Difference:
    """Accuracy of ``correct`` minus ``against``, (S, N) bool each, row s of both from the same seed; in points."""
    plain = value_difference(100.0 * correct, 100.0 * against)
    low, high = max(plain.low, -100.0), min(plain.high, 100.0)
    return replace(plain, low=low, high=high, disagreement=float((correct != against).mean()))


def value_difference(values: np.ndarray, against: np.ndarray, confidence: float = 0.95) -> Difference:
    """Mean of ``values`` minus that of ``against``, (S, N) numbers each, row s of both from the same seed.

    Interval and p take :func:`clustered_variance` and a t distribution.
    """
    if values.shape != against.shape:
        raise ValueError(f"the two need the same images and seeds, got {values.shape} and {against.shape}")
    change = np.asarray(values, float) - np.asarray(against, float)
    variance, freedom = clustered_variance(change)
    mean, half = float(change.mean()), float(stats.t.ppf(0.5 + confidence / 2, freedom)) * math.sqrt(variance)
    # Without any variance every image and seed changed by the same: by nothing, or by something.
    p = 2 * float(stats.t.sf(abs(mean) / math.sqrt(variance), freedom)) if variance else float(mean == 0)
    return Difference(mean, mean - half, mean + half, len(change), p)


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's (1979) adjusted p values of a family of comparisons, (M,) → (M,), in the same order.

    The chance that any comparison without a true difference falls below .05 is at most 5 %.
    """
    values = np.asarray(p, float)
    order = np.argsort(values)
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


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
