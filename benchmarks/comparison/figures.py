"""The comparison's figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.comparison.distortion import distortion_points, rank_correlation
from benchmarks.comparison.records import Runs
from benchmarks.comparison.settings import Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OF_METHOD = {  # Okabe and Ito's colours, by the library's name of the method
    "standard": "#999999",
    "augment": "#e69f00",
    "pair": "#0072b2",
    "jsd": "#cc79a7",
    "stability": "#56b4e9",
    "distill": "#000000",
    "fct": "#d55e00",
    "fct-r": "#009e73",
}
# Of the file's methods; of a data set's own all are shown. The tables have all.
SHOWN = ("standard", "augment-2x", "pair", "pair-own", "jsd", "distill-own", "fct-own", "fct-r-own-estimate")
LABEL = (0.6, 0.2)  # points of accuracy that a label covers
LIGHT = "#56b4e9"  # of pair beside pair-own
AXES = ("raw", "q10")  # of the trade-off
BELOW = 2.4  # points that an entry may lie below the control: with `standard` or a specialist all else would be a blot


def draw_tradeoff(dataset: str, runs: dict[str, Runs], summary: dict[str, Any], folder: Path) -> None:
    """Write comparison-<dataset>-tradeoff.png: accuracy on raw images against accuracy at Q10, a point an entry.

    A line joins what differs by how often low qualities are drawn: which way a method can be moved, and at what price.
    """
    figure = _figure(9, 6.5)
    axes = figure.subplots()
    entries = summary["methods"] | summary["ablations"]
    points = {name: tuple(100 * each[column]["mean"] for column in AXES) for name, each in entries.items()}
    if control := points.get("pair"):
        least = np.subtract(control, BELOW)
        points = {name: point for name, point in points.items() if np.all(point >= least)}
    label: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8}
    for name, point in points.items():
        marker = "o" if name in summary["methods"] else "^"
        axes.plot(*point, marker=marker, color=_colour(runs[name]))
        text = f"{name} ({len(runs[name].seeds)})"
        axes.annotate(text, point, xytext=(5, -9 if _crowded(point, points.values()) else 3), **label)
        for other, end in points.items():
            if _differ_by_sampler(runs[name], runs[other]):
                axes.plot(*zip(point, end, strict=True), color=_colour(runs[name]), linewidth=1, alpha=0.5)
    axes.set(xlabel="accuracy on raw images, %", ylabel="accuracy at Q10, %")
    axes.set_title(
        f"{dataset}, test images {_split(runs)}; circles: methods, triangles: ablations; (seeds)\n"
        f"lines: from uniform to low qualities; not shown: what is more than {BELOW} points behind `pair` on an axis",
        fontsize=10,
    )
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / f"comparison-{dataset}-tradeoff.png", dpi=110)


def draw_distortion(dataset: str, runs: dict[str, Runs], names: Iterable[str], folder: Path) -> None:
    """Write comparison-<dataset>-distortion.png: how far features move, against the accuracy lost and against accuracy.

    Args:
        dataset: its name.
        runs: all of its entries.
        names: the entries that are shown.
        folder: of the figure.
    """
    points = distortion_points({name: runs[name] for name in names})
    figure = _figure(11, 4.8)
    both = figure.subplots(1, 2)
    for axes, column in zip(both, ("loss", "q10"), strict=True):
        for name, point in points.items():
            axes.plot(point["distortion"], point[column], marker="o", color=_colour(runs[name]))
        rank = rank_correlation(points, column)
        axes.set(xlabel="feature distortion at Q10, mean over layers", title=f"rank correlation {rank:+.2f}")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    both[0].set(ylabel="points of accuracy lost from raw to Q10")
    both[1].set(ylabel="accuracy at Q10, %")
    shown = {str(runs[name].first["settings"]["method"]["name"]): _colour(runs[name]) for name in points}
    for method, colour in shown.items():
        both[1].plot([], [], marker="o", linestyle="", color=colour, label=method)
    both[1].legend(frameon=False, fontsize=8)
    figure.suptitle(f"{dataset}, test images {_split(runs)}; a point a method or ablation, mean over its seeds")
    figure.savefig(folder / f"comparison-{dataset}-distortion.png", dpi=100)


def _figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, that no window shows."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _crowded(point: tuple[float, ...], points: Iterable[tuple[float, ...]]) -> bool:
    """Return whether a label above `point` would lie over that of a point closely above it."""
    return any(abs(x - point[0]) < LABEL[0] and 0 < y - point[1] < LABEL[1] for x, y in points)


def draw(dataset: str, runs: dict[str, Runs], summary: dict[str, Any], settings: Settings, folder: Path) -> None:
    """Write comparison-<dataset>.png: accuracy against quality with intervals, and below it distortion by layer."""
    shown_methods = settings.datasets[dataset].methods or SHOWN
    told = {name: summary["methods"][name] for name in shown_methods if name in summary["methods"]}
    colours = {name: LIGHT if name == "pair" and "pair-own" in told else _colour(runs[name]) for name in told}
    figure = _figure(13, 8)
    above, below = figure.subfigures(2, 1, height_ratios=[5, 4])  # type: ignore[misc]  # two of them
    accuracy, gap = above.subplots(1, 2)
    qualities = settings.measure.qualities
    for name, each in told.items():
        _line(accuracy, qualities, each, color=colours[name], label=name)
        if "versus_pair" in each and name != "standard":
            _line(gap, qualities, each["versus_pair"], color=colours[name])
    accuracy.set(xlabel="JPEG quality", ylabel="accuracy, %", title="Accuracy")
    accuracy.legend(frameon=False)
    gap.axhline(0, color=colours.get("pair", LIGHT), linewidth=1)
    gap.set(xlabel="JPEG quality", ylabel="points", title="Difference from pair, paired")
    layers, shown = settings.measure.features.layers, settings.measure.features.qualities
    for axes, layer in zip(below.subplots(1, len(layers), sharey=True, squeeze=False)[0], layers, strict=True):
        for name in told:
            records = [record["distortion"][layer] for record in runs[name].records.values()]
            means = [np.mean([record[f"q{quality}"] for record in records]) for quality in shown]
            axes.plot(shown, means, color=colours[name], marker=".")
        axes.set(xlabel="JPEG quality", title=f"Feature distortion, {layer}")
    below.axes[0].set(ylabel="over the centred variance")
    for axes in (*above.axes, *below.axes):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{dataset}, test images {_split(runs)}")
    figure.savefig(folder / f"comparison-{dataset}.png", dpi=100)


def _line(axes: Axes, qualities: Sequence[int], told: dict[str, Any], **how: Any) -> None:
    """Draw means in %, and their intervals as a band; of one seed there are none."""
    every = [told[f"q{quality}"] for quality in qualities]
    axes.plot(qualities, [100 * each["mean"] for each in every], **how)
    if all("low" in each for each in every):
        low, high = ([100 * each[key] for each in every] for key in ("low", "high"))
        axes.fill_between(qualities, low, high, color=how["color"], alpha=0.15, linewidth=0)


def _differ_by_sampler(runs: Runs, low: Runs) -> bool:
    """Return whether `runs` draw all qualities alike, `low` low ones more often, and all else is the same."""
    uniform = runs.configuration
    train = uniform["train"]
    return (
        train["quality_sampler"] == "uniform"
        and uniform | {"train": train | {"quality_sampler": "low"}} == low.configuration
    )


def _colour(runs: Runs) -> str:
    return OF_METHOD.get(runs.first["settings"]["method"]["name"], "#999999")


def _split(runs: dict[str, Runs]) -> str:
    split: str = next(iter(runs.values())).first["split"]
    return split
