"""Draw the histograms of served images beside those of the training."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from fct.monitoring.drift import Histogram

MOST = 20  # values on an axis; the others share the last place
LONGEST = 20  # characters of a value
REFERENCES = {"quality": "trained", "class": "gate split"}


def picture(histograms: Mapping[str, Histogram]) -> bytes:
    """Return a PNG with a chart for each histogram: shares of the served images, and of the reference.

    Args:
        histograms: by name, such as quality.
    """
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    content = io.BytesIO()
    with matplotlib.style.context("default"):  # not the user's matplotlibrc
        figure = Figure(figsize=(7, 4 * len(histograms)), layout="constrained")
        FigureCanvasAgg(figure)
        for place, (name, histogram) in enumerate(histograms.items(), 1):
            axes = figure.add_subplot(len(histograms), 1, place)
            values, served, reference = _largest(histogram)
            positions = np.arange(len(values))
            axes.bar(positions - 0.2, served, 0.4, label=f"served, {histogram.served.sum():,} images")
            axes.bar(positions + 0.2, reference, 0.4, label=REFERENCES.get(name, "reference"))
            axes.set_xticks(positions, values, rotation=45, ha="right", parse_math=False)
            axes.set(ylabel="share of images", title=f"By {name}")
            axes.legend()
        figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    return content.getvalue()


def _largest(histogram: Histogram) -> tuple[list[str], list[float], list[float]]:
    """Return values, served shares and reference shares: all, or the largest and the sum of the others."""
    pairs = list(zip(histogram.values, histogram.shares.tolist(), histogram.reference.tolist(), strict=True))
    if len(pairs) > MOST:
        pairs.sort(key=lambda pair: -max(pair[1:]))
        others = pairs[MOST - 1 :]
        pairs = [*pairs[: MOST - 1], ("others", sum(pair[1] for pair in others), sum(pair[2] for pair in others))]
    names = [name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..." for name, _, _ in pairs]
    return names, [pair[1] for pair in pairs], [pair[2] for pair in pairs]
