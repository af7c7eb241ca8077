"""Check the weight of a loss."""

from __future__ import annotations

import math


def check_weight(weight: float) -> float:
    """Return the weight.

    Raises:
        ValueError: the weight is not a finite number >= 0.
    """
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight) or weight < 0:
        raise ValueError(f"weight is {weight!r}; it is a number from 0.")
    return weight
