"""Whether one model is not worse than another, on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 9999
BATCH = 1 << 22  # indices drawn at a time: 32 MiB


@dataclass(frozen=True)
class Difference:
    """Accuracy of one model less that of another, with its interval, and what it may fall to."""

    value: float
    low: float
    high: float
    margin: float

    @property
    def not_worse(self) -> bool:
        """Tell whether even the lower bound stays within the margin."""
        return self.low >= -self.margin

    def __str__(self) -> str:
        interval = f"{self.low:+.2%} to {self.high:+.2%}"
        return f"{self.value:+.2%} ({interval}; at most {self.margin:.2%} worse is allowed)"


def paired(
    candidate: NDArray[np.bool_], champion: NDArray[np.bool_], *, margin: float, confidence: float
) -> Difference:
    """Return the mean difference in accuracy, with a percentile bootstrap interval over images.

    Both models see the same images: their difference on each image is taken first, so that what is hard for both does
    not blur the comparison. An image counts with its mean over the raw view and the qualities.

    Args:
        candidate: bool [1 + Q, N], whether it classified each view of each image rightly.
        champion: bool [1 + Q, N], the same for the model to compare with.
        margin: Accuracy, 0..1, by which the candidate may be worse.
        confidence: Of the two-sided interval, 0..1.
    """
    from scipy.stats import bootstrap

    each = candidate.mean(axis=0) - champion.mean(axis=0)  # [N]
    value = float(each.mean())
    if len(each) < 2 or not np.ptp(each):  # nothing to resample
        return Difference(value, value, value, margin)
    found = bootstrap(
        (each,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, BATCH // len(each)),
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(0),  # the same files give the same decision
    ).confidence_interval
    return Difference(value, float(found.low), float(found.high), margin)
