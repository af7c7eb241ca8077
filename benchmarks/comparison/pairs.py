"""Paired differences between methods, on the seeds and conditions that both have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison.cells import Summary
from benchmarks.comparison.records import Runs
from benchmarks.comparison.settings import SummaryParams
from benchmarks.comparison.statistics import over_seeds, over_seeds_and_images, pooled_deviation


def difference_of(runs: Runs, control: Runs, how: SummaryParams) -> Summary | None:
    """Return the paired differences from `control`, on the seeds that both have; None if there are none."""
    seeds = _common(runs, control)
    if control is runs or not seeds:
        return None
    same = _alike(runs, control)
    gaps = runs.by_column(same, seeds) - control.by_column(same, seeds)
    distortion = over_seeds(runs.distortion(seeds) - control.distortion(seeds), how.confidence).as_json()
    return {"method": control.name, "seeds": seeds} | intervals(same, gaps, how) | {"distortion": distortion}


def deviations(runs: Mapping[str, Runs]) -> dict[str, float]:
    """Return how much a difference between two methods changes from seed to seed: its deviation in each column.

    All pairs of methods count that have seeds in common, as many times as they have such seeds, less one.
    """
    samples: dict[str, list[NDArray[np.float64]]] = {}
    for one, other in combinations(runs.values(), 2):
        if len(seeds := _common(one, other)) > 1:
            same = _alike(one, other)
            gaps = one.by_column(same, seeds).mean(2) - other.by_column(same, seeds).mean(2)
            for name, gap in zip(same, gaps, strict=True):
                samples.setdefault(name, []).append(gap)
    found = {name: pooled_deviation(each) for name, each in samples.items()}
    return {name: round(value, 5) for name, value in found.items() if value is not None}


def _common(runs: Runs, other: Runs) -> list[int]:
    return [seed for seed in runs.seeds if seed in other.seeds]


def _alike(runs: Runs, other: Runs) -> dict[str, list[str]]:
    """Return the columns that both have, of the same conditions."""
    return {name: conditions for name, conditions in runs.columns.items() if other.columns.get(name) == conditions}


def intervals(columns: Iterable[str], values: NDArray[np.float64], how: SummaryParams) -> dict[str, dict[str, float]]:
    """Return the mean of each column and its interval, of values [columns, seeds, images]."""
    found = over_seeds_and_images(values, how.confidence)
    return {name: interval.as_json() for name, interval in zip(columns, found, strict=True)}
