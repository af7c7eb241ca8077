"""Confidence intervals of numbers that are measured on images.

A proportion of independent images has Wilson's interval. A mean over qualities is not a proportion of Q x N independent
trials: the same N images recur at every quality, and are hard or easy at all of them. Therefore images are resampled,
each with all its views. The percentiles of the resampled statistic are the interval (B. Efron and R. Tibshirani, An
Introduction to the Bootstrap, 1993, chapters 8 and 13).

The worst of several estimates is the one with the worst bound. All of them keep to a threshold if each one does; this
needs no correction (an intersection-union test, R. L. Berger, Technometrics 24, 1982).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from fct.evaluate.params import Direction, EvaluateParams

BATCH = 1 << 22  # indices drawn at a time: 32 MiB

Means = NDArray[np.float64]  # [..., K]


@dataclass(frozen=True)
class Estimate:
    """A measured value and its two-sided interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2%} ({self.low:.2%} to {self.high:.2%})"

    def as_json(self) -> dict[str, float]:
        """Return the three numbers by name."""
        return asdict(self)


def exact(value: float) -> Estimate:
    """Return the estimate of an exact value."""
    return Estimate(value, value, value)


@dataclass(frozen=True)
class Summary:
    """The accuracies of one split over the qualities."""

    raw: Estimate
    curve: dict[int, Estimate]  # by quality
    mean: Estimate  # over the qualities
    worst: Estimate  # of the qualities
    worst_quality: int  # the quality with the lowest accuracy; of several, the lowest quality

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return the entry of one split in metrics/evaluate.json: few enough numbers for `dvc metrics show`."""
        return {
            "raw": self.raw.as_json(),
            "mean": self.mean.as_json(),
            "worst": {**self.worst.as_json(), "quality": self.worst_quality},
        }


def summarise(correct: NDArray[np.bool_], qualities: Sequence[int], params: EvaluateParams) -> Summary:
    """Return the accuracies of one split, each with its interval.

    Args:
        correct: bool [1 + Q, N], whether each prediction is right: row 0 raw, then one row per quality; N >= 1.
        qualities: Q, in the order of the rows.
        params: confidence, and the resamples and seed of the bootstrap.
    """
    raw, *rows = (wilson(row, params.confidence) for row in correct)
    curve = dict(zip(qualities, rows, strict=True))
    worst_quality = min(curve, key=lambda quality: (curve[quality].value, quality))
    return Summary(raw, curve, average(correct[1:], params), worst(rows, "at least"), worst_quality)


def wilson(right: NDArray[np.bool_], confidence: float) -> Estimate:
    """Return the share of True, with Wilson's interval (E. B. Wilson, JASA 22, 1927).

    Args:
        right: bool [N], one independent trial per image; N >= 1.
        confidence: Of the two-sided interval, 0..1.
    """
    return _wilson(float(right.mean()), right.size, confidence)


def average(right: NDArray[np.bool_], params: EvaluateParams) -> Estimate:
    """Return the share of True over views and images, bool [V, N]: Wilson's for one view, else by bootstrap."""
    if len(right) == 1:
        return wilson(right[0], params.confidence)
    estimate = resampled(right.mean(0)[:, None], only, params)
    if estimate.low < estimate.high:
        return estimate
    # If resampling changes nothing (all images right, say), its interval is one point, which is too narrow.
    return _wilson(estimate.value, right.shape[1], params.confidence)


def resampled(
    columns: NDArray[np.float64], statistic: Callable[[Means], NDArray[np.float64]], params: EvaluateParams
) -> Estimate:
    """Return a statistic of means over images, with a percentile bootstrap interval over the images.

    Args:
        columns: [N, K], the contribution of each image to K means; N >= 1.
        statistic: from means [..., K] to the statistic [...].
        params: confidence, resamples and seed. The same seed gives the same interval.

    Returns:
        The value with its interval, which always contains it.
    """
    from scipy.stats import bootstrap

    images = len(columns)
    value = float(statistic(columns.mean(0)))
    if images < 2:  # nothing to resample
        return Estimate(value, value, value)

    def resample(chosen: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:  # [..., N] -> [...]
        indices = np.moveaxis(chosen, axis, -1).reshape(-1, images)
        times = np.stack(
            [np.bincount(row, minlength=images) for row in indices]
        )  # [R, N] how often each image is drawn
        return statistic(times @ columns / images).reshape(chosen.shape[:-1])

    interval = bootstrap(
        (np.arange(images),),
        resample,
        n_resamples=params.resamples,
        batch=max(1, BATCH // images),
        vectorized=True,
        confidence_level=params.confidence,
        method="percentile",
        rng=np.random.default_rng(params.seed),
    ).confidence_interval
    return Estimate(value, min(value, float(interval.low)), max(value, float(interval.high)))


def widen_point(estimate: Estimate, images: int, params: EvaluateParams) -> Estimate:
    """Widen an interval of one point: although none of these images differs, some of the next ones may.

    The new interval reaches to both sides as far as Wilson's interval of a share of 0 in these images.

    Args:
        estimate: of a statistic that one image can change by 1 / images.
        images: number of images that it was measured on.
        params: confidence.
    """
    if estimate.low < estimate.high:
        return estimate
    reach = _wilson(0.0, images, params.confidence).high
    return Estimate(estimate.value, estimate.value - reach, estimate.value + reach)


def worst(estimates: Iterable[Estimate], direction: Direction) -> Estimate:
    """Return the estimate with the worst bound. If it keeps to a threshold, all of the estimates do."""
    if direction == "at least":
        return min(estimates, key=lambda estimate: (estimate.low, estimate.value))
    return max(estimates, key=lambda estimate: (estimate.high, estimate.value))


def _wilson(share: float, images: int, confidence: float) -> Estimate:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(share * images, images, alpha=1 - confidence, method="wilson")
    return Estimate(share, float(low), float(high))


def only(means: Means) -> NDArray[np.float64]:
    """Return the first of the means: the statistic of a metric that is one mean itself."""
    return means[..., 0]
