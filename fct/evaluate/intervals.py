"""Confidence intervals of numbers that are measured on images. They follow from the answers alone, without a seed.

**A proportion** of images has the exact interval of C. Clopper and E. Pearson, Biometrika 26, 1934. A mean over views
is not a proportion of V x N independent trials: the same N images recur in every view, hard or easy in all of them.
An image's mean over views lies between 0 and 1, so its variance is at most p (1 - p), that of a proportion. Therefore
the mean over views has the interval of a proportion of N images.

**A difference** of two proportions of the same images has the interval of R. Newcombe, Statistics in Medicine 17, 1998,
method 10, with exact intervals instead of Wilson's. It depends on the share of images that count for one side and the
share that count for the other, so images with equal answers do not widen it.

**A mean over trainings** has the interval of a sum of two independent errors, one from trainings and one from images
(MOVER: G. Zou and A. Donner, Statistics in Medicine 27, 2008).

The first two are monotone: a wrong answer made right never lowers a bound. Simulations: docs/explanation/gate.md.

The worst of several estimates is the one with the worst bound. If it keeps to a threshold, all of them do. This needs
no correction (an intersection-union test, R. L. Berger, Technometrics 24, 1982).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fct.evaluate.params import Direction


@dataclass(frozen=True)
class Estimate:
    """A measured value and its two-sided interval."""

    value: float
    low: float
    high: float
    # (factor) -> the estimate on so many times as many images, if the values stay the same; None for an exact value.
    with_more: Callable[[float], Estimate] | None = field(default=None, compare=False, repr=False)
    part: str | None = field(default=None, compare=False, repr=False)  # the worst part of a slice that has several

    def __str__(self) -> str:
        return f"{self.value:.2%} ({self.low:.2%} to {self.high:.2%})"

    def as_json(self) -> dict[str, float]:
        """Return the three numbers by name."""
        return {"value": self.value, "low": self.low, "high": self.high}


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


def summarise(correct: NDArray[np.bool_], qualities: Sequence[int], confidence: float) -> Summary:
    """Return the accuracies of one split, each with its interval.

    Args:
        correct: bool [1 + Q, N], whether each prediction is right: row 0 raw, then one row per quality; N >= 1.
        qualities: Q, in the order of the rows.
        confidence: the confidence of the two-sided intervals, 0..1.
    """
    raw, *rows = (proportion(row, confidence) for row in correct)
    curve = dict(zip(qualities, rows, strict=True))
    worst_quality = min(curve, key=lambda quality: (curve[quality].value, quality))
    mean = proportion(correct[1:].mean(0), confidence)
    return Summary(raw, curve, mean, worst(rows, "at least"), worst_quality)


def proportion(shares: NDArray[np.bool_] | NDArray[np.float64], confidence: float) -> Estimate:
    """Return the mean of shares, with the exact interval of a proportion of N images.

    Args:
        shares: [N], 0..1 for each image: whether its answer is right, or the share of its views with a right answer;
            N >= 1.
        confidence: the confidence of the two-sided interval, 0..1.
    """
    return clopper_pearson(float(shares.mean()), len(shares), confidence)


def clopper_pearson(share: float, images: float, confidence: float) -> Estimate:
    """Return a share of images, with the exact interval of a proportion.

    Args:
        share: share of the images, 0..1. It need not be that of a whole number of images.
        images: number of images, above 0.
        confidence: the confidence of the two-sided interval, 0..1.
    """
    from scipy.special import betaincinv

    tail, successes = (1 - confidence) / 2, share * images
    failures = images - successes
    low = float(betaincinv(successes, failures + 1, tail)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, failures, 1 - tail)) if failures > 0 else 1.0
    return Estimate(
        share, min(low, share), max(high, share), lambda factor: clopper_pearson(share, images * factor, confidence)
    )


def difference(values: NDArray[np.float64], confidence: float, *, largest: float = 1.0) -> Estimate:
    """Return the mean of differences, with the interval of a difference of paired proportions.

    Args:
        values: [N], the difference of each image, -largest..largest; N >= 1.
        confidence: the confidence of the two-sided interval, 0..1.
        largest: the largest difference that an image can have.
    """
    shares = values / largest
    return scaled(
        signed(float(shares.clip(min=0).mean()), float((-shares).clip(min=0).mean()), len(values), confidence), largest
    )


def signed(positive: float, negative: float, images: float, confidence: float) -> Estimate:
    """Return the difference of the shares of images that count as +1 and as -1, with its interval.

    Args:
        positive: share of the images that count as +1, 0..1, or the mean of the positive parts.
        negative: the same for -1; positive + negative <= 1.
        images: number of images.
        confidence: the confidence of the two-sided interval, 0..1.
    """
    one, other = (clopper_pearson(share, images, confidence) for share in (positive, negative))
    # Both shares are of one sample and correlate by -s / (2 - s) at most, where s is the share of images that differ.
    # s has two more images of either kind (A. Agresti and B. Coull, The American Statistician 52, 1998): without them
    # the bounds of ten images and fewer are not monotone.
    differing = (images * (positive + negative) + 2) / (images + 4)
    correlation = -differing / (2 - differing)

    def reach(up: float, down: float) -> float:
        return math.sqrt(max(0.0, up**2 + down**2 - 2 * correlation * up * down))

    value = positive - negative
    return Estimate(
        value,
        max(-1.0, value - reach(positive - one.low, other.high - negative)),
        min(1.0, value + reach(one.high - positive, negative - other.low)),
        lambda factor: signed(positive, negative, images * factor, confidence),
    )


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """Return an estimate in other units."""
    more = estimate.with_more
    return Estimate(
        estimate.value * factor,
        estimate.low * factor,
        estimate.high * factor,
        None if more is None else lambda times: scaled(more(times), factor),
    )


def student(values: NDArray[np.float64], confidence: float) -> Estimate:
    """Return the mean of independent measurements, [N], with Student's interval; N >= 2."""
    from scipy.stats import t

    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    reach = float(t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    return Estimate(mean, mean - reach, mean + reach)


def over_trainings(values: NDArray[np.float64], images: Estimate, confidence: float) -> Estimate:
    """Return the mean over trainings, with an interval for other trainings and other images.

    On each side its width is the hypotenuse of two widths: that of Student's interval over trainings, and that of the
    interval over images. More trainings narrow only the first, more images only the second.

    Args:
        values: [N], the value of each training, all on the same images; N >= 2.
        images: the value of one such training, with its interval over images at the same confidence.
        confidence: the confidence of the two-sided interval, 0..1.
    """
    mean = student(values, confidence)
    return Estimate(
        mean.value,
        mean.value - math.hypot(mean.value - mean.low, images.value - images.low),
        mean.value + math.hypot(mean.high - mean.value, images.high - images.value),
    )


def worst(estimates: Iterable[Estimate], direction: Direction) -> Estimate:
    """Return the estimate with the worst bound. If it keeps to a threshold, all of the estimates do."""
    if direction == "at least":
        return min(estimates, key=lambda estimate: (estimate.low, estimate.value))
    return max(estimates, key=lambda estimate: (estimate.high, estimate.value))
