"""Accuracy against JPEG quality, as a table for `dvc plots` and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from fct.evaluate.intervals import Summary

Sweeps = Mapping[str, Summary]  # by split name; the same qualities for every split


def table(sweeps: Sweeps) -> str:
    """Return CSV with one row per quality, ascending, and for each split its accuracy and the two bounds as columns.

    Each split has its own columns, since `dvc plots` draws one line per column.
    """
    qualities = sorted({quality for sweep in sweeps.values() for quality in sweep.curve})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["quality", *(f"{name}{part}" for name in sweeps for part in ("", "_low", "_high"))])
    for quality in qualities:
        estimates = (sweep.curve[quality] for sweep in sweeps.values())
        writer.writerow(
            [quality, *(f"{number:.6f}" for item in estimates for number in (item.value, item.low, item.high))]
        )
    return text.getvalue()


def picture(sweeps: Sweeps, confidence: float) -> bytes:
    """Return a PNG: accuracy against quality with its interval as a band, and accuracy on raw images as a dotted line.

    The same input gives the same bytes on one version of matplotlib.

    Args:
        sweeps: each becomes one line.
        confidence: the confidence of the intervals, for the caption.
    """
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    content = io.BytesIO()
    with matplotlib.style.context("default"):  # not the user's matplotlibrc
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for index, (name, sweep) in enumerate(sweeps.items()):
            colour, qualities = f"C{index}", sorted(sweep.curve)
            estimates = [sweep.curve[quality] for quality in qualities]
            axes.plot(qualities, [estimate.value for estimate in estimates], color=colour, marker=".", label=name)
            axes.fill_between(
                qualities,
                [estimate.low for estimate in estimates],
                [estimate.high for estimate in estimates],
                color=colour,
                alpha=0.2,
            )
            axes.axhline(sweep.raw.value, color=colour, linestyle=":", label=f"{name}, raw images")
        axes.set(xlabel="JPEG quality", ylabel="accuracy", title=f"Accuracy, with {100 * confidence:g}% intervals")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
        figure.savefig(
            content, format="png", dpi=100, metadata={"Software": None}
        )  # no version of matplotlib in the file
    return content.getvalue()
