"""Judge counts: whether the images that a model was asked about are like those of its training and its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fct.evaluate.intervals import Estimate, clopper_pearson
from fct.monitoring.counts import Counts
from fct.monitoring.drift import Histogram, below, class_histogram, propose, quality_histogram


@dataclass(frozen=True)
class Reference:
    """What a model was trained and judged on."""

    files: NDArray[np.int64]  # quality of each training image's file, [N], 0 without tables
    labels: NDArray[np.int64]  # of the gate split, [G]
    classes: Sequence[str]  # their names
    trained: Sequence[int]  # qualities that params.yaml trains now
    judged: Sequence[int]  # qualities that the verdict's images have


@dataclass(frozen=True)
class Limits:
    """When a difference is an alarm: if the lower bound of its interval is above the limit."""

    outside: float  # share of images below every trained quality
    distances: Mapping[str, float | None]  # by histogram; None: never
    confidence: float  # of every interval


@dataclass(frozen=True)
class Findings:
    """The comparison of a model's counts with its training."""

    counts: Counts
    histograms: Mapping[str, Histogram]  # quality, class
    distances: Mapping[str, Estimate]  # of these
    outside: Estimate  # share of images below every trained quality
    alarms: Sequence[str]  # sentences; empty if nothing is outside
    proposals: Sequence[int]  # qualities to add to cache.qualities


def judge(counts: Counts, reference: Reference, limits: Limits) -> Findings:
    """Compare the counts of a model, of at least one image, with its training and its verdict."""
    served = counts.by_quality
    histograms = {
        "quality": quality_histogram(served, reference.files, counts.qualities),
        "class": class_histogram(counts.values["class"], reference.labels, reference.classes),
    }
    distances = {name: histogram.distance(limits.confidence) for name, histogram in histograms.items()}
    below_trained = sum(below(served, counts.qualities).values())
    outside = clopper_pearson(below_trained / counts.images, counts.images, limits.confidence)
    alarms = []
    proposals: list[int] = []
    if outside.low > limits.outside:
        proposals = propose(served, [*counts.qualities, *reference.trained])
        alarms.append(_describe_outside(counts, outside, reference, proposals))
    for name, distance in distances.items():
        limit = limits.distances[name]
        if limit is not None and distance.low > limit:
            alarms.append(
                f"The distance of the histograms by {name} is {distance.value:.2f} "
                f"({distance.low:.2f} to {distance.high:.2f}), more than {limit:g} (watch.max_distance.{name})."
            )
    return Findings(counts, histograms, distances, outside, alarms, proposals)


def _describe_outside(counts: Counts, outside: Estimate, reference: Reference, proposals: Sequence[int]) -> str:
    lowest = min(counts.qualities)
    text = f"{outside} of the images have a JPEG quality below {lowest}, the lowest trained"
    if not_judged := sum(below(counts.by_quality, reference.judged).values()):
        text += f"; {not_judged:,} are below {min(reference.judged)}, the lowest that the verdict is about"
    if proposals:
        return f"{text}. Add {', '.join(map(str, proposals))} to cache.qualities."
    return f"{text}. cache.qualities reaches down to {min(reference.trained)} now: promote a model that is trained so."
