"""The trials of the search, as tables for `dvc plots` and as drawings."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fct.search.run import Tried

COLUMNS = ("trial", "epochs", "raw", "trained", "pruned")  # `dvc plots` draws a column in one colour
NO_VALUE = "nan"  # `dvc plots` leaves it out, but would draw an empty cell as 0
Shares = Sequence[tuple[str, float]]  # of each searched value, descending


class Point(NamedTuple):
    """The accuracies of a trial on validation images after its last epoch, 0..1."""

    trial: int
    epochs: int
    raw: float
    compressed: float
    is_trained: bool  # to its end


def points_of(tried: Iterable[Tried]) -> list[Point]:
    """Return the trials that have accuracies: all but those that diverged."""
    return [
        Point(number, len(one.curve), raw, compressed, one.end == "trained")
        for number, one in enumerate(tried)
        if one.end != "diverged"
        for compressed, raw in one.curve[-1:]
    ]


def points_csv(points: Iterable[Point]) -> str:
    """Return one row per trial: raw accuracy, and compressed accuracy in the column of the trial's end."""
    rows = [
        (
            point.trial,
            point.epochs,
            f"{point.raw:.5f}",
            *(f"{point.compressed:.5f}" if shown else NO_VALUE for shown in (point.is_trained, not point.is_trained)),
        )
        for point in points
    ]
    return _csv(COLUMNS, rows)


def shares_csv(shares: Shares) -> str:
    """Return one row for each searched value: its importance."""
    return _csv(("searched", "importance"), [(name, f"{share:.5f}") for name, share in shares])


def read_points(path: Path) -> list[Point]:
    """Return what `points_csv` wrote; an empty list if there is no file."""
    points = []
    for row in _read(path):
        trained, pruned = float(row["trained"]), float(row["pruned"])
        is_trained = math.isnan(pruned)
        compressed = trained if is_trained else pruned
        points.append(Point(int(row["trial"]), int(row["epochs"]), float(row["raw"]), compressed, is_trained))
    return points


def read_shares(path: Path) -> list[tuple[str, float]]:
    """Return what `shares_csv` wrote; an empty list if there is no file."""
    return [(row["searched"], float(row["importance"])) for row in _read(path)]


def draw_tradeoff(axes: Axes, points: Sequence[Point]) -> None:
    """Draw compressed against raw accuracy of each trial, in percent; a ring marks the method of params.yaml."""
    for is_trained, colour, label in ((True, "#0072b2", "trained to the end"), (False, "#999999", "ended early")):
        if shown := [point for point in points if point.is_trained is is_trained]:
            axes.scatter(
                [100 * point.raw for point in shown], [100 * point.compressed for point in shown], c=colour, label=label
            )
    first = next((point for point in points if point.trial == 0), None)
    if first is not None:
        axes.scatter(
            [100 * first.raw],
            [100 * first.compressed],
            s=120,
            facecolors="none",
            edgecolors="#d55e00",
            label="params.yaml",
        )
    axes.set(xlabel="accuracy on raw images, %", ylabel="accuracy on compressed images, %")
    axes.legend(loc="best", frameon=False)


def draw_importance(axes: Axes, shares: Shares) -> None:
    """Draw the importance of each searched value as a bar, the largest on top."""
    names, values = zip(*reversed(shares), strict=True)
    axes.barh(names, [100 * value for value in values], color="#0072b2")
    axes.set(xlabel="importance, %")


def picture(draw: Callable[[Axes], None], title: str) -> bytes:
    """Return what `draw` draws as a PNG. The same input gives the same bytes on one version of matplotlib."""
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    content = io.BytesIO()
    with matplotlib.style.context("default"):  # not the user's matplotlibrc
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        draw(axes)
        axes.set(title=title)
        axes.grid(alpha=0.3)
        figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    return content.getvalue()


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
