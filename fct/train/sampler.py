"""The probability with which each image and each trained quality is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fct.train.params import Sampler

CURRICULUM_END = 0.5  # progress at which a curriculum has reached the lowest quality


def probabilities(sampler: Sampler, qualities: Sequence[int], progress: float) -> NDArray[np.float64] | None:
    """Return the probability of each quality, [Q], or None if all are equal.

    - "uniform": all are equal.
    - "low": inversely proportional to the quality, since compression changes most at low qualities.
    - "curriculum": at first only the highest quality, then one lower quality after another. From the middle of the
      training on, all are equal.

    Args:
        sampler: one of these names.
        qualities: the trained qualities, in any order.
        progress: share of the epochs that are done, 0..1.
    """
    if sampler == "uniform":
        return None
    values: NDArray[np.float64] = np.array(qualities, np.float64)
    weights: NDArray[np.float64]
    if sampler == "low":
        weights = 1 / values
    else:
        admitted = 1 + int(min(1.0, progress / CURRICULUM_END) * (len(values) - 1))
        weights = (values >= np.sort(values)[-admitted]).astype(np.float64)
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised


def balanced(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability of each image, [N], that makes all classes in `labels` [N] equally frequent."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    probability: NDArray[np.float64] = 1 / (len(counts) * counts[classes])
    return probability
