"""What a line of the gate measures: a metric of a slice of the views, with its interval, alone or against a champion.

A slice is one part or several: a part averages some views of some images, and of several parts the worst counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.evaluate.intervals import Estimate, Means, average, only, resampled, unmoved, worst
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.params import CheckParams

BINS = 15  # of the confidence, 0..1: as Guo et al., "On Calibration of Modern Neural Networks", ICML 2017


@dataclass(frozen=True)
class Part:
    """Views that are averaged, over some of the images."""

    rows: list[int]
    images: NDArray[np.int64]  # which of them

    @property
    def where(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The indices of these views and images in [V, N]."""
        return np.array(self.rows)[:, None], self.images


def measure(check: CheckParams, answers: Predictions, how: EvaluateParams) -> Estimate:
    """Return the metric of a check's slice; of several parts, the worst."""
    metric = METRICS[check.metric]
    return worst((metric(answers, part).estimate(how) for part in parts(check.slice, answers)), check.direction)


def measure_difference(
    check: CheckParams, answers: Predictions, champion: Predictions, how: EvaluateParams
) -> Estimate:
    """Return how much larger the metric is than the champion's, on the same views of the same images; the worst part.

    Each image's difference is taken first, so that what is hard for both does not blur the comparison.

    Raises:
        FctError: the two have not answered the same views.
    """
    if answers.views != champion.views:
        raise FctError(f"{check.name}: the two were measured on other views: {answers.views} and {champion.views}.")
    metric = METRICS[check.metric]
    found = []
    for part in parts(check.slice, answers):
        ours, theirs = metric(answers, part), metric(champion, part)
        width = ours.columns.shape[1]

        def difference(means: Means, ours: Sum = ours, theirs: Sum = theirs, width: int = width) -> NDArray[np.float64]:
            return ours.of(means[..., :width]) - theirs.of(means[..., width:])

        columns = np.hstack([ours.columns, theirs.columns])
        found.append(unmoved(resampled(columns, difference, how), len(columns), how))
    return worst(found, check.direction)


def parts(name: str | None, answers: Predictions) -> list[Part]:
    """Return the parts of the slice of that name."""
    sweep = [row for row, view in enumerate(answers.views) if view[1:].isdecimal()]  # q5, q10, ...
    unseen: dict[str, list[int]] = {}
    for row, view in enumerate(answers.views):
        if "/" in view:
            unseen.setdefault(view.partition("/")[0], []).append(row)
    everywhere = np.arange(len(answers.labels))
    classes = [np.flatnonzero(answers.labels == each) for each in np.unique(answers.labels)]
    named = {name: [Part(rows, everywhere)] for name, rows in unseen.items()} | {
        "mean": [Part(sweep, everywhere)],
        "worst": [Part([row], everywhere) for row in sweep],
        "worst-class": [Part(sweep, images) for images in classes],
        "unseen": [Part([row for rows in unseen.values() for row in rows], everywhere)],
        "worst-unseen": [Part(rows, everywhere) for rows in unseen.values()],
    }
    return named[str(name)] if name in named else [Part([answers.views.index(str(name))], everywhere)]


@dataclass(frozen=True)
class Sum:
    """A metric as a function of means over images."""

    columns: NDArray[np.float64]  # [N, K], what each image adds
    of: Callable[[Means], NDArray[np.float64]]
    shares: NDArray[np.bool_] | None = None  # [V, N], where the metric is the share of these that hold

    def estimate(self, how: EvaluateParams) -> Estimate:
        """Return the metric with its interval."""
        if self.shares is not None:
            return average(self.shares, how)
        return unmoved(resampled(self.columns, self.of, how), len(self.columns), how)


def _share(right: NDArray[np.bool_]) -> Sum:
    return Sum(right.mean(0)[:, None], only, right)


def _accuracy(answers: Predictions, part: Part) -> Sum:
    return _share(answers.correct[part.where])


def _agreement(answers: Predictions, part: Part) -> Sum:
    same = answers.classes == answers.classes[0]  # row 0 is raw
    return _share(same[part.where])


def _drop(answers: Predictions, part: Part) -> Sum:
    right = answers.correct[:, part.images].astype(np.float64)
    return Sum((right[0] - right[part.rows].mean(0))[:, None], only)


def _ece(answers: Predictions, part: Part) -> Sum:
    """Sum over bins |accuracy - confidence|, weighted by how many answers fall into each: Guo et al., equation 3."""
    chosen = part.where
    confidence = answers.confidence[chosen]
    gap = answers.correct[chosen] - confidence  # [V, N]
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    columns = np.stack([np.where(bins == each, gap, 0).mean(0) for each in range(BINS)], axis=1)  # [N, BINS]
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
