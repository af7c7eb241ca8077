"""From the results to tables and figures: `python -m benchmarks.comparison summary`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison import figures, tables
from benchmarks.comparison.headline import headline
from benchmarks.comparison.pending import check_current
from benchmarks.comparison.records import Runs, read_repeated, read_runs, validation
from benchmarks.comparison.results import Record, datasets, results_of
from benchmarks.comparison.settings import Settings, SummaryParams, read
from benchmarks.comparison.statistics import Sample, over_seeds, over_seeds_and_images
from benchmarks.comparison.tables import BASE, BLOCKLESS
from benchmarks.comparison.trials import read_trials
from benchmarks.markdown import between
from fct.core.errors import FctError
from fct.core.files import write_text
from fct.methods.params import WITH_CONSISTENCY

FRONT = Path("docs/results/index.md")
BEGIN, END = "<!-- comparison: written by `python -m benchmarks.comparison summary` -->", "<!-- comparison ends -->"
TABLES = Path("docs/results/comparison.md")
FIGURES = Path("docs/results")
CONTROL = "pair"
OWN_CONTROL = "pair-own"  # of methods whose views have crops of their own


def write() -> None:
    """Write all of them, from what is there.

    Raises:
        FctError: a record is of other settings than benchmarks/params.yaml has now.
    """
    settings = read()
    there = {name: read_runs(name) for name in datasets()}
    runs = {  # without any method there is nothing to compare
        name: each for name, each in there.items() if settings.on(name).methods.keys() & each
    }
    trials = {name: read_trials(name, each) for name, each in runs.items()}
    for name, found in runs.items():
        check_current(settings, _records(found.values()))
        check_current(settings, [trial for by_number in trials[name].values() for trial in by_number.values()])
        check_current(settings, read_repeated(name))
    summary = {name: summarise(each, settings.on(name)) for name, each in runs.items()}
    write_text(TABLES, tables.document(settings, runs, summary, trials))
    write_text(FRONT, with_block(FRONT.read_text(), headline(settings, runs, summary)))
    for name, found in runs.items():
        figures.draw(name, found, summary[name], settings.on(name), FIGURES)
        figures.draw_tradeoff(name, found, summary[name], FIGURES)


def compare(dataset: str, name: str, other: str) -> str:
    """Return a table of one row: the paired differences of `name` from `other`, on the seeds that both have.

    Raises:
        FctError: one of them has no runs on `dataset`, they have no seed in common, or a record is of other settings
            than benchmarks/params.yaml has now.
    """
    settings, runs = read(), read_runs(dataset, {name, other})
    if unknown := [each for each in (name, other) if each not in runs]:
        known = ", ".join(dict.fromkeys(record["name"] for record in results_of(dataset).records())) or "none"
        raise FctError(f"{dataset} has no runs of {', '.join(unknown)}. There are runs of: {known}.")
    check_current(settings, _records([runs[name], runs[other]]))
    told = _versus(runs[name], runs[other], settings.summary)
    if told is None:
        raise FctError(f"{name} and {other} are the same, or have no seed in common on {dataset}. Name two that have.")
    return tables.differences({name: {"versus": told}}, "versus")


def with_block(text: str, block: str) -> str:
    """Return `text` with what stands between its markers replaced."""
    return between(text, block, (BEGIN, END), FRONT)


def summarise(runs: dict[str, Runs], settings: Settings) -> dict[str, Any]:
    """Return means and differences with intervals on one data set: methods, ablations, and what is beyond, by name."""
    control = runs.get(CONTROL)
    told = {name: _one(found, control, settings.summary) for name, found in runs.items()}
    main = [name for name in settings.methods if name in told]
    rival = best_other({name: runs[name] for name in main})
    for name, each in told.items():
        for key, other in _others(name, runs, rival, settings).items():
            if other in runs and (difference := _versus(runs[name], runs[other], settings.summary)):
                each[key] = difference
    return {
        "rival": rival,
        "answers": [*_answers(runs, rival, settings)],
        "methods": {name: told[name] for name in main},
        "ablations": {name: told[name] for name in settings.ablations if name in told},
        "beyond": {name: told[name] for name in settings.beyond if name in told},
    }


def _others(name: str, runs: dict[str, Runs], rival: str | None, settings: Settings) -> dict[str, str | None]:
    """Return what `name` is held against beside the control, by the key of the differences."""
    if name in settings.ablations:
        return {BASE: settings.ablations[name].of}
    if name not in settings.methods:
        return {}
    twins = (other for other in settings.methods if other in runs and differs_by_blocks(runs[name], runs[other]))
    return {
        "versus_rival": rival,
        "versus_pair_own": OWN_CONTROL if runs[name].first["settings"]["train"]["crops"] == "own" else None,
        BLOCKLESS: next(twins, None),
    }


def best_other(runs: dict[str, Runs]) -> str | None:
    """Return which method without consistency of features is best on validation images, the mean of its seeds.

    One with fewer seeds than the control is left out: its rank may be due to them.
    """
    enough = len(runs[CONTROL].seeds) if CONTROL in runs else 1
    others = {
        name: np.mean([validation(record) for record in each.records.values()])
        for name, each in runs.items()
        if each.first["settings"]["method"]["name"] not in WITH_CONSISTENCY and len(each.seeds) >= enough
    }
    return max(others, key=lambda name: others[name], default=None)


def _answers(runs: dict[str, Runs], rival: str | None, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield each claim whose runs are there, with its differences; that of the distortion is relative."""
    for claim in settings.claims:
        ours, theirs = runs.get(claim.method), runs.get(claim.other or rival or "")
        if ours and theirs and (versus := _versus(ours, theirs, settings.summary)):
            gap = ours.distortion(versus["seeds"]).mean() / theirs.distortion(versus["seeds"]).mean() - 1
            yield {"question": claim.question, "method": claim.method, "versus": versus, "distortion": round(gap, 5)}


def differs_by_blocks(runs: Runs, other: Runs) -> bool:
    """Return whether `runs` are of `fct-r` and `other` of `fct`, and all else is the same."""

    def of(each: Runs) -> tuple[str, dict[str, Any]]:
        method = each.configuration["method"]
        rest = {key: value for key, value in method.items() if key not in ("name", "block")}
        return method["name"], each.configuration | {"method": rest}

    (name, ours), (other_name, theirs) = of(runs), of(other)
    return (name, other_name) == ("fct-r", "fct") and ours == theirs


def _one(runs: Runs, control: Runs | None, how: SummaryParams) -> dict[str, Any]:
    told: dict[str, Any] = {"seeds": runs.seeds} | _intervals(
        runs.columns, runs.sample(runs.columns, runs.seeds, how), how
    )
    told["distortion"] = over_seeds(runs.distortion(runs.seeds), how).as_json()
    if control is not None and (difference := _versus(runs, control, how)):
        told["versus_pair"] = difference
    return told


def _versus(runs: Runs, control: Runs, how: SummaryParams) -> dict[str, Any] | None:
    """Return the paired differences from `control`, on the seeds that both have; None if there are none."""
    seeds = [seed for seed in runs.seeds if seed in control.seeds]
    if control is runs or not seeds:
        return None
    same = {name: conditions for name, conditions in runs.columns.items() if control.columns.get(name) == conditions}
    differences = runs.sample(same, seeds, how).minus(control.sample(same, seeds, how))
    distortion = over_seeds(runs.distortion(seeds) - control.distortion(seeds), how).as_json()
    return {"method": control.name, "seeds": seeds} | _intervals(same, differences, how) | {"distortion": distortion}


def _intervals(columns: Iterable[str], sample: Sample, how: SummaryParams) -> dict[str, dict[str, float]]:
    found = over_seeds_and_images(sample, how)
    return {name: interval.as_json() for name, interval in zip(columns, found, strict=True)}


def _records(runs: Iterable[Runs]) -> list[Record]:
    return [record for each in runs for record in each.records.values()]
