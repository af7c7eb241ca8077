"""Tables of what `benchmarks.comparison.probes` found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.comparison.probes import SOME
from benchmarks.comparison.records import Runs
from benchmarks.markdown import table

Probed = dict[str, list[dict[str, Any]]]  # of each method, by seed
NORMS = """Batch norms with the statistics of training images of one quality, against those of the training: the gain in
points at that quality, mean over seeds.
"""
ESTIMATES = "What the estimator says of images of each quality: quantiles of 10, 50 and 90 %, mean over seeds.\n"


def probed(runs: Mapping[str, Runs]) -> str:
    """Return all tables; nothing where nothing was probed."""
    probes = {
        name: [record["probes"] for record in each.records.values() if "probes" in record]
        for name, each in runs.items()
    }
    probes = {name: each for name, each in probes.items() if each}
    return "\n".join([*_norms(runs, probes), *_told(probes), *_estimates(probes), *_misled(probes)]) if probes else ""


def _norms(runs: Mapping[str, Runs], probes: Probed) -> Iterator[str]:
    rows, qualities = [], _qualities(probes)
    for name, each in probes.items():
        own = [record["validation"] for record in runs[name].records.values() if "probes" in record]
        gains = [[probe["renormed"][q] - seed[q] for q in qualities] for probe, seed in zip(each, own, strict=True)]
        rows.append([f"`{name}`", *(f"{100 * gain:+.1f}" for gain in np.mean(gains, 0))])
    yield NORMS
    yield table(["method", *map(str.upper, qualities)], rows)


def _told(probes: Probed) -> Iterator[str]:
    told = {name: [probe["told"] for probe in each] for name, each in probes.items() if "told" in each[0]}
    if not told:
        return
    qualities = _qualities(probes)
    ways = list(next(iter(told.values()))[0][qualities[0]])
    for title, some in ((f"At {qualities[0].upper()}", qualities[:1]), ("Mean over the trained qualities", qualities)):
        rows = [
            [f"`{name}`", *(f"{100 * np.mean([seed[q][way] for seed in each for q in some]):.1f}" for way in ways)]
            for name, each in told.items()
        ]
        yield f"{title}, accuracy when blocks are told the right quality, or something else, on {SOME:,} images:\n"
        yield table(["method", *ways], rows)


def _estimates(probes: Probed) -> Iterator[str]:
    rows, qualities = [], _qualities(probes)
    for name, each in probes.items():
        if "estimates" in each[0]:
            means = [np.mean([probe["estimates"][q] for probe in each], 0) for q in qualities]
            rows.append([f"`{name}`", *(" / ".join(f"{value:.0f}" for value in mean) for mean in means)])
    if rows:
        yield ESTIMATES
        yield table(["method", *map(str.upper, qualities)], rows)


def _misled(probes: Probed) -> Iterator[str]:
    found = {name: [probe["misled"] for probe in each] for name, each in probes.items() if "misled" in each[0]}
    for name, each in found.items():
        rows = [
            [condition, *(f"{100 * np.mean([seed[condition][how] for seed in each]):.1f}" for how in ways)]
            for condition, ways in each[0].items()
        ]
        yield f"`{name}`, accuracy with the quality of the tables, its estimate, and the lower of both:\n"
        yield table(["images", *next(iter(each[0].values()))], rows)


def _qualities(probes: Probed) -> list[str]:
    return list(next(iter(probes.values()))[0]["renormed"])
