"""Intervals, paired tests and sample sizes against closed forms, and against simulations of a known truth."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest
from scipy import stats

from gholm_lib.config import Config
from gholm_lib.records import Record
from gholm_lib.uncertainty import (
    Difference,
    accuracy_interval,
    clustered_variance,
    correct_answers,
    difference,
    holm,
    images_needed,
    mean_interval,
    seeds_needed,
    value_difference,
)


def answers(seeds: int = 3, images: int = 200, share: float = 0.8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((seeds, images)) < share


def test_a_record_without_predictions_says_so():
    record = Record(Config(seed=4).to_dict(), {}, {}, [], {}, {})
    with pytest.raises(ValueError, match=r"the record of mini_birds-.*-s4 has no predictions; read it"):
        correct_answers(record)


# ---------------------------------------------------------------------- variance


def test_one_seed_has_the_variance_over_images():
    values = answers(seeds=1)
    p = values.mean()
    assert clustered_variance(values) == (pytest.approx(p * (1 - p) / 200), inf)


def test_seeds_that_answer_alike_are_no_more_images():
    one = answers(seeds=1)
    assert clustered_variance(np.repeat(one, 5, 0))[0] == pytest.approx(clustered_variance(one)[0])


def test_seeds_that_differ_as_a_whole_add_their_spread():
    """Images all alike, seeds 0, 0, 3: the variance of the mean of three numbers, with two degrees of freedom."""
    values = np.array([[0.0], [0.0], [3.0]]).repeat(10_000, 1)
    variance, freedom = clustered_variance(values)
    assert variance == pytest.approx(3 / 3, rel=1e-3)
    assert freedom == pytest.approx(2, rel=1e-3)


def test_what_is_in_neither_image_nor_seed_is_counted_once():
    """Independent answers: images, seeds and what is left all have the binomial variance, on average."""
    found = [clustered_variance(answers(4, 500, 0.7, seed))[0] for seed in range(200)]
    assert 1 <= np.mean(found) / (0.7 * 0.3 / 2000) < 1.5


@pytest.mark.parametrize("seed", range(6))
def test_the_variance_is_the_larger_of_the_shares_and_their_sum_without_the_overlap(seed):
    """Against the mean squares of a two-way analysis of variance, worked out cell by cell."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (4, 30)) + rng.normal(0, seed / 5, (4, 1)) + rng.normal(0, 0.5, 30)
    mean, (s, n) = values.mean(), values.shape
    cells = [values[i, j] - values[i].mean() - values[:, j].mean() + mean for i in range(s) for j in range(n)]
    both = sum(c**2 for c in cells) / ((s - 1) * (n - 1)) / (s * n)
    images = np.var([values[:, j].mean() for j in range(n)]) / n
    seeds = np.var([values[i].mean() for i in range(s)], ddof=1) / s
    variance, freedom = clustered_variance(values)
    assert variance == pytest.approx(max(images, seeds, images + seeds - both))
    assert freedom == pytest.approx((s - 1) * (variance / seeds) ** 2)
    assert freedom >= s - 1


def test_seeds_a_little_more_alike_change_the_interval_a_little():
    """No jump where the seeds' spread falls below what chance gives."""
    rng = np.random.default_rng(0)
    base, shifts = rng.normal(0, 1, (3, 200)), np.array([[-1.0], [0.0], [1.0]])
    base -= base.mean(1, keepdims=True)  # the seeds' means are the shifts
    found = [value_difference(base + k * shifts, np.zeros((3, 200))) for k in np.linspace(0.02, 0.3, 200)]
    widths = np.array([f.high - f.low for f in found])
    assert (
        np.abs(np.diff(widths) / widths[1:]).max() < 0.1
    )  # a step of the degrees of freedom would be 0.5 or more
    assert widths.max() / widths.min() > 3  # and over all it does change


# ---------------------------------------------------------------------- an accuracy


def test_the_interval_of_one_seed_is_wilsons():
    values = answers(seeds=1)
    assert mean_interval(values) == pytest.approx(accuracy_interval(values[0]))
    assert mean_interval(values, 0.99) == pytest.approx(accuracy_interval(values[0], 0.99))


def test_the_interval_of_equal_seeds_is_that_of_one():
    one = answers(seeds=1)
    assert mean_interval(np.repeat(one, 3, 0)) == pytest.approx(mean_interval(one))


def test_a_perfect_score_has_an_interval():
    low, high = mean_interval(np.ones((3, 50), bool))
    assert 0.9 < low < high == 1.0


# ---------------------------------------------------------------------- a difference


def test_a_difference_by_hand():
    """100 images, one seed: 10 gained, 2 lost. Mean .08, variance (.12 - .08^2) / 100."""
    against = np.array([[True] * 50 + [False] * 50])
    correct = against.copy()
    correct[0, 50:60], correct[0, :2] = True, False
    found = difference(correct, against)
    half = stats.norm.ppf(0.975) * sqrt((0.12 - 0.08**2) / 100)
    assert (found.mean, found.low, found.high) == pytest.approx((8, 100 * (0.08 - half), 100 * (0.08 + half)))
    assert found.p == pytest.approx(2 * stats.norm.sf(0.08 / sqrt((0.12 - 0.08**2) / 100)))
    assert found.disagreement == pytest.approx(0.12)
    assert str(found) == f"+8.0 ({found.low:+.1f} to {found.high:+.1f})"


def test_the_other_way_round_has_the_other_sign():
    a, b = answers(seed=1), answers(seed=2)
    there, back = difference(a, b), difference(b, a)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert there.p == back.p


def test_equal_rows_do_not_differ():
    found = difference(answers(), answers())
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


@pytest.mark.parametrize("seed", range(8))
def test_p_and_the_interval_say_the_same(seed):
    rng = np.random.default_rng(seed)
    change = rng.normal(0.1 * seed, 1, (3, 50)) + rng.normal(0, 0.2, (3, 1))
    found = value_difference(change, np.zeros((3, 50)))
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_with_one_seed_p_is_the_paired_z_test():
    change = np.random.default_rng(0).normal(0.3, 1, (1, 40))
    found = value_difference(change, np.zeros((1, 40)))
    z = change.mean() / (change.std() / sqrt(40))
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_other_images_or_seeds_are_refused():
    with pytest.raises(ValueError, match="same images and seeds"):
        difference(answers(2), answers(3))


def test_values_need_not_be_answers():
    found = value_difference(np.array([[3.0, 5.0]]), np.array([[1.0, 1.0]]))
    assert (found.mean, found.disagreement) == (3.0, None)


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.03, 2.42, "+1.2 (+0.03 to +2.4)"),
        (-0.004, 2.4, "+1.2 (-0.004 to +2.4)"),
        (-1.0, -0.0004, "+1.2 (-1.0 to -0.0004)"),
        (-0.06, 0.0, "+1.2 (-0.1 to +0.0)"),
    ],
)
def test_a_bound_near_zero_shows_on_which_side_it_lies(low, high, shown):
    assert str(Difference(1.2, low, high, 3)) == shown


def test_no_interval_reaches_beyond_what_is_possible():
    """One seed gains all images, one loses all: the t interval would be hundreds of points wide."""
    right = np.array([[True] * 50, [False] * 50])
    found = difference(right, ~right)
    assert (found.low, found.high) == (-100, 100)


# ---------------------------------------------------------------------- how often do equal rows differ?

TRIALS = 500


def equal_rows(
    rng: np.random.Generator, seeds: int, of_seed: float, of_image: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two rows whose true difference is zero: images of different difficulty, of which some favour one row, and
    seeds of different luck."""
    difficulty = rng.normal(1.5, 1, 300)

    def row() -> np.ndarray:
        favoured, luck = rng.normal(0, of_image, 300), rng.normal(0, of_seed, (seeds, 1))
        return difficulty + favoured + luck + rng.normal(0, 0.5, (seeds, 300)) > 0

    return row(), row()


def misses(seeds: int, of_seed: float, of_image: float) -> dict[str, float]:
    """Share of cases in which the interval excludes zero: of all, of those whose seeds look alike; and of all for a
    paired t test over the seeds."""
    rng, missed, alike, paired = np.random.default_rng(seeds), [], [], []
    critical = stats.t.ppf(0.975, seeds - 1)
    for _ in range(TRIALS):
        x, y = equal_rows(rng, seeds, of_seed, of_image)
        found, change = difference(x, y), 1.0 * x - 1.0 * y
        missed.append(not found.low <= 0 <= found.high)
        rest = change - change.mean(0) - change.mean(1, keepdims=True) + change.mean()
        both = (rest**2).sum() / ((seeds - 1) * 299) / change.size
        of_seeds = change.mean(1).var(ddof=1) / seeds
        alike.append(of_seeds <= both)
        paired.append(abs(change.mean()) > critical * sqrt(of_seeds))
    missed, alike = np.array(missed), np.array(alike)
    return {"all": missed.mean(), "alike": missed[alike].mean(), "paired t": np.mean(paired)}


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("of_seed", "of_image"), [(0.0, 0.0), (0.05, 0.3), (0.0, 0.7), (0.05, 0.7)])
def test_intervals_of_equal_rows_exclude_zero_in_2_to_7_percent(seeds, of_seed, of_image):
    """Also when the seeds look alike, as long as they add no more than half of ``both``, see clustered_variance. The
    bounds leave three standard errors of the simulation."""
    found = misses(seeds, of_seed, of_image)
    assert 0.002 < found["all"] < 0.07 + 0.03
    assert found["alike"] < 0.07 + 0.05


@pytest.mark.parametrize("seeds", [3, 5])
def test_where_seeds_differ_much_intervals_still_exclude_zero_in_2_to_7_percent(seeds):
    assert 0.02 < misses(seeds, of_seed=0.2, of_image=0.3)["all"] < 0.07 + 0.03


def test_a_paired_t_test_over_seeds_takes_the_images_for_granted():
    """Why it is not used: where some images favour one row, it calls equal rows different."""
    found = misses(5, of_seed=0.0, of_image=0.7)
    assert found["paired t"] > 0.2 > 0.1 > found["all"]


# ---------------------------------------------------------------------- families


def test_holm_by_hand():
    """0.01 * 4, 0.02 * 3, then never less than before: 0.03 * 2, and 0.06 rather than 0.04 * 1."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == pytest.approx([0.03])
    assert len(holm([])) == 0


def test_holm_keeps_the_family_at_five_percent():
    p = np.random.default_rng(0).random((4000, 20))
    assert np.mean([holm(row).min() < 0.05 for row in p]) == pytest.approx(0.05, abs=0.01)


# ---------------------------------------------------------------------- how many would be enough?


def test_enough_images_unpaired_find_the_difference_as_often_as_promised():
    rng = np.random.default_rng(0)
    n = images_needed(5, 0.8)
    wins = rng.binomial(n, [[0.8], [0.85]], (2, 4000)) / n
    z = (wins[1] - wins[0]) / np.sqrt((wins * (1 - wins)).sum(0) / n)
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.03)


def test_enough_images_paired_find_the_difference_as_often_as_promised():
    rng = np.random.default_rng(0)
    n = images_needed(3, 0.9, disagreement=0.1)
    gained, lost, _ = rng.multinomial(n, [0.065, 0.035, 0.9], 4000).T
    z = (gained - lost) / np.sqrt(gained + lost)
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.03)


def test_pairing_helps_as_networks_agree():
    assert images_needed(1, 0.9, 0.02) < images_needed(1, 0.9, 0.1) < images_needed(1, 0.9)
    with pytest.raises(ValueError, match="disagree on at least that share"):
        images_needed(5, 0.9, 0.01)


@pytest.mark.parametrize(("points", "spread"), [(1.0, 0.5), (0.5, 0.5), (0.2, 0.5)])
def test_enough_seeds_find_the_difference_as_often_as_promised(points, spread):
    n = seeds_needed(points, spread)
    runs = np.random.default_rng(0).normal(points, spread, (4000, n))
    found = np.mean(stats.ttest_1samp(runs, 0, axis=1).pvalue < 0.05)
    assert found > 0.77
    if n > 10:
        assert found < 0.83


def test_seeds_without_spread_need_no_more_than_two():
    assert seeds_needed(0.2, 0.0) == 2
    assert seeds_needed(5.0, 0.01) == 2
    assert seeds_needed(0.1, 5.0) > 10_000
