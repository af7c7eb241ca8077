"""From the results to tables and figures: `python -m benchmarks.comparison summary`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.comparison import figures, registered, tables
from benchmarks.comparison.budget import costs
from benchmarks.comparison.cells import Summary, differences
from benchmarks.comparison.distortion import comparable
from benchmarks.comparison.headline import SHOWN_ON, bought, choices, headline, reached
from benchmarks.comparison.pairs import deviations, difference_of, intervals
from benchmarks.comparison.pending import check_current
from benchmarks.comparison.records import Runs, read_repeated, read_runs
from benchmarks.comparison.results import Record, datasets, results_of
from benchmarks.comparison.rivals import OURS, best
from benchmarks.comparison.settings import BEST, CONTROL, OTHER, WITHOUT, Settings, SummaryParams, read
from benchmarks.comparison.statistics import over_seeds
from benchmarks.comparison.tables import BASE, BLOCKLESS, VERSUS_OTHER, VERSUS_WITHOUT
from benchmarks.comparison.trials import read_trials
from benchmarks.markdown import between
from fct.core.errors import FctError
from fct.core.files import write_text

FRONT = Path("docs/results/index.md")
README = Path("README.md")
CHOOSING = Path("docs/how-to/choosing-a-method.md")
MARKS = ("<!-- comparison: written by `python -m benchmarks.comparison summary` -->", "<!-- comparison ends -->")
REACHED_MARKS = ("<!-- accuracies: written by `python -m benchmarks.comparison summary` -->", "<!-- accuracies end -->")
TABLES = Path("docs/results/comparison.md")
FIGURES = Path("docs/results")
OWN_CONTROL = "pair-own"  # of methods whose views have crops of their own


def write() -> None:
    """Write all of them, from what is there.

    Raises:
        FctError: a record is of other settings than benchmarks/params.yaml has now, or was made before the claim that
            it decides.
    """
    settings = read()
    runs, longer = divide(settings, {name: read_runs(name) for name in datasets()})
    trials = {name: read_trials(name, each) for name, each in runs.items()}
    for found in (*runs.values(), *longer.values()):
        check_current(settings, _records(found.values()))
    for name in runs:
        check_current(settings, [trial for by_number in trials[name].values() for trial in by_number.values()])
        check_current(settings, read_repeated(name))
    if claim := registered.read():
        registered.check_known(claim, settings)
        registered.check_committed_before(claim, runs)
    summary = {name: summarise(each, settings.on(name)) for name, each in runs.items()}
    shown, cost = runs[SHOWN_ON], costs(settings, SHOWN_ON, runs[SHOWN_ON])
    readme = between(README.read_text(), bought(summary[SHOWN_ON]), MARKS, README)
    pages = {  # all of them before one is written
        TABLES: tables.document(settings, runs, summary, trials, longer),
        FRONT: between(FRONT.read_text(), headline(settings, runs, summary), MARKS, FRONT),
        README: between(readme, reached(shown, cost), REACHED_MARKS, README),
        CHOOSING: between(CHOOSING.read_text(), choices(shown, cost), MARKS, CHOOSING),
    }
    for path, text in pages.items():
        write_text(path, text)
    for name, found in runs.items():
        figures.draw(name, found, summary[name], settings.on(name), FIGURES)
        figures.draw_tradeoff(name, found, summary[name], FIGURES)
        figures.draw_distortion(name, found, comparable(settings.on(name), found), FIGURES)


def divide(
    settings: Settings, there: dict[str, dict[str, Runs]]
) -> tuple[dict[str, dict[str, Runs]], dict[str, dict[str, Runs]]]:
    """Return the runs to compare and those beyond the budget, each by data set and name, without empty ones."""
    beyond = {dataset: settings.on(dataset).beyond for dataset in there}
    compared = {
        dataset: {name: each for name, each in runs.items() if name not in beyond[dataset]}
        for dataset, runs in there.items()
        if settings.on(dataset).methods.keys() & runs  # without any method there is nothing to compare
    }
    longer = {
        dataset: {name: runs[name] for name in beyond[dataset] if name in runs} for dataset, runs in there.items()
    }
    return compared, {dataset: runs for dataset, runs in longer.items() if runs}


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
    told = difference_of(runs[name], runs[other], settings.summary)
    if told is None:
        raise FctError(f"{name} and {other} are the same, or have no seed in common on {dataset}. Name two that have.")
    return differences({name: {"versus": told}}, "versus", {})


def summarise(runs: dict[str, Runs], settings: Settings) -> Summary:
    """Return means and differences with intervals on one data set: methods and ablations, by name."""
    control = runs.get(CONTROL)
    told = {name: _one(found, control, settings.summary) for name, found in runs.items()}
    main = [name for name in settings.methods if name in told]
    chosen = best({name: runs[name] for name in main})
    for name, each in told.items():
        for key, other in _others(name, runs, chosen, settings).items():
            if other in runs and (difference := difference_of(runs[name], runs[other], settings.summary)):
                each[key] = difference
    ours = next((name for name in OURS if name in main), None)
    rivals = [name for name in told if name != ours] if ours else []
    against = {
        name: found for name in rivals if (found := difference_of(runs[ours or ""], runs[name], settings.summary))
    }
    return {
        "best": chosen,
        "ours": ours,
        "against": against,
        "deviation": deviations({name: runs[name] for name in main}),
        "answers": [*_answers(runs, chosen, settings)],
        "methods": {name: told[name] for name in main},
        "ablations": {name: told[name] for name in settings.ablations if name in told},
    }


def _others(name: str, runs: dict[str, Runs], chosen: dict[str, str], settings: Settings) -> dict[str, str | None]:
    """Return what `name` is held against beside the control, by the key of the differences."""
    if name in settings.ablations:
        return {BASE: settings.ablations[name].of}
    if name not in settings.methods:
        return {}
    twins = (other for other in settings.methods if other in runs and differs_by_blocks(runs[name], runs[other]))
    return {
        VERSUS_WITHOUT: chosen.get(WITHOUT) if runs[name].consistent else None,
        VERSUS_OTHER: chosen.get(OTHER) if runs[name].own_form else None,
        "versus_pair_own": OWN_CONTROL if runs[name].first["settings"]["train"]["crops"] == "own" else None,
        BLOCKLESS: next(twins, None),
    }


def _answers(runs: dict[str, Runs], chosen: dict[str, str], settings: Settings) -> Iterator[Summary]:
    """Yield each claim whose runs are there, with its differences; that of the distortion is relative.

    Where two groups have the same best method, the first claim of the two stands for both.
    """
    seen = set()
    for asked in settings.claims:
        other = chosen.get(asked.other, "") if asked.other in BEST else asked.other
        ours, theirs = runs.get(asked.method), runs.get(other)
        if (asked.method, other) in seen:
            continue
        seen.add((asked.method, other))
        if ours and theirs and (versus := difference_of(ours, theirs, settings.summary)):
            gap = ours.distortion(versus["seeds"]).mean() / theirs.distortion(versus["seeds"]).mean() - 1
            yield {"question": asked.question, "method": asked.method, "versus": versus, "distortion": round(gap, 5)}


def differs_by_blocks(runs: Runs, other: Runs) -> bool:
    """Return whether `runs` are of `fct-r` and `other` of `fct`, and all else is the same."""

    def of(each: Runs) -> tuple[str, dict[str, Any]]:
        method = each.configuration["method"]
        rest = {key: value for key, value in method.items() if key not in ("name", "block")}
        return method["name"], each.configuration | {"method": rest}

    (name, ours), (other_name, theirs) = of(runs), of(other)
    return (name, other_name) == ("fct-r", "fct") and ours == theirs


def _one(runs: Runs, control: Runs | None, how: SummaryParams) -> Summary:
    told: Summary = {"seeds": runs.seeds} | intervals(runs.columns, runs.by_column(runs.columns, runs.seeds), how)
    told["distortion"] = over_seeds(runs.distortion(runs.seeds), how.confidence).as_json()
    if control is not None and (difference := difference_of(runs, control, how)):
        told["versus_pair"] = difference
    return told


def _records(runs: Iterable[Runs]) -> list[Record]:
    return [record for each in runs for record in each.records.values()]
