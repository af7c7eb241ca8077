"""Means over seeds with intervals, and paired differences between methods.

Two things vary: the seed, which decides initial weights, order, crops and qualities, and which images happen to be in
the test split. Both are resampled together (a bootstrap of two crossed factors: seeds are drawn with replacement, and
images are, and each value is the mean over the drawn seeds and images), and a difference is taken between runs of the
same seeds on the same images. Percentiles of the resampled statistic are the interval. What is particular to one seed
on one image is counted up to three times so (A. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2),
2007): the interval is rather too wide than too narrow. But where seeds differ more than images do, as they do under
noise, three of them are too few to resample, and it is too narrow.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison.settings import SummaryParams


class Interval(NamedTuple):
    """A mean and its two-sided interval."""

    mean: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """Return the three numbers by name, five digits of each.

        They are rounded to ten first: a quantile is often half way between two such numbers, and the last bit differs
        from one processor to another.
        """
        return {name: round(round(value, 10), 5) for name, value in self._asdict().items()}


class Sample(NamedTuple):
    """Means of K quantities over images, for each of S seeds: on the images themselves, and on each of R resamples.

    Both are linear in the images' values: a paired difference is the difference of two samples.
    """

    means: NDArray[np.float64]  # [K, S]
    drawn: NDArray[np.float64]  # [K, S, R]

    def minus(self, other: Sample) -> Sample:
        """Return the paired differences, on the same images and resamples."""
        return Sample(self.means - other.means, self.drawn - other.drawn)


def resample_images(values: NDArray[Any], how: SummaryParams) -> Sample:
    """Return the sample of values [K, N] of one seed, without the axis of seeds: means [K], drawn [K, R].

    Values are whole numbers, such as whether an image is classified correctly: so sums in float32 are exact.
    """
    images = values.shape[1]
    sums = values.astype(np.float32) @ _times(images, how)
    return Sample(values.mean(1), sums.astype(np.float64) / images)


def over_seeds_and_images(sample: Sample, how: SummaryParams) -> list[Interval]:
    """Return the mean over seeds and images of each of the K quantities, and its interval.

    With one seed only the images are resampled: the interval then says nothing about other seeds.
    """
    _, seeds, resamples = sample.drawn.shape
    drawn_seeds = np.random.default_rng([how.seed, 1]).integers(seeds, size=(seeds, resamples))
    drawn = np.take_along_axis(sample.drawn, drawn_seeds[np.newaxis], axis=1).mean(1)
    return _around(sample.means.mean(1), drawn, how)


@lru_cache(maxsize=2)
def _times(images: int, how: SummaryParams) -> NDArray[np.float32]:
    """Return how often each image is drawn in each resample, [images, resamples]: the same for all compared."""
    rng = np.random.default_rng(how.seed)
    rows = [np.bincount(rng.integers(images, size=images), minlength=images) for _ in range(how.resamples)]
    return np.stack([row.astype(np.float32) for row in rows], axis=1)


def over_seeds(values: NDArray[np.float64], how: SummaryParams) -> Interval:
    """Return the mean of values [S], one for each seed, and its interval: of a quantity that has no value an image."""
    rng = np.random.default_rng(how.seed)
    drawn = values[rng.integers(len(values), size=(how.resamples, len(values)))].mean(1)
    (interval,) = _around(values.mean(keepdims=True), drawn[np.newaxis], how)
    return interval


def _around(means: NDArray[np.float64], drawn: NDArray[np.float64], how: SummaryParams) -> list[Interval]:
    """Return the intervals of K quantities from their means [K] and their resampled means [K, R]."""
    tail = (1 - how.confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=1)
    bounds = zip(means.tolist(), np.minimum(low, means).tolist(), np.maximum(high, means).tolist(), strict=True)
    return [Interval(*each) for each in bounds]
