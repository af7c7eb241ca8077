"""Intervals resample seeds and images together; differences are paired."""

import numpy as np
import pytest

from benchmarks.comparison.settings import SummaryParams
from benchmarks.comparison.statistics import Interval, Sample, over_seeds, over_seeds_and_images, resample_images

HOW = SummaryParams(resamples=1000, confidence=0.95, seed=0)


def coins(seeds, images, *, spread=0.0, rate=0.6, seed=0):
    """Whether each image is right: independent, at a rate that differs from seed to seed."""
    rng = np.random.default_rng(seed)
    rates = rate + spread * rng.standard_normal(seeds)
    return (rng.random((seeds, images)) < rates[:, None]).astype(float)


def intervals(values, how=HOW):
    """Return the intervals of values [K, S, N]: K quantities, one for each seed and image."""
    by_seed = [resample_images(values[:, seed], how) for seed in range(values.shape[1])]
    return over_seeds_and_images(Sample(*(np.stack(part, axis=1) for part in zip(*by_seed, strict=True))), how)


def interval(values, how=HOW):
    """Return the interval of one quantity."""
    (found,) = intervals(values[np.newaxis], how)
    return found


def test_the_mean_is_over_seeds_and_images():
    """Every run and every image count alike."""
    values = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    assert interval(values).mean == 0.5


def test_with_one_seed_the_interval_is_that_of_a_proportion():
    """The textbook's: 1.96 sqrt(p (1 - p) / N) to either side."""
    values = coins(1, 2000)
    found = interval(values)
    half = 1.96 * (values.mean() * (1 - values.mean()) / 2000) ** 0.5
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_seeds_that_differ_widen_the_interval():
    """The spread between seeds is part of what is not known."""
    alike, apart = coins(5, 500), coins(5, 500, spread=0.2)
    widths = [found.high - found.low for found in (interval(values) for values in (alike, apart))]
    assert widths[1] > 1.5 * widths[0]


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Of 100 experiments with five seeds and 200 images each, at least 85 hold the true rate."""
    how = HOW.model_copy(update={"resamples": 200})
    found = [interval(coins(5, 200, spread=0.03, seed=seed), how) for seed in range(100)]
    assert sum(each.low <= 0.6 <= each.high for each in found) >= 85


def test_pairing_removes_what_both_share():
    """Two methods that are right on nearly the same images differ surely, though neither is known well."""
    one = coins(3, 1000)
    other = one.copy()
    other[:, :20] = 0  # twenty images worse, of those that the first gets right
    gap = interval(one - other)
    alone = interval(one)
    assert gap.low > 0
    assert gap.high - gap.low < (alone.high - alone.low) / 2


def test_what_has_no_value_an_image_is_resampled_by_seed():
    """The interval stays between the lowest and the highest seed, and holds the mean."""
    found = over_seeds(np.array([0.1, 0.2, 0.3]), HOW)
    assert found.mean == pytest.approx(0.2)
    assert 0.1 <= found.low < 0.2 < found.high <= 0.3


def test_the_same_runs_give_the_same_interval():
    """The summary is written byte for byte alike."""
    values = coins(3, 100)
    assert interval(values) == interval(values)


def test_the_order_of_additions_does_not_show():
    """Processors add in orders of their own; a value half way between two that can be written is written alike."""
    one, other = 0.1 + 0.2 + 0.005, 0.3 + 0.005  # differ in the last bit
    assert one != other
    assert Interval(one, one / 1e3, one / 2e2).as_json() == Interval(other, other / 1e3, other / 2e2).as_json()


def test_quantities_are_each_told_apart():
    """Several at once are what they are alone, in their order."""
    several = np.stack([coins(3, 100, rate=0.2), coins(3, 100, rate=0.8)])
    assert intervals(several) == [interval(several[0]), interval(several[1])]


def test_a_difference_of_samples_is_the_sample_of_differences():
    """What is resampled once for each run serves every comparison of it."""
    one, other = (coins(1, 500, rate=rate, seed=seed) for rate, seed in ((0.6, 0), (0.7, 1)))
    of_samples = resample_images(one, HOW).minus(resample_images(other, HOW))
    for parts in zip(of_samples, resample_images(one - other, HOW), strict=True):
        np.testing.assert_allclose(*parts, atol=1e-12)
