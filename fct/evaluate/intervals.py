"""How far an accuracy can be trusted: an interval around each.

One quality is a proportion of independent images: Wilson's interval. A mean over qualities is not a proportion of
Q x N independent trials, since the same N images recur at every quality and are hard or easy at all of them: so images
are resampled, each with all its qualities, and the percentiles of the resampled statistic are the interval
(B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from fct.evaluate.params import EvaluateParams

BATCH = 1 << 22  # indices drawn at a time: 32 MiB


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
    mean, worst = over_qualities(correct[1:], resamples=how.resamples, confidence=how.confidence, seed=how.seed)
    return Summary(raw, curve, mean, worst, min(curve, key=lambda quality: (curve[quality].value, quality)))


def wilson(correct: NDArray[np.bool_], confidence: float) -> Estimate:
    """Return the accuracy of one prediction an image, with Wilson's interval (E. B. Wilson, JASA 22, 1927).

    Args:
        correct: bool [N], whether each image was classified rightly; N >= 1.
        confidence: Of the two-sided interval, 0..1.
    """
    value = float(correct.mean())
    return Estimate(value, *_wilson_bounds(value, correct.size, confidence))


def over_qualities(
    correct: NDArray[np.bool_], *, resamples: int, confidence: float, seed: int
) -> tuple[Estimate, Estimate]:
    """Return the mean of the accuracies over the qualities and the worst of them, both by bootstrap over images.

    The worst is taken anew in each resample, so that its interval covers the choice of the quality too. The minimum of
    noisy accuracies lies below the noise-free minimum: the interval of the worst errs to the low side, where a floor
    errs to the safe one. An interval always holds its value. Where resampling moves nothing (every image right, say),
    the percentiles are one point that promises too much; then Wilson's interval for N images stands instead.

    Args:
        correct: bool [Q, N], whether each image was classified rightly at each quality; Q, N >= 1.
        resamples: Number of resamples.
        confidence: Of the two-sided intervals, 0..1.
        seed: Of the resampling; the same seed gives the same intervals.

    Returns:
        The mean and the worst.
    """
    from scipy.stats import bootstrap

    by_image = correct.T.astype(np.float64)  # [N, Q]
    images = len(by_image)

    def mean_and_worst(chosen: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:  # [..., N] -> [2, ...]
        drawn = np.moveaxis(chosen, axis, -1).reshape(-1, images)
        times = np.stack([np.bincount(each, minlength=images) for each in drawn])  # [R, N] how often each image came
        accuracy = (times @ by_image / images).reshape(*chosen.shape[:-1], -1)  # [..., Q]
        return np.stack([accuracy.mean(axis=-1), accuracy.min(axis=-1)])

    values = mean_and_worst(np.arange(images))
    lows = highs = values
    if images > 1:
        found = bootstrap(
            (np.arange(images),),
            mean_and_worst,
            n_resamples=resamples,
            batch=max(1, BATCH // images),
            vectorized=True,
            confidence_level=confidence,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        lows, highs = np.minimum(found.low, values), np.maximum(found.high, values)
    mean, worst = (
        Estimate(value, *((low, high) if low < high else _wilson_bounds(value, images, confidence)))
        for value, low, high in zip(values.tolist(), lows.tolist(), highs.tolist(), strict=True)
    )
    return mean, worst


def _wilson_bounds(accuracy: float, images: int, confidence: float) -> tuple[float, float]:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(accuracy * images, images, alpha=1 - confidence, method="wilson")
    return float(low), float(high)
