"""Means over seeds with intervals, and paired differences between methods.

Two things vary: the seed, which decides initial weights, order, crops and qualities, and which images happen to be in
the test split. A difference is taken between runs of the same seeds on the same images. Its error has two parts:

- of the seeds: the standard error of the S means, one for each seed, with Student's t of S - 1 degrees of freedom. With
  three seeds its factor is 4.3, with two 12.7;
- of the images: what images share over the seeds, which no number of seeds averages away. Its variance is the mean
  covariance of two seeds over the images, none if that is negative. Thousands of images make its factor the normal one.

The half width of the interval is the root of the sum of both parts' squared half widths (G. Zou and A. Donner,
"Construction of confidence limits about effect measures", Statistics in Medicine 27(10), 2008). So it covers the mean
of all seeds on all images like those of the test split, and it is never narrower than the t interval over the seeds.
One seed says nothing about other seeds: it has no interval.

A p-value is one minus the confidence at which the interval touches 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

HALVINGS = 60  # of the range of a p-value, in digits


class Interval(NamedTuple):
    """A mean, its two-sided interval and the p-value of 0; of one seed the mean alone."""

    mean: float
    low: float | None = None
    high: float | None = None
    p: float | None = None

    def as_json(self) -> dict[str, float]:
        """Return the numbers that there are by name, five digits of each, and of the p-value ten.

        They are rounded to ten first: a value may be half way between two of five digits, and the last bit differs from
        one processor to another.
        """
        found = {name: round(value, 10) for name, value in self._asdict().items() if value is not None}
        return {name: value if name == "p" else round(value, 5) for name, value in found.items()}


class Errors(NamedTuple):
    """The standard errors of K means, [K]: that of the seeds, and that of the images."""

    seeds: NDArray[np.float64]
    images: NDArray[np.float64]

    def half(self, seeds: int, alpha: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return half of the widths of the intervals with confidence 1 - `alpha`, [K]."""
        of_seeds, of_images = t.isf(np.asarray(alpha) / 2, seeds - 1), norm.isf(np.asarray(alpha) / 2)
        return np.asarray(np.hypot(of_seeds * self.seeds, of_images * self.images))


def over_seeds_and_images(values: NDArray[np.float64], confidence: float) -> list[Interval]:
    """Return the mean over seeds and images of K quantities, and its interval.

    Args:
        values: [K, S, N], one for each quantity, seed and image.
        confidence: of the interval, such as 0.95.
    """
    _, seeds, images = values.shape
    means = values.mean(2)
    if seeds == 1:
        return [Interval(mean) for mean in means[:, 0].tolist()]
    apart = values.var(2, ddof=1).sum(1)  # [K]
    together = values.sum(1).var(1, ddof=1)
    shared = np.maximum(0, together - apart) / (seeds * (seeds - 1))  # the mean covariance of two seeds
    errors = Errors(_standard_error(means), np.sqrt(shared / images))
    return _around(means.mean(1), errors, seeds, confidence)


def over_seeds(values: NDArray[np.float64], confidence: float) -> Interval:
    """Return the mean of values [S], one for each seed, and its t interval: of a quantity without a value an image."""
    if len(values) == 1:
        return Interval(float(values[0]))
    errors = Errors(_standard_error(values[np.newaxis]), np.zeros(1))
    (interval,) = _around(values.mean(keepdims=True), errors, len(values), confidence)
    return interval


def pooled_deviation(samples: Sequence[NDArray[np.float64]]) -> float | None:
    """Return the standard deviation over seeds that all of `samples` have in common, each [S]; None without two."""
    several = [sample for sample in samples if len(sample) > 1]
    if not several:
        return None
    squares = sum(float(np.square(sample - sample.mean()).sum()) for sample in several)
    return float(np.sqrt(squares / sum(len(sample) - 1 for sample in several)))


def holm(p: Sequence[float], alpha: float) -> list[bool]:
    """Return which of several differences are still there if all are looked at together.

    With a probability of at most `alpha`, any of them is said to be there that is not (S. Holm, "A simple sequentially
    rejective multiple test procedure", Scandinavian Journal of Statistics 6(2), 1979).
    """
    found = [False] * len(p)
    for rank, number in enumerate(np.argsort(p, kind="stable").tolist()):
        if p[number] > alpha / (len(p) - rank):
            break
        found[number] = True
    return found


def _standard_error(means: NDArray[np.float64]) -> NDArray[Any]:
    """Return that of the mean over seeds, [K], from the means of each seed, [K, S]."""
    return np.asarray(means.std(1, ddof=1) / np.sqrt(means.shape[1]))


def _around(means: NDArray[np.float64], errors: Errors, seeds: int, confidence: float) -> list[Interval]:
    half = errors.half(seeds, 1 - confidence)
    p = _p_values(np.abs(means), errors, seeds)
    rows = zip(means.tolist(), (means - half).tolist(), (means + half).tolist(), p.tolist(), strict=True)
    return [Interval(*row) for row in rows]


def _p_values(distances: NDArray[np.float64], errors: Errors, seeds: int) -> NDArray[np.float64]:
    """Return the alpha of which half the width is the distance from 0, [K]."""
    low, high = np.full(len(distances), -300.0), np.zeros(len(distances))  # powers of ten
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        wide = errors.half(seeds, 10**middle) >= distances
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return np.asarray(10**high)
