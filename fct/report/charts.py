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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#666666",
)  # of Okabe and Ito: nearly everyone can distinguish them
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

    return svg(draw, "Accuracy against JPEG quality")


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

    return svg(draw, "Calibration", width=4.5, height=4.5)


def distortion(features: Mapping[str, Mapping[str, float]]) -> str:
    """Draw how far compression moves each layer's feature, in percent of the variance, against quality."""

    def draw(axes: Axes) -> None:
        for colour, (layer, values) in zip(cycle(COLOURS), features.items(), strict=False):
            qualities = sorted(int(key[1:]) for key in values)
            axes.plot(qualities, [100 * values[f"q{q}"] for q in qualities], marker="o", color=colour, label=layer)
        axes.set(xlabel="JPEG quality", ylabel="distortion, % of the variance", ylim=(0, None))
        axes.legend(loc="upper right", frameon=False)

    return svg(draw, "Feature distortion by layer")


def _band(axes: Axes, x: Sequence[int], estimates: Sequence[Estimate], colour: str, name: str) -> None:
    axes.plot(x, [100 * estimate.value for estimate in estimates], color=colour, marker=".", label=name)
    low, high = ([100 * getattr(estimate, part) for estimate in estimates] for part in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def svg(draw: Any, title: str, *, width: float = 6, height: float = 3.8) -> str:
    """Return the axes that `draw` fills as an SVG element.

    Args:
        draw: takes the axes.
        title: what a screen reader reads.
        width: inches. More makes the letters too small on a telephone.
        height: inches.
    """
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
