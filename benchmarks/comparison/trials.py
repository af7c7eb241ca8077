"""Trials, which are short and see validation images alone: one choice of a method changed, or its own parameter."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks.comparison.records import validation
from benchmarks.comparison.run import RESULTS
from benchmarks.comparison.settings import Settings
from benchmarks.markdown import table
from fct.core.errors import FctError

BASES = ("pair", "fct", "fct-r")  # methods of which ablations change one choice, by the library's names
CAUTION = "One seed: a difference of less than a point may be the seed's.\n"
Record = dict[str, Any]
Trials = dict[str, dict[int, Record]]  # by entry of benchmarks/params.yaml and number


def read_trials(dataset: str) -> Trials:
    """Return the records that are there."""
    found: Trials = {}
    for path in sorted((RESULTS / dataset / "trials").glob("*.json")):
        record = json.loads(path.read_text())
        found.setdefault(record["name"], {})[record["trial"]] = record
    return found


def sections(settings: Settings, trials: Trials) -> list[str]:
    """Return the Markdown of a table of knobs and of one of the methods' own parameters, as far as there are trials."""
    parts = []
    about = (
        f"{settings.short.epochs} epochs in place of {settings.train.epochs}, teachers' too, and validation images. "
    )
    knobs = {name: tried[0] for name, tried in trials.items() if name in settings.ablations}
    own = {name: tried for name, tried in trials.items() if name in settings.methods}
    if rows := changed({name: own[name][0] for name in BASES if 0 in own.get(name, {})}, knobs):
        parts += ["### One choice changed at a time\n", about + CAUTION, rows]
    if own:
        parts += ["### Each method's own parameter\n", about + CAUTION, chosen(settings, own)]
    return parts


def changed(bases: dict[str, Record], knobs: dict[str, Record]) -> str:
    """Return a row a knob, with differences from the method of which it changes one choice; nothing without any."""
    rows = []
    for base, unchanged in bases.items():
        reference = _scores(unchanged)
        of_base = {name: _scores(record) for name, record in knobs.items() if record["method"]["name"] == base}
        if of_base:
            rows.append([f"`{base}`", *(f"{value:.1f}" for value in reference.values())])
        for name, scores in of_base.items():
            cells = (f"{value:.1f} ({value - reference[column]:+.1f})" for column, value in scores.items())
            rows.append([f"`{name}`", *cells])
    return table(["", *_scores(next(iter(bases.values())))], rows) if rows else ""


def chosen(settings: Settings, trials: Trials) -> str:
    """Return a row a trial: what it tries, its accuracy, which one the runs have, and which other would be better."""
    rows = []
    for name, by_number in trials.items():
        tried = settings.methods[name].trials
        if max(by_number) >= len(tried):
            raise FctError(
                f"trials/{name}-{max(by_number)}.json: benchmarks/params.yaml has only {len(tried)} trials of {name}. "
                "Delete the file, or put the trial back."
            )
        best = max(by_number, key=lambda number: validation(by_number[number]))
        for number, record in sorted(by_number.items()):
            said = ", ".join(f"{key} {value}" for key, value in tried[number].items())
            mark = "of the runs" if number == 0 else "better" if number == best else ""
            rows.append([f"`{name}`", said, f"{100 * validation(record):.2f}", mark])
    return table(["method", "trial", "mean of raw and trained qualities", ""], rows)


def _scores(record: Record) -> dict[str, float]:
    """Return what is told of a knob, by title, in %."""
    accuracy = record["validation"]
    compressed = [value for name, value in accuracy.items() if name != "raw"]
    found = {
        "raw": accuracy["raw"],
        "Q50": accuracy["q50"],
        "Q10": accuracy["q10"],
        "mean of trained qualities": np.mean(compressed),
        "distortion at Q10, % of the variance": np.mean([layer["q10"] for layer in record["distortion"].values()]),
    }
    return {title: 100 * float(value) for title, value in found.items()}
