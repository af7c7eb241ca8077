"""The claim that was registered before its test runs, benchmarks/registered.yaml: whether the runs reach it.

It holds on a data set if every rival is beaten in every column that it names. That all intervals are above 0 is an
intersection-union test: it needs no correction for the number of rivals or columns. How large a gain is, and whether a
column is level, is held against means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator
from ruamel.yaml import YAML

from benchmarks.comparison.cells import COLUMNS, UNSEEN, difference
from benchmarks.comparison.pairs import difference_of
from benchmarks.comparison.records import REST, Runs
from benchmarks.comparison.settings import PARAMS, RunId, Settings, SummaryParams
from benchmarks.markdown import table
from fct.core import params
from fct.core.errors import FctError
from fct.core.params import Section
from fct.vcs import git

FILE = Path(__file__).parent.parent / "registered.yaml"
TITLES = COLUMNS | UNSEEN | {REST: "corruptions without noise"}


def _check_column(name: str) -> str:
    if name not in TITLES:
        raise ValueError(f"there is no column {name!r}. There are: {', '.join(TITLES)}")
    return name


Column = Annotated[str, AfterValidator(_check_column)]


class Bar(Section):
    """What is claimed on one data set."""

    seeds: list[int] = Field(min_length=2)
    rivals: list[str] = Field(min_length=1)
    gains: dict[Column, float] = Field(min_length=1)  # least share of the images; the interval is above 0, too
    level: list[Column] = Field(default=[])  # columns in which the mean is at least that of each rival
    level_with: dict[Column, list[str]] = Field(default={})  # columns in which it is at least that of one rival

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for key, values in (("seeds", self.seeds), ("rivals", self.rivals)):
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: one of {values} is there twice")
        if others := {name for names in self.level_with.values() for name in names} - set(self.rivals):
            raise ValueError(f"level_with: {', '.join(sorted(others))} is not among the rivals {self.rivals}")
        return self


class Registered(Section):
    """The variant, and what is claimed of it."""

    variant: str
    on: dict[str, Bar]  # by data set


class Row(NamedTuple):
    """One column of a claim: the rival that it was hardest against."""

    column: str
    needed: str
    told: Mapping[str, float]
    rival: str
    holds: bool


def read() -> Registered | None:
    """Return the claim; None while there is none.

    Raises:
        FctError: the file has an impossible value.
    """
    return params.read(Registered, FILE) if FILE.exists() else None


def check_known(registered: Registered, settings: Settings) -> None:
    """Check that there are the data sets and methods that the claim names.

    Raises:
        FctError: one of them is not in benchmarks/params.yaml.
    """
    for dataset, bar in registered.on.items():
        known = settings.on(dataset).methods
        if unknown := [name for name in (registered.variant, *bar.rivals) if name not in known]:
            raise FctError(f"{FILE}: on.{dataset}: {PARAMS} has no method {', '.join(unknown)} on this data set.")


def missing(registered: Registered, dataset: str, runs: Mapping[str, Runs]) -> list[RunId]:
    """Return the runs that the claim needs on a data set and that are not there."""
    bar = registered.on[dataset]
    return [
        RunId(dataset, name, seed)
        for name in (registered.variant, *bar.rivals)
        for seed in bar.seeds
        if name not in runs or seed not in runs[name].seeds
    ]


def judge(registered: Registered, dataset: str, runs: Mapping[str, Runs], how: SummaryParams) -> list[Row]:
    """Return a row for each column of the claim, of whose runs none is missing.

    Raises:
        FctError: a column was not measured of the variant and a rival, or one of them was trained on it.
    """
    bar = registered.on[dataset]
    ours = _only(runs[registered.variant], bar.seeds)
    versus = {name: difference_of(ours, _only(runs[name], bar.seeds), how) or {} for name in bar.rivals}

    def row(column: str, rivals: Iterable[str], least: float | None) -> Row:
        found = {}
        for name in rivals:
            if column not in versus[name]:
                raise FctError(f"{FILE}: on.{dataset}: {column} was not measured of both {ours.name} and {name}.")
            found[name] = versus[name][column]
        margins = {name: _margin(each, least) for name, each in found.items()}
        hardest = min(margins, key=lambda name: margins[name])
        needed = "at least level" if least is None else f"+{100 * least:.1f}, interval above 0"
        return Row(column, needed, found[hardest], hardest, margins[hardest] >= 0)

    return [
        *(row(column, bar.rivals, least) for column, least in bar.gains.items()),
        *(row(column, bar.rivals, None) for column in bar.level),
        *(row(column, names, None) for column, names in bar.level_with.items()),
    ]


def _margin(told: Mapping[str, float], least: float | None) -> float:
    """Return by how much a difference is above what is claimed; below 0 if it is not.

    A least gain also needs an interval above 0, so its margin is the smaller one of both.
    """
    if least is None:
        return told["mean"]
    return min(told["mean"] - least, told["low"] or -math.inf)  # an interval from 0 is not above it


def document(registered: Registered, dataset: str, runs: Mapping[str, Runs], how: SummaryParams) -> str:
    """Return the verdict on one data set and a row for each column; a sentence while runs are missing."""
    if left := missing(registered, dataset, runs):
        return f"Registered in benchmarks/registered.yaml; {len(left)} of its runs are missing.\n"
    rows = judge(registered, dataset, runs, how)
    failed = [TITLES[row.column] for row in rows if not row.holds]
    bar = registered.on[dataset]
    cells = [
        [TITLES[row.column], row.needed, f"{difference(row.told)} (`{row.rival}`)", "yes" if row.holds else "no"]
        for row in rows
    ]
    verdict = f"**Not reached**: {', '.join(failed)}." if failed else "**Reached.**"
    return (
        f"{verdict} `{registered.variant}` against {len(bar.rivals)} methods, {len(bar.seeds)} seeds each. The claim, "
        "benchmarks/registered.yaml, was committed before the variant's runs were made. Each row has the rival that it "
        "was hardest against. The claim holds if every row does. That a gain is above 0 is tested, by its interval "
        "against every rival; how large it is, and whether a column is level, are means and no tests.\n\n"
    ) + table(["", "needed", "difference (from)", "holds"], cells)


def check_committed_before(registered: Registered, runs: Mapping[str, Mapping[str, Runs]]) -> None:
    """Check that the claim was committed, as it is, before each run of the variant was made, and the variant with it.

    Args:
        registered: the claim.
        runs: those of each data set of benchmarks/params.yaml that has any, by name.

    Raises:
        FctError: it was not, the variant is another one since then, or git does not know.
    """
    if _git("status", "--porcelain", "--", str(FILE)) != "":
        raise FctError(f"{FILE} is not committed as it is. Commit it before its runs are made.")
    written = (_git("log", "-1", "--format=%H", "--", str(FILE)) or "").strip()
    settings = FILE.with_name(PARAMS.name)
    read_yaml = YAML(typ="safe").load
    then, now = read_yaml(_git("show", f"{written}:./{settings.name}") or "{}"), read_yaml(settings)
    for dataset in registered.on:
        if _definition(then, dataset, registered.variant) != _definition(now, dataset, registered.variant):
            raise FctError(
                f"{settings}: datasets.{dataset}: {registered.variant} is not what it was when {FILE.name} was "
                f"committed ({written[:7]}). Put its values back, or register it anew and make its runs again."
            )
        ours = runs.get(dataset, {}).get(registered.variant)
        for seed, record in ours.records.items() if ours else ():
            made = record["commit"].partition("-")[0]
            if _git("merge-base", "--is-ancestor", written, made) is None:
                raise FctError(
                    f"{RunId(dataset, registered.variant, seed)}: it was made at commit {made}, which does not have "
                    f"{FILE.name} as it is now. Remove its record, and make the run again."
                )


def _definition(settings: Mapping[str, Any], dataset: str, name: str) -> tuple[Any, ...]:
    """Return what params.yaml, as plain values, says of a method on a data set."""
    section = settings.get("datasets", {}).get(dataset, {})
    return (section.get("methods", {}).get(name), *(section.get(key) for key in ("model", "train", "method")))


def _only(runs: Runs, seeds: Iterable[int]) -> Runs:
    """Return the runs of the seeds that the claim names, and no others."""
    return Runs(runs.name, {seed: runs.records[seed] for seed in seeds}, {seed: runs.correct[seed] for seed in seeds})


def _git(*arguments: str) -> str | None:
    return git.run("-C", str(FILE.parent), *arguments)
