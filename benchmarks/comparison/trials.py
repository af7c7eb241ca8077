"""Trials of a method's own parameter, which validation images alone have seen."""

from __future__ import annotations

from benchmarks.comparison.records import Runs, validation
from benchmarks.comparison.results import Record, results_of
from benchmarks.comparison.settings import Settings
from benchmarks.markdown import table

Trials = dict[str, dict[int, Record]]  # records, by entry of benchmarks/params.yaml and number


def read_trials(dataset: str, runs: dict[str, Runs]) -> Trials:
    """Return the trials that are there; the chosen one, 0, is the run of seed 0, where that is there."""
    found: Trials = {}
    for record in results_of(dataset).records():
        if record["trial"]:
            found.setdefault(record["name"], {})[record["trial"]] = record
    chosen = {name: each.records[0] for name, each in runs.items() if 0 in each.records}
    return {name: ({0: chosen[name]} if name in chosen else {}) | others for name, others in found.items()}


def tried(settings: Settings, trials: Trials) -> str:
    """Return a row a trial: what it changes, its validation accuracy, and whether it is the one that is used."""
    rows = []
    for name, by_number in trials.items():
        keys = dict.fromkeys(key for each in settings.entries[name].trials for key in each)
        best = max(by_number, key=lambda number: validation(by_number[number]))
        for number, record in sorted(by_number.items()):
            told = record["settings"]["method"] | record["settings"]["train"]
            said = ", ".join(f"{key} {told[key]}" for key in keys)
            mark = "chosen" if number == 0 else "better" if number == best else ""
            rows.append([f"`{name}`", said, f"{100 * validation(record):.2f}", mark])
    return table(["method", "trial", "validation, mean of raw and trained qualities", ""], rows)
