"""How far a number that was measured on images can be trusted: an interval around it.

A proportion of independent images has Wilson's interval. A mean over qualities is not a proportion of Q x N independent
trials, since the same N images recur at every quality and are hard or easy at all of them: so images are resampled,
each with all its views, and the percentiles of the resampled statistic are the interval (B. Efron and R. Tibshirani, An
Introduction to the Bootstrap, 1993, chapters 8 and 13).

The worst of several is the one whose bound is the worst: that all of them keep to a threshold is shown when each does
(an intersection-union test, R. L. Berger, Technometrics 24, 1982), and needs no correction.
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
    """A measured value and the two-sided interval around it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2%} ({self.low:.2%} to {self.high:.2%})"

    def as_json(self) -> dict[str, float]:
        """Return the three numbers by name."""
        return asdict(self)


def exact(value: float) -> Estimate:
    """Return the estimate of what is known exactly."""
    return Estimate(value, value, value)


@dataclass(frozen=True)
class Summary:
    """A sweep over one split in numbers."""

    raw: Estimate
    curve: dict[int, Estimate]  # by quality
    mean: Estimate  # over the qualities
    worst: Estimate  # of the qualities
    worst_quality: int  # where the accuracy is lowest; the lowest such quality

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return what metrics/evaluate.json holds for one split: few enough numbers for `dvc metrics show`."""
        return {
            "raw": self.raw.as_json(),
            "mean": self.mean.as_json(),
            "worst": {**self.worst.as_json(), "quality": self.worst_quality},
        }


def summarise(correct: NDArray[np.bool_], qualities: Sequence[int], how: EvaluateParams) -> Summary:
    """Return the accuracies of one split, each with its interval.

    Args:
        correct: bool [1 + Q, N], whether each image was classified rightly: row 0 raw, then one row a quality; N >= 1.
        qualities: Q, in the order of the rows.
        how: confidence, and resamples and seed of the bootstrap.
    """
    raw, *rows = (wilson(row, how.confidence) for row in correct)
    curve = dict(zip(qualities, rows, strict=True))
    worst_quality = min(curve, key=lambda quality: (curve[quality].value, quality))
    return Summary(raw, curve, average(correct[1:], how), worst(rows, "at least"), worst_quality)


def wilson(right: NDArray[np.bool_], confidence: float) -> Estimate:
    """Return the share of True, with Wilson's interval (E. B. Wilson, JASA 22, 1927).

    Args:
        right: bool [N], one independent answer an image; N >= 1.
        confidence: Of the two-sided interval, 0..1.
    """
    return _wilson(float(right.mean()), right.size, confidence)


def average(right: NDArray[np.bool_], how: EvaluateParams) -> Estimate:
    """Return the share of True over views and images, bool [V, N]: by Wilson for one view, else by bootstrap."""
    if len(right) == 1:
        return wilson(right[0], how.confidence)
    found = resampled(right.mean(0)[:, None], only, how)
    if found.low < found.high:
        return found
    # Where resampling moves nothing (every image right, say) its interval is one point, and promises too much.
    return _wilson(found.value, right.shape[1], how.confidence)


def resampled(
    columns: NDArray[np.float64], of: Callable[[Means], NDArray[np.float64]], how: EvaluateParams
) -> Estimate:
    """Return a statistic of means over images, with a percentile bootstrap interval over the images.

    Args:
        columns: [N, K], what each image adds to K means; N >= 1.
        of: from means [..., K] to the statistic [...].
        how: confidence, resamples and seed; the same seed gives the same interval. It always holds the value.
    """
    from scipy.stats import bootstrap

    images = len(columns)
    value = float(of(columns.mean(0)))
    if images < 2:  # nothing to resample
        return Estimate(value, value, value)

    def statistic(chosen: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:  # [..., N] -> [...]
        drawn = np.moveaxis(chosen, axis, -1).reshape(-1, images)
        times = np.stack([np.bincount(each, minlength=images) for each in drawn])  # [R, N] how often each image came
        return of(times @ columns / images).reshape(chosen.shape[:-1])

    found = bootstrap(
        (np.arange(images),),
        statistic,
        n_resamples=how.resamples,
        batch=max(1, BATCH // images),
        vectorized=True,
        confidence_level=how.confidence,
        method="percentile",
        rng=np.random.default_rng(how.seed),
    ).confidence_interval
    return Estimate(value, min(value, float(found.low)), max(value, float(found.high)))


def unmoved(found: Estimate, images: int, how: EvaluateParams) -> Estimate:
    """Widen an interval of one point: where no image of so many differs, some of the next may.

    It reaches as far, to both sides, as a share that was seen in none of the images may reach by Wilson.

    Args:
        found: of a statistic that one image can move by 1 / images.
        images: that it was measured on.
        how: confidence.
    """
    if found.low < found.high:
        return found
    reach = _wilson(0.0, images, how.confidence).high
    return Estimate(found.value, found.value - reach, found.value + reach)


def worst(estimates: Iterable[Estimate], direction: Direction) -> Estimate:
    """Return the number, of several that are to keep to one threshold, whose bound is the worst: all do if it does."""
    if direction == "at least":
        return min(estimates, key=lambda each: (each.low, each.value))
    return max(estimates, key=lambda each: (each.high, each.value))


def _wilson(share: float, images: int, confidence: float) -> Estimate:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(share * images, images, alpha=1 - confidence, method="wilson")
    return Estimate(share, float(low), float(high))


def only(means: Means) -> NDArray[np.float64]:
    """Return the first of the means: the statistic of what is one mean itself."""
    return means[..., 0]
