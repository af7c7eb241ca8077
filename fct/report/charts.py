"""The page's charts, as SVG that needs nothing from outside."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from fct.evaluate.intervals import Estimate, wilson
from fct.evaluate.params import EvaluateParams
from fct.evaluate.predictions import Predictions
from fct.gate.measures import measure
from fct.gate.params import CheckParams

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#666666")  # Okabe and Ito: told apart by nearly every eye
BINS = 10  # of the reliability diagram
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "fct", "font.family": "sans-serif", "font.size": 11}


def accuracy(answers: Mapping[str, Predictions], how: EvaluateParams) -> str:
    """Draw accuracy against JPEG quality, a band for the interval and a dotted line for raw images."""

    def draw(axes: Axes) -> None:
        for colour, (name, each) in zip(cycle(COLOURS), answers.items(), strict=False):
            qualities = sorted(each.qualities)
            found = [wilson(each.correct[each.views.index(f"q{q}")], how.confidence) for q in qualities]
            _band(axes, qualities, found, colour, name)
            axes.axhline(100 * float(each.correct[0].mean()), color=colour, linestyle=":", linewidth=1)
        axes.set(xlabel="JPEG quality", ylabel="accuracy, %")
        axes.legend(loc="lower right", frameon=False)

    return _svg(draw, "Accuracy against JPEG quality")


def unseen(answers: Mapping[str, Predictions], how: EvaluateParams) -> str:
    """Draw accuracy under distortions that no training has shown, a mark a model."""
    kinds = list(how.unseen)

    def draw(axes: Axes) -> None:
        for number, (name, each) in enumerate(answers.items()):
            found = [measure(CheckParams(slice=k, metric="accuracy", at_least=0), each, how) for k in kinds]
            places = np.arange(len(kinds)) + 0.18 * (number - (len(answers) - 1) / 2)
            values = np.array([100 * one.value for one in found])
            bounds = np.array([[100 * one.low for one in found], [100 * one.high for one in found]])
            reach = np.abs(bounds - values)
            axes.errorbar(values, places, xerr=reach, fmt="o", color=COLOURS[number % len(COLOURS)], label=name)
        axes.set(xlabel="accuracy, %", yticks=range(len(kinds)), yticklabels=kinds)
        axes.invert_yaxis()
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(answers), frameon=False)

    return _svg(draw, "Accuracy under unseen distortions", height=1.2 + 0.5 * len(kinds))


def calibration(answers: Predictions, quality: int) -> str:
    """Draw how often answers are right against how sure the model is of them: raw, and at one quality."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 100], [0, 100], color="#999999", linewidth=1)
        for colour, view, name in zip(COLOURS, ("raw", f"q{quality}"), ("raw", f"quality {quality}"), strict=False):
            row = answers.views.index(view)
            sure, right = answers.confidence[row], answers.correct[row]
            bins = np.minimum((sure * BINS).astype(int), BINS - 1)
            full = [each for each in range(BINS) if (bins == each).sum() >= 10]
            x = [100 * float(sure[bins == each].mean()) for each in full]
            y = [100 * float(right[bins == each].mean()) for each in full]
            axes.plot(x, y, marker="o", color=colour, label=name)
        axes.set(xlabel="how sure, %", ylabel="how often right, %", xlim=(0, 100), ylim=(0, 100))
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


def _band(axes: Axes, x: Sequence[int], found: Sequence[Estimate], colour: str, name: str) -> None:
    axes.plot(x, [100 * each.value for each in found], color=colour, marker=".", label=name)
    low, high = ([100 * getattr(each, part) for each in found] for part in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def _svg(draw: Any, title: str, *, width: float = 7, height: float = 4) -> str:
    """Return what `draw` puts on a pair of axes as an SVG element that a screen reader calls `title`."""
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
    drawn = content.getvalue()
    return drawn[drawn.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
