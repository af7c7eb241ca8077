"""Renders the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fct.core.files import write_text
from fct.core.paths import REPORT
from fct.gate.checks import closeness
from fct.gate.measures import measure
from fct.gate.params import CheckParams
from fct.gate.trainings import Spread
from fct.report import charts
from fct.report.facts import Facts, gather_facts

TEMPLATE = Path(__file__).with_name("page.html.jinja")
COLUMNS = 8  # largest number in the heat map, besides raw


def build(others: Mapping[str, Path], path: Path = REPORT) -> Path:
    """Write the page about model/model.onnx to `path`. See `fct.report.facts.gather_facts` for `others` and errors."""
    write_text(path, render(gather_facts(others)))
    return path


def render(facts: Facts) -> str:
    """Return the page as HTML that loads nothing from elsewhere."""
    from jinja2 import Environment, StrictUndefined

    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(TEMPLATE.read_text())
    candidate = facts.predictions[facts.name]
    return template.render(
        facts=facts,
        verdict=facts.verdict,
        rows=[_row(check) for check in facts.verdict["checks"]],
        spread=_spread(facts),
        summary=_summary(facts),
        accuracy=charts.accuracy(facts.predictions, facts.evaluate),
        unseen=charts.unseen(facts.predictions, facts.evaluate) if facts.evaluate.unseen else "",
        calibration=charts.calibration(candidate, facts.flips_at),
        distortion=charts.distortion(facts.features) if facts.features else "",
        heat=_heat(facts),
        flips=[
            {
                "raw": _picture(flip.raw),
                "compressed": _picture(flip.compressed),
                "caption": f"{flip.label}, predicted as {flip.predicted} ({flip.confidence:.0%} confidence)",
            }
            for flip in facts.flips
        ],
    )


def _row(check: Mapping[str, Any]) -> dict[str, Any]:
    exact = check["low"] == check["high"]
    return {
        "name": check["name"].replace("_", " "),
        "value": f"{check['value']:.4g}",
        "interval": "" if exact else f"{check['low']:.4f} to {check['high']:.4f}",
        "needed": f"{check['direction']} {check['threshold']:.4g}",
        "passed": check["passed"],
        "close": closeness(check).strip(),
    }


def _spread(facts: Facts) -> list[dict[str, str]]:
    """Return how much each value differs between trainings; nothing if no trainings were measured."""
    lines = []
    for name, values in facts.trainings.values.items():
        spread = Spread.of(values)
        lines.append(
            {
                "value": name.replace("_", " "),
                "mean": f"{spread.mean:.4f}",
                "deviation": f"{spread.deviation:.4f}",
                "lowest to highest": f"{spread.lowest:.4f} to {spread.highest:.4f}",
            }
        )
    return lines


def _summary(facts: Facts) -> list[dict[str, str]]:
    """Return the numbers of each model at the head of the page."""
    lines = []
    for name, predictions in facts.predictions.items():
        values = {
            "model": name,
            "raw": _percent(facts, "raw", name),
            "mean over qualities": _percent(facts, "mean", name),
            f"quality {facts.flips_at}": _percent(facts, f"q{facts.flips_at}", name),
        }
        if facts.evaluate.unseen:
            values["unseen distortions"] = _percent(facts, "unseen", name)
        ece = measure(CheckParams(slice="mean", metric="ece", at_most=1), predictions, facts.evaluate)
        lines.append(values | {"calibration error": f"{100 * ece.value:.1f}"})
    return lines


def _percent(facts: Facts, slice_name: str, name: str) -> str:
    estimate = measure(
        CheckParams(slice=slice_name, metric="accuracy", at_least=0), facts.predictions[name], facts.evaluate
    )
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _heat(facts: Facts) -> dict[str, Any]:
    """Return accuracy by class and quality, each with the colour of its cell."""
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


def _picture(image: NDArray[np.uint8]) -> str:
    """Return an image as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
