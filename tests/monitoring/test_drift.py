"""Histograms are compared with an interval, and qualities are proposed."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fct.monitoring.drift import APART, BINS, Histogram, class_histogram, propose, quality_histogram

CONFIDENCE = 0.95
COUNTS = st.dictionaries(st.integers(0, 100), st.integers(1, 500), max_size=12)
TRAINED = st.lists(st.integers(1, 100), min_size=1, max_size=5, unique=True).map(sorted)


def of(served, reference, images=1000):
    shares = np.array(reference, float)
    return Histogram([str(value) for value in range(len(served))], np.array(served), shares / shares.sum(), images)


def test_equal_shares_have_no_distance():
    """And its interval begins at 0."""
    distance = of([100, 300], [1, 3]).distance(CONFIDENCE)
    assert (distance.value, distance.low) == (pytest.approx(0, abs=1e-6), 0)


def test_histograms_without_a_common_value_have_the_largest_distance():
    """It is 1, without doubt."""
    distance = of([500, 0], [0, 1]).distance(CONFIDENCE)
    assert (distance.low, distance.value, distance.high) == pytest.approx((1, 1, 1))


@given(st.lists(st.integers(0, 300), min_size=2, max_size=8).filter(any), st.data())
def test_the_value_lies_in_its_interval(served, data):
    """Which lies in 0..1, and is the same for the same counts."""
    size = len(served)
    reference = data.draw(st.lists(st.integers(0, 9), min_size=size, max_size=size).filter(any))
    histogram = of(served, reference, 200)
    distance = histogram.distance(CONFIDENCE)
    assert 0 <= distance.low <= distance.value <= distance.high <= 1
    assert histogram.distance(CONFIDENCE) == distance


def test_samples_of_the_same_shares_seldom_look_like_a_drift():
    """Of 100 samples of 200 images, the lower bound is above 0.05 in few; the value itself is so in most."""
    rng = np.random.default_rng(1)
    shares = np.full(10, 0.1)
    distances = [of(rng.multinomial(200, shares), shares).distance(CONFIDENCE) for _ in range(100)]
    assert sum(distance.value > 0.05 for distance in distances) > 75
    assert sum(distance.low > 0.05 for distance in distances) <= 5


def test_more_images_narrow_the_interval():
    """The same shares of ten times as many images."""
    few, many = of([60, 40], [1, 3], 10**6).distance(CONFIDENCE), of([600, 400], [1, 3], 10**6).distance(CONFIDENCE)
    assert many.value == pytest.approx(few.value)
    assert many.high - many.low < (few.high - few.low) / 2


def test_the_training_is_half_raw_and_half_compressed():
    """Each trained quality has an equal part of the one half, files as they are have the other."""
    histogram = quality_histogram({15: 4, 100: 1}, np.array([0, 0, 95, 95]), [20, 60])
    reference = dict(zip(histogram.values, histogram.reference.tolist(), strict=True))
    expected = {"none": 0.25, "90 to 100": 0.25, "20 to 29": 0.25, "60 to 69": 0.25}
    assert {value: share for value, share in reference.items() if share} == expected
    served = dict(zip(histogram.values, histogram.served.tolist(), strict=True))
    assert {value: count for value, count in served.items() if count} == {"10 to 19": 4, "90 to 100": 1}


@given(COUNTS)
def test_every_quality_has_a_place(served):
    """No image is lost, and each bin is the one that its name says."""
    histogram = quality_histogram(served, np.array([0]), [50])
    assert histogram.served.sum() == sum(served.values())
    for quality, count in served.items():
        [only] = np.flatnonzero(quality_histogram({quality: count}, np.array([0]), [50]).served)
        name = BINS[only]
        assert (name == "none") == (quality == 0)
        if quality:
            low, high = map(int, name.split(" to "))
            assert low <= quality <= high


def test_a_class_of_another_list_has_its_own_place():
    """A class that the split does not have is far from it, and no error."""
    histogram = class_histogram({"cat": 3, "cow": 1}, np.array([0, 1]), ["cat", "dog"])
    assert histogram.values == ["cat", "dog", "cow"]
    assert histogram.reference.tolist() == [0.5, 0.5, 0]


@pytest.mark.parametrize(
    ("served", "trained", "proposals"),
    [
        ({15: 200}, [20, 60], [15]),
        ({15: 200, 20: 5, 80: 900}, [20, 60], [15]),
        ({3: 50, 4: 50, 7: 50, 8: 50, 9: 50}, [10], [3, 8]),
        ({2: 1, 8: 999}, [10], [8]),  # one broken file decides nothing
        ({0: 500, 30: 9}, [20], []),  # no tables is not below
        ({5: 100}, [], []),
    ],
)
def test_the_lowest_qualities_are_proposed(served, trained, proposals):
    """With others at least 5 apart."""
    assert propose(served, trained) == proposals


@given(COUNTS, TRAINED)
def test_proposals_reach_nearly_all_images_below_the_training(served, trained):
    """At most a hundredth lies below the lowest; all lie apart, below the training, and were served."""
    proposals = propose(served, trained)
    outside = {q: n for q, n in served.items() if 0 < q < min(trained)}
    assert bool(proposals) == bool(outside)
    assert set(proposals) <= set(outside)
    assert all(high - low >= APART for low, high in pairwise(proposals))
    if proposals:
        assert sum(n for q, n in outside.items() if q < proposals[0]) <= 0.01 * sum(outside.values())
        assert all(any(0 <= q - p < APART for p in proposals) for q in outside if q >= proposals[0])
