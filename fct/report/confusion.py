"""The classes that the model confuses: a table of all classes, or the pairs that it confuses most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.evaluate.predictions import Predictions
from fct.report.units import share

MOST_CLASSES = 12  # of a table that fits a telephone
PAIRS = 20


def confusion(predictions: Predictions, classes: list[str], view: str) -> dict[str, Any]:
    """Return the confusions under one view.

    Returns:
        `rows` has a row per true class: its name, and a cell per predicted class with a colour, in percent of the
        images of the true class. If there are more than `MOST_CLASSES` classes, it is empty, and `pairs` has the
        `PAIRS` most frequent confusions instead.
    """
    counts = count(predictions, len(classes), view)
    if len(classes) > MOST_CLASSES:
        return {"rows": [], "pairs": _pairs(counts, classes)}
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    rows = [
        {
            "name": name,
            "cells": [
                {
                    "text": f"{100 * value:.0f}" if value >= 0.005 else "",
                    "colour": "#e8eaed" if column == row else _colour(value),
                }
                for column, value in enumerate(map(float, shares[row]))
            ],
        }
        for row, name in enumerate(classes)
    ]
    return {"rows": rows, "pairs": []}


def count(predictions: Predictions, classes: int, view: str) -> NDArray[np.int64]:
    """Return how many images of each true class got each prediction, [classes, classes], true first."""
    row = predictions.views.index(view)
    images = predictions.measured(row)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (predictions.labels[images], predictions.classes[row, images]), 1)
    return counts


def _pairs(counts: NDArray[np.int64], classes: list[str]) -> list[dict[str, str]]:
    errors = counts.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:PAIRS]
    places = zip(*np.unravel_index(order, errors.shape), strict=True)
    return [
        {
            "is": classes[true],
            "predicted as": classes[predicted],
            "images": f"{errors[true, predicted]:,}",
            "of the class": share(errors[true, predicted] / counts[true].sum()),
        }
        for true, predicted in places
        if errors[true, predicted]
    ]


def _colour(value: float) -> str:
    """Return a colour from white (no image of the class) to orange (one in five or more)."""
    strength = min(1.0, 5 * value)
    red, green, blue = (round(255 - (255 - full) * strength) for full in (230, 140, 60))
    return f"rgb({red},{green},{blue})"
