"""How often each trained quality is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fct.train.params import Sampler

OPEN_AT = 0.5  # progress at which a curriculum has reached the lowest quality


def probabilities(sampler: Sampler, qualities: Sequence[int], progress: float) -> NDArray[np.float64] | None:
    """Return the probability of each quality, [Q], or None where all are alike.

    - "uniform": all alike.
    - "low": in inverse proportion to the quality: where compression does most.
    - "curriculum": the highest alone at first, each lower one joining in turn, all alike from the middle on.

    Args:
        sampler: which of these.
        qualities: trained, in any order.
        progress: share of the epochs that lie behind, 0..1.
    """
    if sampler == "uniform":
        return None
    values: NDArray[np.float64] = np.array(qualities, np.float64)
    weights: NDArray[np.float64]
    if sampler == "low":
        weights = 1 / values
    else:
        admitted = 1 + int(min(1.0, progress / OPEN_AT) * (len(values) - 1))
        weights = (values >= np.sort(values)[-admitted]).astype(np.float64)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares
