"""Renders the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fct.core.files import write_text
from fct.core.paths import REPORT
from fct.evaluate.intervals import Estimate
from fct.report import charts, tables, unseen
from fct.report.confusion import confusion
from fct.report.difference import differences
from fct.report.facts import Facts, gather_facts
from fct.report.units import share
from fct.search.plots import draw_importance, draw_tradeoff

TEMPLATE = Path(__file__).with_name("page.html.jinja")
STANDARD = "standard"  # the name of the baseline among the models


def build(others: Mapping[str, Path], path: Path = REPORT) -> Path:
    """Write the page about model/model.onnx to `path`. See `fct.report.facts.gather_facts` for `others` and errors."""
    write_text(path, render(gather_facts(others)))
    return path


def render(facts: Facts) -> str:
    """Return the page as HTML that loads nothing from elsewhere."""
    from jinja2 import Environment, StrictUndefined

    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(TEMPLATE.read_text())
    candidate, evaluate = facts.predictions[facts.name], facts.evaluate
    standard = facts.predictions.get(STANDARD) if facts.name != STANDARD else None
    return template.render(
        facts=facts,
        verdict=facts.verdict,
        rows=[tables.check_line(check, facts.verdict["split"]["images"]) for check in facts.verdict["checks"]],
        spread=tables.spread(facts),
        summary=tables.summary(facts),
        differences=differences(candidate, standard, evaluate) if standard else [],
        tradeoff=charts.svg(partial(draw_tradeoff, points=facts.tried), "Trials of the search") if facts.tried else "",
        importance=charts.svg(partial(draw_importance, shares=facts.importance), "Importance of what was searched")
        if facts.importance
        else "",
        accuracy=charts.accuracy(facts.predictions, evaluate),
        unseen=unseen.chart(facts.predictions, evaluate) if evaluate.unseen else "",
        unseen_images=len(candidate.measured(-1)),
        images=len(candidate.labels),
        calibration=charts.calibration(candidate, facts.flips_at),
        distortion=charts.distortion(facts.features) if facts.features else "",
        heat=tables.heat(facts),
        confusions={
            title: confusion(candidate, facts.classes, view)
            for title, view in (("Raw images", "raw"), (f"Quality {facts.flips_at}", f"q{facts.flips_at}"))
        },
        provenance={**facts.provenance, "latency": _latency(facts.latency)},
        flips=[
            {
                "raw": _picture(flip.raw),
                "compressed": _picture(flip.compressed),
                "caption": f"{flip.label}, predicted as {flip.predicted} ({share(flip.confidence, 0)} confidence)",
            }
            for flip in facts.flips
        ],
    )


def _latency(latency: Estimate) -> str:
    return (
        f"{latency.value:.2f} ms for one image on one thread of the machine that made this page "
        f"({latency.low:.2f} to {latency.high:.2f})"
    )


def _picture(image: NDArray[np.uint8]) -> str:
    """Return an image as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
