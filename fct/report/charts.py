"""The charts of the page, as SVG that loads nothing from elsewhere."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from fct.evaluate.intervals import Estimate, proportion
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.measures import measure
from fct.gate.params import CheckParams

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#666666",
)  # of Okabe and Ito: nearly everyone can tell them apart
BINS = 10  # of the reliability diagram
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "fct", "font.family": "sans-serif", "font.size": 11}


def accuracy(predictions: Mapping[str, Predictions], evaluate: EvaluateParams) -> str:
    """Draw accuracy against JPEG quality, a band for the interval and a dotted line for raw images."""

    def draw(axes: Axes) -> None:
        for colour, (name, of_model) in zip(cycle(COLOURS), predictions.items(), strict=False):
            qualities = sorted(of_model.qualities)
            estimates = [
                proportion(of_model.correct[of_model.views.index(f"q{q}")], evaluate.confidence) for q in qualities
            ]
            _band(axes, qualities, estimates, colour, name)
            axes.axhline(100 * float(of_model.correct[0].mean()), color=colour, linestyle=":", linewidth=1)
        axes.set(xlabel="JPEG quality", ylabel="accuracy, %")
        axes.legend(loc="lower right", frameon=False)

    return _svg(draw, "Accuracy against JPEG quality")


def unseen(predictions: Mapping[str, Predictions], evaluate: EvaluateParams) -> str:
    """Draw accuracy under distortions that no training has shown, with one mark per model."""
    kinds = list(evaluate.unseen)

    def draw(axes: Axes) -> None:
        for number, (name, of_model) in enumerate(predictions.items()):
            estimates = [
                measure(CheckParams(slice=kind, metric="accuracy", at_least=0), of_model, evaluate) for kind in kinds
            ]
            places = np.arange(len(kinds)) + 0.18 * (number - (len(predictions) - 1) / 2)
            values = np.array([100 * estimate.value for estimate in estimates])
            bounds = np.array(
                [
                    [100 * estimate.low for estimate in estimates],
                    [100 * estimate.high for estimate in estimates],
                ]
            )
            reach = np.abs(bounds - values)
            axes.errorbar(values, places, xerr=reach, fmt="o", color=COLOURS[number % len(COLOURS)], label=name)
        axes.set(xlabel="accuracy, %", yticks=range(len(kinds)), yticklabels=kinds)
        axes.invert_yaxis()
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(predictions), frameon=False)

    return _svg(draw, "Accuracy under unseen distortions", height=1.2 + 0.5 * len(kinds))


def calibration(predictions: Predictions, quality: int) -> str:
    """Draw the accuracy of predictions against their confidence: raw, and at one quality."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 100], [0, 100], color="#999999", linewidth=1)
        for colour, view, name in zip(COLOURS, ("raw", f"q{quality}"), ("raw", f"quality {quality}"), strict=False):
            row = predictions.views.index(view)
            confidence, correct = predictions.confidence[row], predictions.correct[row]
            bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
            full = [index for index in range(BINS) if (bins == index).sum() >= 10]
            x = [100 * float(confidence[bins == index].mean()) for index in full]
            y = [100 * float(correct[bins == index].mean()) for index in full]
            axes.plot(x, y, marker="o", color=colour, label=name)
        axes.set(xlabel="confidence, %", ylabel="accuracy, %", xlim=(0, 100), ylim=(0, 100))
        axes.legend(loc="upper left", frameon=False)

    return _svg(draw, "Calibration", width=4.5, height=4.5)


def distortion(features: Mapping[str, Mapping[str, float]]) -> str:
    """Draw how far compression moves each layer's feature, against quality."""

    def draw(axes: Axes) -> None:
        for colour, (layer, values) in zip(cycle(COLOURS), features.items(), strict=False):
            qualities = sorted(int(key[1:]) for key in values)
            axes.plot(qualities, [values[f"q{q}"] for q in qualities], marker="o", color=colour, label=layer)
        axes.set(xlabel="JPEG quality", ylabel="distortion, over the variance", ylim=(0, None))
        axes.legend(loc="upper right", frameon=False)

    return _svg(draw, "Feature distortion by layer")


def _band(axes: Axes, x: Sequence[int], estimates: Sequence[Estimate], colour: str, name: str) -> None:
    axes.plot(x, [100 * estimate.value for estimate in estimates], color=colour, marker=".", label=name)
    low, high = ([100 * getattr(estimate, part) for estimate in estimates] for part in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def _svg(draw: Any, title: str, *, width: float = 7, height: float = 4) -> str:
    """Return the axes that `draw` fills as an SVG element; a screen reader reads `title`."""
    import matplotlib.style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    content = io.StringIO()
    with matplotlib.style.context(["default", STYLE]):  # not the user's matplotlibrc
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    svg = content.getvalue()
    return svg[svg.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
