"""Formats the differences between trainings as a table for a terminal."""

from __future__ import annotations

import numpy as np

from fct.evaluate.intervals import student
from fct.gate.trainings import Spread, Trainings


def format_spread(trainings: Trainings, confidence: float) -> str:
    """Return a table with a line for each value that the gate's lines are about.

    Args:
        trainings: at least 2 trainings.
        confidence: confidence of the interval of the mean over trainings.
    """
    width = max(map(len, trainings.values)) + 1
    heading = f"{100 * confidence:g}% of the mean"
    lines = [f"{'check':<{width}}{'mean':>8}{'deviation':>11}   {heading:<20}lowest to highest"]
    for name, values in trainings.values.items():
        spread, mean = Spread.of(values), student(np.array(values), confidence)
        interval = f"{mean.low:.4f} to {mean.high:.4f}"
        lines.append(
            f"{name:<{width}}{spread.mean:>8.4f}{spread.deviation:>11.4f}   {interval:<20}"
            f"{spread.lowest:.4f} to {spread.highest:.4f}"
        )
    return "\n".join(lines)
