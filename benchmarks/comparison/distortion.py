"""Whether lower feature distortion goes with less accuracy lost: a point for each method and ablation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import spearmanr

from benchmarks.comparison.records import Runs
from benchmarks.comparison.settings import STANDARD, Settings

Point = dict[str, float]


def comparable(settings: Settings, runs: Mapping[str, Runs]) -> list[str]:
    """Return the entries that were trained on all qualities: not `standard`, a specialist, or beyond the budget."""
    entries = {name: each for name, each in settings.entries.items() if name in runs and name not in settings.beyond}
    compressed = [name for name in entries if runs[name].first["settings"]["method"]["name"] != STANDARD]
    return [name for name in compressed if runs[name].first["settings"]["qualities"] == list(settings.cache.qualities)]


def distortion_points(runs: Mapping[str, Runs]) -> dict[str, Point]:
    """Return for each entry, as means over its seeds: distortion at Q10, accuracy there in %, and the loss from raw."""
    points = {}
    for name, each in runs.items():
        raw, low = (100 * float(each.values([view], each.seeds).mean()) for view in ("raw", "q10"))
        points[name] = {"distortion": float(each.distortion(each.seeds).mean()), "q10": low, "loss": raw - low}
    return points


def rank_correlation(points: Mapping[str, Point], column: str) -> float:
    """Return Spearman's rank correlation of distortion and a column over the entries; nan for fewer than three."""
    if len(points) < 3:
        return float("nan")
    pairs = [(point["distortion"], point[column]) for point in points.values()]
    return float(spearmanr(pairs).statistic)


def does_lower_distortion_help(points: Mapping[str, Point]) -> str:
    """Return the correlations in words; nothing for too few entries."""
    loss, low = (rank_correlation(points, column) for column in ("loss", "q10"))
    if np.isnan(loss):
        return ""
    return (
        f"Over {len(points)} methods and ablations, the rank correlation of the distortion at Q10 is {loss:+.2f} with "
        f"the accuracy lost from raw images to Q10, and {low:+.2f} with the accuracy at Q10.\n"
    )
