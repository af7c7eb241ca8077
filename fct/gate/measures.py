"""Measures a metric on a slice of the views, with its interval.

The result is the value of one model, its difference from a champion's, or the mean over several trainings.

A slice has one or several parts. A part is the mean over some views of some images. If there are several, the worst one
counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.evaluate.intervals import Estimate, difference, exact, over_trainings, proportion, signed, worst
from fct.evaluate.params import CONTROLS, EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.params import CheckParams

BINS = 15  # of the confidence 0..1, as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017


@dataclass(frozen=True)
class Part:
    """Some views of some images, over which a metric is averaged."""

    name: str
    rows: list[int]
    images: NDArray[np.int64]  # indices of the images

    @property
    def where(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The index of these views and images in an array [V, N]."""
        return np.array(self.rows)[:, None], self.images


def measure(check: CheckParams, predictions: Predictions, params: EvaluateParams) -> Estimate:
    """Return the metric on a check's slice. If the slice has several parts, the worst one counts."""
    return _worst(check, predictions, lambda part: _measure(check.metric, predictions, part, params.confidence))


def measure_difference(
    check: CheckParams, predictions: Predictions, champion: Predictions, params: EvaluateParams
) -> Estimate:
    """Return how much larger the metric is than the champion's, on the same views of the same images.

    The differences are paired by image, so images that are hard for both models do not widen the interval. If the slice
    has several parts, the worst one counts.

    Raises:
        FctError: the predictions of the two models are for different views.
    """
    if predictions.views != champion.views:
        raise FctError(
            f"{check.name}: the two models were measured on different views: {predictions.views} and {champion.views}."
        )
    return _worst(
        check, predictions, lambda part: _compare(check.metric, predictions, champion, part, params.confidence)
    )


def measure_trainings(
    check: CheckParams, predictions: Predictions, values: Sequence[float], params: EvaluateParams
) -> Estimate:
    """Return the mean of the metric over trainings. Its interval covers chance in the trainings and in the images.

    The uncertainty from the images is that of the judged model, whose predictions are all available. All trainings are
    measured on the same images, so their mean does not average out this uncertainty: its deviation over images is at
    most the mean of theirs. As models of one configuration, they are about as good as each other.

    If the slice has several parts, the worst part of each training counts, whichever it is.

    Args:
        check: the line.
        predictions: the predictions of the judged model.
        values: the metric of each training on the same slice; at least 2.
        params: confidence of the interval.
    """
    return over_trainings(np.array(values), measure(check, predictions, params), params.confidence)


def _worst(check: CheckParams, predictions: Predictions, measure_part: Callable[[Part], Estimate]) -> Estimate:
    """Return the estimate of a check's slice. If there are several parts, it is the worst one, with its name."""
    of_slice = parts(check.slice, predictions)
    if len(of_slice) == 1:
        return measure_part(of_slice[0])
    return worst((replace(measure_part(part), part=part.name) for part in of_slice), check.direction)


def parts(name: str | None, predictions: Predictions) -> list[Part]:
    """Return the parts of the slice with this name."""
    sweep = [row for row, view in enumerate(predictions.views) if view[1:].isdecimal()]  # q5, q10, ...
    unseen: dict[str, list[int]] = {}
    for row, view in enumerate(predictions.views):
        if "/" in view:
            unseen.setdefault(view.partition("/")[0], []).append(row)
    everywhere = np.arange(len(predictions.labels))
    sample = predictions.measured(-1)  # of the images, for all unseen distortions
    classes = {f"class {label}": np.flatnonzero(predictions.labels == label) for label in np.unique(predictions.labels)}
    judged = {name: rows for name, rows in unseen.items() if name not in CONTROLS}
    slices = {name: [Part(name, rows, sample)] for name, rows in unseen.items()} | {
        "mean": [Part("mean", sweep, everywhere)],
        "worst": [Part(predictions.views[row], [row], everywhere) for row in sweep],
        "worst-class": [Part(label, sweep, images) for label, images in classes.items()],
        "unseen": [Part("unseen", [row for rows in judged.values() for row in rows], sample)],
        "worst-unseen": [Part(name, rows, sample) for name, rows in judged.items()],
    }
    return slices[str(name)] if name in slices else [Part(str(name), [predictions.views.index(str(name))], everywhere)]


def count_images(name: str | None, predictions: Predictions) -> int:
    """Return the number of images on which the slice with this name was measured."""
    return len(predictions.measured(parts(name, predictions)[0].rows[0]))


def _measure(metric: str, predictions: Predictions, part: Part, confidence: float) -> Estimate:
    if metric == "ece":
        return _calibration_error(predictions, part, confidence)
    values = PER_IMAGE[metric](predictions, part)
    return difference(values, confidence) if metric == "drop" else proportion(values, confidence)


def _compare(metric: str, own: Predictions, champion: Predictions, part: Part, confidence: float) -> Estimate:
    if metric == "ece":
        return _error_difference(*(_calibration_error(one, part, confidence) for one in (own, champion)))
    values = PER_IMAGE[metric](own, part) - PER_IMAGE[metric](champion, part)
    return difference(values, confidence, largest=2.0 if metric == "drop" else 1.0)


def _accuracy(predictions: Predictions, part: Part) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = predictions.correct[part.where].mean(0)
    return shares


def _agreement(predictions: Predictions, part: Part) -> NDArray[np.float64]:
    same = predictions.classes == predictions.classes[0]  # row 0 is raw
    shares: NDArray[np.float64] = same[part.where].mean(0)
    return shares


def _drop(predictions: Predictions, part: Part) -> NDArray[np.float64]:
    right = predictions.correct[:, part.images].astype(np.float64)
    drop: NDArray[np.float64] = right[0] - right[part.rows].mean(0)
    return drop


def _calibration_error(predictions: Predictions, part: Part, confidence: float) -> Estimate:
    """Return the sum over bins of |accuracy - confidence|, weighted by their predictions (Guo et al., equation 3).

    With the true sign of each bin's gap, the error is the mean over predictions of sign * gap. The measured error takes
    the signs that make this mean largest. So the upper bound of the measured mean, of values whose absolute value is
    |gap|, is also one for the true error. The lower bound is only an indication.
    """
    sure = predictions.confidence[part.where]
    gap = predictions.correct[part.where] - sure  # [V, N]
    bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    error = float(np.abs(np.bincount(bins.ravel(), gap.ravel())).sum()) / gap.size
    size = max(error, float(np.abs(gap).mean()))
    estimate = signed((size + error) / 2, (size - error) / 2, gap.shape[1], confidence)
    return replace(estimate, low=max(0.0, estimate.low))


def _error_difference(own: Estimate, champion: Estimate) -> Estimate:
    """Return the difference of two errors >= 0. The interval is that of different images, which is at least as wide."""
    value = own.value - champion.value
    more, other = own.with_more, champion.with_more
    return Estimate(
        value,
        value - math.hypot(own.value - own.low, champion.high - champion.value),
        value + math.hypot(own.high - own.value, champion.value - champion.low),
        lambda factor: _error_difference(more(factor), other(factor)) if more and other else exact(value),
    )


PER_IMAGE: dict[str, Callable[[Predictions, Part], NDArray[np.float64]]] = {  # [N]
    "accuracy": _accuracy,
    "agreement": _agreement,
    "drop": _drop,
}
