"""The runs that are there, by data set and name."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison.results import Record, results_of
from fct.evaluate.unseen import UNSEEN
from fct.methods.params import WITH_CONSISTENCY

OF_MEAN = tuple(range(10, 95, 5))  # qualities of the column "mean", where a data set measures them
OF_SWEEP = (*OF_MEAN, 95)  # of QSAM's mean
KINDS = {"codecs": "codec", "decoders": "decoder"}  # columns, of kinds of distortions
NOISE = "noise"  # the corruption that seeds differ most under, so no mean of corruptions has it
REST = "rest"  # the column of all other corruptions


@dataclass(frozen=True)
class Runs:
    """All seeds of one method or ablation on one data set."""

    name: str
    records: dict[int, Record]  # by seed
    correct: dict[int, NDArray[np.bool_]]  # by seed: [conditions, images]

    @property
    def seeds(self) -> list[int]:
        """The seeds, ascending."""
        return sorted(self.records)

    @property
    def first(self) -> dict[str, Any]:
        """One record, for what is the same in all: the lowest seed's."""
        return self.records[self.seeds[0]]

    @property
    def configuration(self) -> dict[str, Any]:
        """What was trained, but for the seed: method, model, train, qualities."""
        settings = self.first["settings"]
        train = {key: value for key, value in settings["train"].items() if key != "seed"}
        return {key: settings[key] for key in ("method", "model", "qualities")} | {"train": train}

    def conditions(self, seed: int) -> list[str]:
        """Return what each row of `correct` is of, in the seed's own order: raw, qualities, unseen distortions."""
        return [*self.records[seed]["test"], *self.records[seed]["unseen"]]

    def values(self, conditions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.float64]:
        """Return the share of `conditions` under which each image was classified rightly, [seeds, images]."""
        rows = {seed: [self.conditions(seed).index(name) for name in conditions] for seed in seeds}
        return np.stack([self.correct[seed][rows[seed]].mean(0) for seed in seeds])

    def by_column(self, columns: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> NDArray[np.float64]:
        """Return the values of several columns, each of its own conditions, [columns, seeds, images]."""
        return np.stack([self.values(conditions, seeds) for conditions in columns.values()])

    @property
    def columns(self) -> dict[str, list[str]]:
        """What accuracies are reported of: a column's name, and the conditions that it is the mean of.

        Each corruption has a column, and all but noise have one together.
        """
        columns = {name: [name] for name in self.first["test"]}
        columns["mean"] = [name for quality in OF_MEAN if (name := f"q{quality}") in columns]
        unseen = [condition for condition in self.first["unseen"] if not self.trained_on(kind(condition))]
        for column, of in KINDS.items():
            columns[column] = [condition for condition in unseen if UNSEEN[kind(condition)].kind == of]
        corruptions = [condition for condition in unseen if UNSEEN[kind(condition)].kind == "corruption"]
        for each in dict.fromkeys(map(kind, corruptions)):
            columns[each] = [condition for condition in corruptions if kind(condition) == each]
        columns[REST] = [condition for condition in corruptions if kind(condition) != NOISE]
        return {name: conditions for name, conditions in columns.items() if conditions}

    def trained_on(self, distortion: str) -> bool:
        """Return whether an unseen distortion is none for this method: one whose views are noise has seen noise."""
        return distortion == NOISE and self.first["settings"]["method"]["noise"] > 0

    @property
    def own_form(self) -> bool:
        """Return whether the method is `fct` or `fct-r`."""
        return self.first["settings"]["method"]["name"] in WITH_CONSISTENCY

    @property
    def consistent(self) -> bool:
        """Return whether features are pulled together; to distil features is that, under another name."""
        method = self.first["settings"]["method"]
        return self.own_form or (method["name"] == "distill" and method["match"] == "features")

    @property
    def pays_teacher(self) -> bool:
        """Return whether a network of `standard` was trained before: as a teacher, or to start from."""
        return any(self.first["settings"].get(key) for key in ("teacher", "start"))

    def distortion(self, seeds: Sequence[int], quality: str = "q10") -> NDArray[np.float64]:
        """Return the mean distortion over the layers at a quality, [seeds]."""
        layers = [[by[quality] for by in self.records[seed]["distortion"].values()] for seed in seeds]
        means: NDArray[np.float64] = np.array(layers).mean(1)
        return means


def kind(condition: str) -> str:
    """Return which distortion an unseen condition, such as webp/1, is a severity of."""
    return condition.rpartition("/")[0]


def read_runs(dataset: str, only: Container[str] | None = None) -> dict[str, Runs]:
    """Return the runs of `dataset` that are there, by name; trials and repeated runs are apart."""
    results = results_of(dataset)
    found: dict[str, Runs] = {}
    for record in results.records():
        name = record["name"]
        if record["trial"] == 0 and not record["repeat"] and (only is None or name in only):
            runs = found.setdefault(name, Runs(name, {}, {}))
            runs.records[record["seed"]] = record
            runs.correct[record["seed"]] = results.correct(record)
    return found


def read_repeated(dataset: str) -> list[Record]:
    """Return the records of runs that were made a second time, on another machine."""
    return [record for record in results_of(dataset).records() if record["repeat"]]


def validation(record: Record) -> float:
    """Return what trials are chosen by: validation accuracy, the mean of raw and of each trained quality."""
    return float(np.mean(list(record["validation"].values())))
