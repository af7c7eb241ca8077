"""The comparison's figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.records import Runs
from benchmarks.comparison.settings import Settings

SHOWN = ("standard", "augment-2x", "pair", "fct", "fct-r")  # in the figures; the tables have all
COLOURS = dict(zip(SHOWN, ("#999999", "#e69f00", "#0072b2", "#d55e00", "#009e73"), strict=True))  # Okabe and Ito


def draw(dataset: str, runs: dict[str, Runs], summary: dict[str, Any], settings: Settings, folder: Path) -> None:
    """Write comparison-<dataset>.png: accuracy against quality with intervals, and distortion by layer."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    told = {name: summary["methods"][name] for name in SHOWN if name in summary["methods"]}
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    qualities = settings.measure.qualities
    for name, each in told.items():
        points = np.array([[each[f"q{q}"][key] for key in ("low", "mean", "high")] for q in qualities]) * 100
        left.plot(qualities, points[:, 1], color=COLOURS[name], label=name)
        left.fill_between(qualities, points[:, 0], points[:, 2], color=COLOURS[name], alpha=0.15, linewidth=0)
        if "versus_pair" in each and name != "standard":
            gaps = np.array([[each["versus_pair"][f"q{q}"][k] for k in ("low", "mean", "high")] for q in qualities])
            middle.plot(qualities, 100 * gaps[:, 1], color=COLOURS[name], label=name)
            middle.fill_between(
                qualities, 100 * gaps[:, 0], 100 * gaps[:, 2], color=COLOURS[name], alpha=0.15, linewidth=0
            )
    left.set(xlabel="JPEG quality", ylabel="accuracy, %", title="Accuracy")
    middle.axhline(0, color=COLOURS["pair"], linewidth=1)
    middle.set(xlabel="JPEG quality", ylabel="points", title="Difference from pair, paired")
    left.legend(frameon=False)
    layers = list(next(iter(runs.values())).first["distortion"])
    width = 0.8 / max(1, len(told))
    for index, name in enumerate(told):
        heights = [
            np.mean([record["distortion"][layer]["q10"] for record in runs[name].records.values()]) for layer in layers
        ]
        right.bar(np.arange(len(layers)) + index * width, heights, width, color=COLOURS[name], label=name)
    right.set_xticks(np.arange(len(layers)) + 0.4 - width / 2, layers)
    right.set(ylabel="over the centred variance", title="Feature distortion at Q10")
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{dataset}, held-out test images")
    figure.savefig(folder / f"comparison-{dataset}.png", dpi=110)
    plt.close(figure)
