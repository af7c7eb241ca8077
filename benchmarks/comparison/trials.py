"""What validation images alone have seen: trials of a method's parameter, and short runs with one choice changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.comparison.records import Runs, validation
from benchmarks.comparison.run import RESULTS
from benchmarks.comparison.settings import Settings
from benchmarks.markdown import table
from fct.core.errors import FctError

BASES = ("pair", "fct", "fct-r")  # methods of which short ablations change one choice, by the library's names
Record = dict[str, Any]
Records = dict[str, dict[int, Record]]  # by entry of benchmarks/params.yaml, and by seed or trial


def read_short(dataset: str) -> Records:
    """Return the short runs by name and seed."""
    return _read(dataset, "short", "seed")


def read_trials(dataset: str, runs: dict[str, Runs]) -> Records:
    """Return the trials by name and number; the chosen one, 0, is the run of seed 0, where that is there."""
    chosen = {name: each.records[0] for name, each in runs.items() if 0 in each.records}
    return {
        name: ({0: chosen[name]} if name in chosen else {}) | others
        for name, others in _read(dataset, "trials", "trial").items()
    }


def sections(settings: Settings, short: Records, trials: Records) -> Iterator[str]:
    """Yield the Markdown of both tables, as far as there is something in them."""
    bases = {name: short[name] for name in BASES if name in short}
    knobs = {name: runs for name, runs in short.items() if name in settings.ablations}
    if rows := changed(bases, knobs):
        yield (
            "### One choice changed at a time, in short runs\n\n"
            f"{settings.short.epochs} epochs in place of {settings.train.epochs}, teachers' too; accuracy in % on "
            "validation images, and the difference on the same seeds. With one seed, a difference of less than a point "
            "may be the seed's.\n"
        )
        yield rows
    if trials:
        yield "### Trials, on validation images\n"
        yield chosen(settings, trials)


def changed(bases: Records, knobs: Records) -> str:
    """Return a row an ablation, below the method of which it changes one choice; nothing without any."""
    rows: list[list[Any]] = []
    for base, unchanged in bases.items():
        of_base = {name: runs for name, runs in knobs.items() if next(iter(runs.values()))["method"]["name"] == base}
        if of_base:
            rows.append([f"`{base}`", len(unchanged), *(f"{value:.1f}" for value in _scores(unchanged).values())])
        for name, runs in of_base.items():
            seeds = runs.keys() & unchanged.keys()
            ours, theirs = (_scores({seed: each[seed] for seed in seeds}) for each in (runs, unchanged))
            cells = (f"{value:.1f} ({value - theirs[title]:+.1f})" for title, value in ours.items())
            rows.append([f"`{name}`", len(seeds), *cells])
    return table(["", "seeds", *_scores(next(iter(bases.values())))], rows) if rows else ""


def chosen(settings: Settings, trials: Records) -> str:
    """Return a row a trial: what it changes, its validation accuracy, and whether it is the one that is used."""
    rows = []
    for name, by_number in trials.items():
        tried = settings.entries[name].trials if name in settings.entries else []
        if max(by_number) >= len(tried):
            raise FctError(
                f"trials/{name}-{max(by_number)}.json: benchmarks/params.yaml has only {len(tried)} trials of {name}. "
                "Delete the file, or put the trial back."
            )
        best = max(by_number, key=lambda number: validation(by_number[number]))
        for number, record in sorted(by_number.items()):
            said = ", ".join(f"{key} {value}" for key, value in tried[number].items())
            mark = "chosen" if number == 0 else "better" if number == best else ""
            rows.append([f"`{name}`", said, f"{100 * validation(record):.2f}", mark])
    return table(["method", "trial", "validation, mean of raw and trained qualities", ""], rows)


def _read(dataset: str, folder: str, key: str) -> Records:
    found: Records = {}
    for path in sorted((RESULTS / dataset / folder).glob("*.json")):
        record = json.loads(path.read_text())
        found.setdefault(record["name"], {})[record[key]] = record
    return found


def _scores(runs: dict[int, Record]) -> dict[str, float]:
    """Return what is told of short runs, by title: means over seeds, in %."""

    def mean(of: list[Any]) -> float:
        return 100 * float(np.mean(of))

    accuracies = [record["validation"] for record in runs.values()]
    layers = [layer["q10"] for record in runs.values() for layer in record["distortion"].values()]
    return {
        "raw": mean([each["raw"] for each in accuracies]),
        "Q50": mean([each["q50"] for each in accuracies]),
        "Q10": mean([each["q10"] for each in accuracies]),
        "mean of trained qualities": mean([[each[q] for q in each if q != "raw"] for each in accuracies]),
        "distortion at Q10, % of the variance": mean(layers),
    }
