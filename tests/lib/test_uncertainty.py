"""Intervals, paired tests and sample sizes against closed forms, and against simulations of a known truth."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest
from scipy import stats

from gholm_lib.config import Config
from gholm_lib.records import Record
from gholm_lib.uncertainty import (
    accuracy_interval,
    clustered_variance,
    correct_answers,
    difference,
    images_needed,
    mcnemar,
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


def test_independent_answers_have_about_the_binomial_variance():
    """A little more: where the seeds spread less than chance would have them, that is not taken off."""
    found = [clustered_variance(answers(4, 500, 0.7, seed))[0] for seed in range(200)]
    assert 1 <= np.mean(found) / (0.7 * 0.3 / 2000) < 1.5


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
    assert found.p == mcnemar(correct[0], against[0])
    assert found.disagreement == pytest.approx(0.12)
    assert str(found) == f"+8.0 ({found.low:+.1f} to {found.high:+.1f})"


def test_the_other_way_round_has_the_other_sign():
    a, b = answers(seed=1), answers(seed=2)
    there, back = difference(a, b), difference(b, a)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert there.p == back.p


def test_p_pools_the_seeds():
    a, b = answers(seed=1), answers(seed=2)
    assert difference(a, b).p == mcnemar(a.ravel(), b.ravel())


def test_equal_rows_do_not_differ():
    found = difference(answers(), answers())
    assert (found.mean, found.low, found.high, found.p, found.p_clustered) == (0, 0, 0, 1, 1)


@pytest.mark.parametrize("seed", range(8))
def test_the_clustered_p_and_the_interval_say_the_same(seed):
    rng = np.random.default_rng(seed)
    change = rng.normal(0.1 * seed, 1, (3, 50)) + rng.normal(0, 0.2, (3, 1))
    found = value_difference(change, np.zeros((3, 50)))
    assert (found.p_clustered < 0.05) == (found.low > 0 or found.high < 0)


def test_with_one_seed_the_clustered_p_is_the_paired_z_test():
    change = np.random.default_rng(0).normal(0.3, 1, (1, 40))
    found = value_difference(change, np.zeros((1, 40)))
    z = change.mean() / (change.std() / sqrt(40))
    assert found.p_clustered == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_other_images_or_seeds_are_refused():
    with pytest.raises(ValueError, match="same images and seeds"):
        difference(answers(2), answers(3))


def test_values_need_not_be_answers():
    found = value_difference(np.array([[3.0, 5.0]]), np.array([[1.0, 1.0]]))
    assert (found.mean, found.p) == (3.0, None)


@pytest.mark.parametrize("between_seeds", [0.0, 0.05, 0.2])
def test_intervals_of_equal_rows_rarely_leave_out_zero(between_seeds):
    """Images of different difficulty, seeds of different luck: what the docstring of clustered_variance reports."""
    rng, missed, trials = np.random.default_rng(0), 0, 300
    for _ in range(trials):
        difficulty = rng.normal(1.5, 1, 300)
        rows = [
            difficulty
            + rng.normal(0, 0.3, 300)
            + rng.normal(0, between_seeds, (3, 1))
            + rng.normal(0, 0.5, (3, 300))
            > 0
            for _ in range(2)
        ]
        found = difference(*rows)
        missed += not found.low <= 0 <= found.high
    assert missed / trials < 0.12


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
