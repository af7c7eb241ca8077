"""Intervals are for other seeds and other images; differences are paired."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t

from benchmarks.comparison.statistics import Interval, holm, over_seeds, over_seeds_and_images, pooled_deviation

CONFIDENCE = 0.95
SEEDS = st.integers(0, 2**32 - 1)


def coins(seeds, images, *, spread=0.0, rate=0.6, seed=0):
    """Whether each image is right: independent, at a rate that differs from seed to seed."""
    rng = np.random.default_rng(seed)
    rates = rate + spread * rng.standard_normal(seeds)
    return (rng.random((seeds, images)) < rates[:, None]).astype(float)


def crossed(rng, seeds, images, *, of_seeds, of_images, of_both=1.0):
    """Return values whose parts vary from seed to seed, from image to image, and from one of both to the next."""
    parts = rng.standard_normal((seeds, 1)), rng.standard_normal((1, images)), rng.standard_normal((seeds, images))
    return of_seeds * parts[0] + of_images * parts[1] + of_both * parts[2]


def interval(values, confidence=CONFIDENCE):
    """Return the interval of one quantity, of values [seeds, images]."""
    (found,) = over_seeds_and_images(values[np.newaxis], confidence)
    return found


@st.composite
def experiments(draw):
    """Draw values [seeds, images] of some spread of either kind."""
    rng = np.random.default_rng(draw(SEEDS))
    spreads = {name: draw(st.floats(0, 2)) for name in ("of_seeds", "of_images")}
    return crossed(rng, draw(st.integers(2, 6)), draw(st.integers(5, 60)), **spreads) + draw(st.floats(-2, 2))


def test_the_mean_is_over_seeds_and_images():
    """Every run and every image count alike."""
    values = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    assert interval(values).mean == 0.5


def test_one_seed_has_no_interval():
    """It says nothing about other seeds, so its JSON has the mean alone."""
    found = interval(coins(1, 100))
    assert (found.low, found.high, found.p) == (None, None, None)
    assert set(found.as_json()) == {"mean"}
    assert over_seeds(np.array([0.5]), CONFIDENCE) == Interval(0.5)


@given(experiments())
def test_no_interval_is_narrower_than_students_over_the_seeds(values):
    """What images share only widens it."""
    means = values.mean(1)
    half = t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / len(means) ** 0.5
    found = interval(values)
    assert found.high - found.low >= 2 * half * (1 - 1e-9)
    assert (found.low + found.high) / 2 == pytest.approx(found.mean, abs=1e-9)


@given(SEEDS, st.integers(2, 6), st.integers(5, 60))
def test_seeds_that_are_alike_leave_the_interval_of_the_images(seed, seeds, images):
    """Where each seed classifies as the next one does, the textbook's interval over images is left."""
    one = np.random.default_rng(seed).standard_normal(images)
    found = interval(np.tile(one, (seeds, 1)))
    assert found.high - found.mean == pytest.approx(norm.ppf(0.975) * one.std(ddof=1) / images**0.5, rel=1e-6)


@given(experiments())
def test_the_p_value_says_what_the_interval_says(values):
    """It is below 5 % just where the interval of 95 % excludes 0, and at its own confidence the interval touches 0."""
    found = interval(values)
    if abs(found.p - 0.05) > 1e-9:
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    if 1e-12 < found.p < 1 - 1e-6:
        touching = interval(values, 1 - found.p)
        assert min(abs(touching.low), abs(touching.high)) == pytest.approx(0, abs=1e-5 * (found.high - found.low))


def test_a_difference_of_nothing_is_not_there():
    """Two methods that are right on the same images with every seed have a p-value of 1."""
    found = interval(np.zeros((3, 10)))
    assert (found.low, found.high, found.p) == (0, 0, 1)


@pytest.mark.parametrize(
    "spreads",
    [
        {"of_seeds": 0.5, "of_images": 0.0},
        {"of_seeds": 0.0, "of_images": 3.0},
        {"of_seeds": 0.2, "of_images": 2.0},
        {"of_seeds": 0.0, "of_images": 0.0},
    ],
)
def test_three_seeds_cover_the_truth_as_often_as_they_say(spreads):
    """Whether seeds differ most or images do: of 1,000 experiments at least 93 % hold the true mean, 0."""
    rng = np.random.default_rng(1)
    found = over_seeds_and_images(np.stack([crossed(rng, 3, 100, **spreads) for _ in range(1000)]), CONFIDENCE)
    assert sum(each.low <= 0 <= each.high for each in found) >= 930


def test_students_interval_alone_would_miss_what_images_share():
    """Where images differ most, the t interval over three seeds holds the truth in fewer than half of experiments."""
    rng = np.random.default_rng(1)
    means = np.stack([crossed(rng, 3, 100, of_seeds=0.0, of_images=6.0).mean(1) for _ in range(1000)])
    found = [over_seeds(each, CONFIDENCE) for each in means]
    assert sum(each.low <= 0 <= each.high for each in found) < 500


def test_pairing_removes_what_both_share():
    """Two methods that are right on nearly the same images differ surely, though neither is known well."""
    one = coins(3, 1000)
    other = one.copy()
    other[:, :20] = 0  # twenty images worse, of those that the first gets right
    gap, alone = interval(one - other), interval(one)
    assert gap.low > 0
    assert gap.high - gap.low < (alone.high - alone.low) / 2


def test_what_has_no_value_an_image_has_students_interval():
    """The textbook's example: three values with a mean of 0.2 and a standard deviation of 0.1."""
    found = over_seeds(np.array([0.1, 0.2, 0.3]), CONFIDENCE)
    assert found.mean == pytest.approx(0.2)
    assert found.high - 0.2 == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)


def test_the_order_of_additions_does_not_show():
    """Processors add in orders of their own; a value half way between two that can be written is written alike."""
    one, other = 0.1 + 0.2 + 0.005, 0.3 + 0.005  # differ in the last bit
    assert one != other
    assert Interval(one, one / 1e3, one / 2e2).as_json() == Interval(other, other / 1e3, other / 2e2).as_json()


def test_quantities_are_each_told_apart():
    """Several at once are what they are alone, in their order."""
    several = np.stack([coins(3, 100, rate=0.2), coins(3, 100, rate=0.8)])
    assert over_seeds_and_images(several, CONFIDENCE) == [interval(several[0]), interval(several[1])]


def test_the_deviation_is_pooled_over_samples_of_their_own_means():
    """Samples whose means differ, but not their values within, have none; one value says nothing."""
    assert pooled_deviation([np.array([1.0, 1.0]), np.array([5.0, 5.0, 5.0])]) == 0
    assert pooled_deviation([np.array([0.0, 2.0]), np.array([7.0])]) == pytest.approx(2**0.5)
    assert pooled_deviation([np.array([7.0])]) is None


@given(st.lists(st.floats(1e-6, 1), max_size=30))
def test_holm_lies_between_no_correction_and_bonferronis(p):
    """Whatever the smallest threshold leaves stays, nothing else than what is below alpha does, the smallest first."""
    found = holm(p, 0.05)
    assert all(stays for stays, each in zip(found, p, strict=True) if each <= 0.05 / max(len(p), 1))
    assert not any(stays for stays, each in zip(found, p, strict=True) if each > 0.05)
    left_out = [each for stays, each in zip(found, p, strict=True) if not stays]
    assert all(each <= min(left_out, default=1) for stays, each in zip(found, p, strict=True) if stays)


def test_holm_of_the_textbook():
    """Of 0.01, 0.02, 0.03 and 0.04 the first is below 0.05 / 4 and the second not below 0.05 / 3: one stays."""
    assert holm([0.03, 0.01, 0.04, 0.02], 0.05) == [False, True, False, False]


def test_each_difference_that_stays_makes_it_easier_for_the_next():
    """0.015 is above Bonferroni's 0.05 / 4, and below the 0.05 / 3 that is left after 0.01."""
    assert holm([0.01, 0.015, 0.9, 0.9], 0.05) == [True, True, False, False]


def test_holm_seldom_finds_what_is_not_there():
    """Of 400 tables of twenty differences, none of them real, at most 8 % have one that stays."""
    rng = np.random.default_rng(0)
    assert sum(any(holm(rng.random(20).tolist(), 0.05)) for _ in range(400)) <= 32
