"""The chart of distortions that no training has shown: by kind, with every severity, and controls apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, get_args

from fct.evaluate.intervals import Estimate
from fct.evaluate.params import CONTROLS, EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.evaluate.unseen import UNSEEN, Kind
from fct.gate.measures import measure
from fct.gate.params import CheckParams
from fct.report.charts import COLOURS, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADINGS: Mapping[Kind, str] = {
    "codec": "Other codecs",
    "corruption": "Corruptions",
    "decoder": "Decoders",
    "resizer": "Resizers",
    "colour": "Colour",
    "precision": "Precision",
    "chain": "On the way",
}
CONTROL = "Controls: these must do harm"


class Line(NamedTuple):
    """A line of the chart: a heading, or a distortion."""

    title: str
    name: str | None = None  # of the distortion


def lines(unseen: tuple[str, ...]) -> list[Line]:
    """Return the lines of the chart for these distortions, by kind, with controls at the end."""
    groups = {HEADINGS[kind]: [name for name in unseen if UNSEEN[name].kind == kind] for kind in get_args(Kind)}
    judged = {heading: [name for name in names if name not in CONTROLS] for heading, names in groups.items()}
    judged[CONTROL] = [name for name in unseen if name in CONTROLS]
    return [
        line
        for heading, names in judged.items()
        if names
        for line in (Line(heading), *(Line(UNSEEN[name].title, name) for name in names))
    ]


def severities(predictions: Predictions, name: str) -> list[float]:
    """Return the accuracy, 0..1, under each severity of a distortion, on the images that it was measured on."""
    rows = [row for row, view in enumerate(predictions.views) if view.partition("/")[0] == name]
    return [float(predictions.correct[row, predictions.measured(row)].mean()) for row in rows]


def chart(predictions: Mapping[str, Predictions], evaluate: EvaluateParams) -> str:
    """Draw accuracy under each distortion: a mark with its interval for the mean, small ones for severities."""
    shown = lines(evaluate.unseen)

    def draw(axes: Axes) -> None:
        for number, (name, of_model) in enumerate(predictions.items()):
            colour, shift = COLOURS[number % len(COLOURS)], 0.24 * (number - (len(predictions) - 1) / 2)
            for place, line in enumerate(shown):
                if line.name is not None:
                    first = name if line == next(one for one in shown if one.name) else None
                    _mark(axes, of_model, evaluate, line.name, place + shift, colour, first)
        axes.set(xlabel="accuracy, %", yticks=range(len(shown)), yticklabels=[line.title for line in shown])
        for line, label in zip(shown, axes.get_yticklabels(), strict=True):
            if line.name is None:
                label.set_fontweight("bold")
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=min(3, len(predictions)), frameon=False)

    height = 1.2 + (0.16 + 0.11 * len(predictions)) * len(shown)
    return svg(draw, "Accuracy under unseen distortions", height=height)


def _mark(  # noqa: PLR0913, PLR0917  # a mark has a place, a colour and a label
    axes: Axes,
    predictions: Predictions,
    evaluate: EvaluateParams,
    name: str,
    place: float,
    colour: str,
    label: str | None,
) -> None:
    mean: Estimate = measure(CheckParams(slice=name, metric="accuracy", at_least=0), predictions, evaluate)
    reach = [[100 * (mean.value - mean.low)], [100 * (mean.high - mean.value)]]
    axes.errorbar([100 * mean.value], [place], xerr=reach, fmt="o", markersize=5, color=colour, label=label)
    marks = [100 * value for value in severities(predictions, name)]
    if len(marks) > 1:
        axes.plot(marks, [place] * len(marks), "|", markersize=8, color=colour, alpha=0.8)
