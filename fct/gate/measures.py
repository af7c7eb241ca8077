"""Measures a metric on a slice of the views, with its interval, for one model or for its difference from a champion.

A slice has one or several parts. A part is the mean over some views of some images. Of several parts the worst counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.evaluate.intervals import Estimate, Means, average, only, resampled, widen_point, worst
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.params import CheckParams

BINS = 15  # of the confidence 0..1, as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017


@dataclass(frozen=True)
class Part:
    """Some views of some images, over which a metric is averaged."""

    rows: list[int]
    images: NDArray[np.int64]  # indices of the images

    @property
    def where(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The index of these views and images in an array [V, N]."""
        return np.array(self.rows)[:, None], self.images


def measure(check: CheckParams, predictions: Predictions, params: EvaluateParams) -> Estimate:
    """Return the metric on a check's slice. Of several parts, the worst counts."""
    metric = METRICS[check.metric]
    return worst(
        (metric(predictions, part).estimate(params) for part in parts(check.slice, predictions)), check.direction
    )


def measure_difference(
    check: CheckParams, predictions: Predictions, champion: Predictions, params: EvaluateParams
) -> Estimate:
    """Return how much larger the metric is than the champion's, on the same views of the same images.

    The differences are paired by image, so that images that are hard for both models do not widen the interval. Of
    several parts, the worst counts.

    Raises:
        FctError: the predictions of the two models are for different views.
    """
    if predictions.views != champion.views:
        raise FctError(
            f"{check.name}: the two models were measured on different views: {predictions.views} and {champion.views}."
        )
    metric = METRICS[check.metric]
    estimates = []
    for part in parts(check.slice, predictions):
        own, other = metric(predictions, part), metric(champion, part)
        width = own.columns.shape[1]

        def difference(means: Means, own: Sum = own, other: Sum = other, width: int = width) -> NDArray[np.float64]:
            return own.statistic(means[..., :width]) - other.statistic(means[..., width:])

        columns = np.hstack([own.columns, other.columns])
        estimates.append(widen_point(resampled(columns, difference, params), len(columns), params))
    return worst(estimates, check.direction)


def parts(name: str | None, predictions: Predictions) -> list[Part]:
    """Return the parts of the slice with this name."""
    sweep = [row for row, view in enumerate(predictions.views) if view[1:].isdecimal()]  # q5, q10, ...
    unseen: dict[str, list[int]] = {}
    for row, view in enumerate(predictions.views):
        if "/" in view:
            unseen.setdefault(view.partition("/")[0], []).append(row)
    everywhere = np.arange(len(predictions.labels))
    classes = [np.flatnonzero(predictions.labels == label) for label in np.unique(predictions.labels)]
    slices = {name: [Part(rows, everywhere)] for name, rows in unseen.items()} | {
        "mean": [Part(sweep, everywhere)],
        "worst": [Part([row], everywhere) for row in sweep],
        "worst-class": [Part(sweep, images) for images in classes],
        "unseen": [Part([row for rows in unseen.values() for row in rows], everywhere)],
        "worst-unseen": [Part(rows, everywhere) for rows in unseen.values()],
    }
    return slices[str(name)] if name in slices else [Part([predictions.views.index(str(name))], everywhere)]


@dataclass(frozen=True)
class Sum:
    """A metric as a function of means over images."""

    columns: NDArray[np.float64]  # [N, K], the contribution of each image to the K means
    statistic: Callable[[Means], NDArray[np.float64]]
    shares: NDArray[np.bool_] | None = None  # [V, N], if the metric is the share of True in it

    def estimate(self, params: EvaluateParams) -> Estimate:
        """Return the metric with its interval."""
        if self.shares is not None:
            return average(self.shares, params)
        return widen_point(resampled(self.columns, self.statistic, params), len(self.columns), params)


def _share(right: NDArray[np.bool_]) -> Sum:
    return Sum(right.mean(0)[:, None], only, right)


def _accuracy(predictions: Predictions, part: Part) -> Sum:
    return _share(predictions.correct[part.where])


def _agreement(predictions: Predictions, part: Part) -> Sum:
    same = predictions.classes == predictions.classes[0]  # row 0 is raw
    return _share(same[part.where])


def _drop(predictions: Predictions, part: Part) -> Sum:
    right = predictions.correct[:, part.images].astype(np.float64)
    return Sum((right[0] - right[part.rows].mean(0))[:, None], only)


def _ece(predictions: Predictions, part: Part) -> Sum:
    """Sum over bins |accuracy - confidence|, weighted by the number of predictions in each: Guo et al., equation 3."""
    chosen = part.where
    confidence = predictions.confidence[chosen]
    gap = predictions.correct[chosen] - confidence  # [V, N]
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    columns = np.stack([np.where(bins == index, gap, 0).mean(0) for index in range(BINS)], axis=1)  # [N, BINS]
    return Sum(columns, _total)


def _total(means: Means) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.abs(means).sum(-1)
    return total


METRICS: dict[str, Callable[[Predictions, Part], Sum]] = {
    "accuracy": _accuracy,
    "agreement": _agreement,
    "drop": _drop,
    "ece": _ece,
}
