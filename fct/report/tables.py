"""The tables of the page. A line is a mapping from the title of a column to the text of its cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fct.gate.checks import closeness
from fct.gate.measures import measure
from fct.gate.params import CheckParams
from fct.gate.trainings import Spread
from fct.report.facts import Facts
from fct.report.units import as_measured, interval

COLUMNS = 8  # largest number in the heat map, besides raw


def check_line(check: Mapping[str, Any], images: int) -> dict[str, Any]:
    """Return what the page says about a check of the verdict, which was made on `images` images."""
    name: str = check["name"]
    value, low, high = (as_measured(name, check[key]) for key in ("value", "low", "high"))
    exact = check["low"] == check["high"]
    measured = check.get("images", 0)  # 0 for a value of the file
    sample = f", on {measured:,} images" if 0 < measured < images else ""
    return {
        "name": name.replace("_", " ") + sample,
        "value": value,
        "interval": "" if exact else f"{low} to {high}",
        "needed": f"{check['direction']} {as_measured(name, check['threshold'], rounded=False)}",
        "passed": check["passed"],
        "close": closeness(check).strip(),
    }


def spread(facts: Facts) -> list[dict[str, str]]:
    """Return how much each value differs between trainings; nothing if no trainings were measured."""
    lines = []
    for name, values in facts.trainings.values.items():
        of_values = Spread.of(values)
        lines.append(
            {
                "value": name.replace("_", " "),
                "mean": as_measured(name, of_values.mean),
                "deviation": f"{100 * of_values.deviation:.2f} points",
                "lowest to highest": f"{as_measured(name, of_values.lowest)} to {as_measured(name, of_values.highest)}",
            }
        )
    return lines


def summary(facts: Facts) -> list[dict[str, str]]:
    """Return the numbers of each model at the head of the page, in percent."""
    lowest = f"q{facts.flips_at}"
    slices = {"raw": "raw", "mean over qualities": "mean", f"quality {facts.flips_at}": lowest}
    if facts.evaluate.judged_unseen:
        slices["unseen distortions"] = "unseen"
    ece = CheckParams(slice="mean", metric="ece", at_most=1)
    return [
        {
            "model": name,
            **{
                title: interval(
                    measure(CheckParams(slice=part, metric="accuracy", at_least=0), predictions, facts.evaluate)
                )
                for title, part in slices.items()
            },
            "calibration error": f"{100 * measure(ece, predictions, facts.evaluate).value:.1f}",
        }
        for name, predictions in facts.predictions.items()
    ]


def heat(facts: Facts) -> dict[str, Any]:
    """Return accuracy by class and quality, in percent, each with the colour of its cell."""
    predictions = facts.predictions[facts.name]
    qualities = sorted(predictions.qualities)
    columns = [qualities[index] for index in np.unique(np.linspace(0, len(qualities) - 1, COLUMNS).astype(int))]
    views = [*(f"q{quality}" for quality in columns), "raw"]
    lines = []
    for index, name in enumerate(facts.classes):
        in_class = predictions.labels == index
        values = [float(predictions.correct[predictions.views.index(view)][in_class].mean()) for view in views]
        lines.append({"name": name, "cells": [{"text": f"{100 * v:.0f}", "colour": _colour(v)} for v in values]})
    return {"columns": [*(f"Q{quality}" for quality in columns), "raw"], "rows": lines}


def _colour(value: float) -> str:
    """Return a colour from orange (an accuracy of one half or less) to white (1)."""
    share = min(1.0, max(0.0, 2 * value - 1))
    red, green, blue = (round(low + (255 - low) * share) for low in (230, 140, 60))
    return f"rgb({red},{green},{blue})"
