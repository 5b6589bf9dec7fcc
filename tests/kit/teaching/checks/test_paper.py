"""Chapter 06: right answers pass, each usual mistake is told what it is."""

import numpy as np
import pytest

from gholm_kit.teaching import checks

RIGHT = {"training": 3, "test": 2, "gradient": 0}


def pick(labels, count, seed):
    rng = np.random.default_rng(seed)
    classes = rng.choice(np.unique(labels), count, replace=False)
    return np.array([rng.choice(np.flatnonzero(labels == k)) for k in classes])


def test_right_answers_pass():
    assert checks.paper.passes(RIGHT) == "Right."
    assert checks.paper.random_pick(pick) == "Right."
    assert checks.paper.flattering(lambda kept, count: np.argsort(-kept)[:count]).startswith("Right.")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"training": ...}, "training: replace the dots"),
        ({"training": 2}, "Drop is trained as well"),
        ({"training": 4}, "four losses"),
        ({"test": 3}, "Drop is for training only"),
        ({"test": 1}, "the answer is Raw"),
        ({"gradient": 1}, "nothing goes through the backbone"),
        ({"test": 17}, "arrows that lead into a ConvNeXt box"),
    ],
)
def test_wrong_counts(change, reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.paper.passes(RIGHT | change)


def first_of_each(labels, count, seed):
    classes = np.random.default_rng(seed).choice(np.unique(labels), count, replace=False)
    return np.array([np.flatnonzero(labels == k)[0] for k in classes])


def always_the_first_classes(labels, count, seed):
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(np.flatnonzero(labels == k)) for k in range(count)])


WRONG_PICKS = {
    "returns nothing": lambda labels, count, seed: None,
    "four indices": lambda labels, count, seed: np.array([1, 2]),
    "positions in `labels`": lambda labels, count, seed: np.array([0.5, 1, 2, 3]),
    "same seed gives other": lambda labels, count, seed: np.random.permutation(200)[:count],
    "every seed gives the same": lambda labels, count, seed: np.array([0, 25, 50, 75]),
    "two images are of one class": lambda labels, count, seed: np.random.default_rng(seed).choice(
        len(labels), count, replace=False
    ),
    "some classes never appear": always_the_first_classes,
    "same images of a class": first_of_each,
}


@pytest.mark.parametrize("reason", WRONG_PICKS)
def test_wrong_picks(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.paper.random_pick(WRONG_PICKS[reason])


WRONG_FLATTERY = {
    "returns nothing": lambda kept, count: None,
    "three indices": lambda kept, count: np.argsort(-kept),
    "shares themselves": lambda kept, count: np.sort(kept)[::-1][:count],
    "three worst": lambda kept, count: np.argsort(kept)[:count],
    "reverse the order": lambda kept, count: np.argsort(kept)[-count:],
    "their own order": lambda kept, count: np.sort(np.argsort(-kept)[:count]),
    "a number written": lambda kept, count: np.array([3, 1, 5]),
    "first three": lambda kept, count: np.arange(count),
    "keep 100, 90 and 70": lambda kept, count: np.array([3, 5, 1]),
}


@pytest.mark.parametrize("reason", WRONG_FLATTERY)
def test_wrong_flattery(reason):
    with pytest.raises(checks.NotYet, match=reason):
        checks.paper.flattering(WRONG_FLATTERY[reason])
