"""Whether the method is better than the best of the others, and than all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.comparison.cells import Summary, accuracy, columns_of, difference
from benchmarks.comparison.records import Runs, validation
from benchmarks.comparison.settings import CONTROL, OTHER, WITHOUT
from benchmarks.markdown import table

EVERY = "best"  # of all methods
GROUPS: dict[str, Callable[[Runs], bool]] = {
    WITHOUT: lambda runs: not runs.consistent,
    OTHER: lambda runs: not runs.own_form,
    EVERY: lambda _: True,
}
TITLES = {
    WITHOUT: "methods without feature consistency",
    OTHER: "all methods but `fct` and `fct-r`",
    EVERY: "all methods",
}
OURS = ("fct-own", "fct")  # the first that is there is asked about: whether it beats the others


def best(runs: Mapping[str, Runs]) -> dict[str, str]:
    """Return which method of each group is best on validation images, the mean of its seeds.

    One with fewer seeds than the control is left out: its rank may be due to them.
    """
    enough = len(runs[CONTROL].seeds) if CONTROL in runs else 1
    scores = {
        name: float(np.mean([validation(record) for record in each.records.values()]))
        for name, each in runs.items()
        if len(each.seeds) >= enough
    }
    found = {}
    for group, belongs in GROUPS.items():
        members = [name for name in scores if belongs(runs[name])]
        if members:
            found[group] = max(members, key=lambda name: scores[name])
    return found


def best_ones(told: Summary, runs: Mapping[str, Runs]) -> str:
    """Return a row a group: its best method on validation images, and that method's accuracy on test images."""
    columns = columns_of(told["methods"].values())
    rows = []
    for group, name in told["best"].items():
        score = 100 * np.mean([validation(record) for record in runs[name].records.values()])
        cells = [accuracy(told["methods"][name].get(column)) for column in columns]
        rows.append([TITLES[group], f"`{name}`", len(runs[name].seeds), f"{score:.1f}", *cells])
    enough = ", of those with as many seeds as `pair`" if CONTROL in told["methods"] else ""
    return (
        "Best on validation images, by the mean over raw and trained qualities and over seeds"
        f"{enough}. Distillation of features (`distill-cosine`) is feature consistency by another name.\n\n"
    ) + table(["of", "best", "seeds", "validation", *columns.values()], rows)


def beats(told: Summary, runs: Mapping[str, Runs]) -> str:
    """Return a row a column: the comparison with each group that has the lowest bound; nothing without several seeds.

    The method beats all of a group where that bound is above 0.
    """
    versus = {name: each for name, each in told["against"].items() if len(each["seeds"]) > 1}
    groups = {
        title: [name for name in versus if GROUPS[group](runs[name])]
        for group, title in TITLES.items()
        if group != EVERY
    }
    groups = {title: names for title, names in groups.items() if names}
    if not groups:
        return ""
    rows = []
    for column, title in columns_of(versus.values()).items():
        cells = []
        for names in groups.values():
            there = [name for name in names if column in versus[name]]
            lowest = min(there, key=lambda name: versus[name][column]["low"], default=None)
            cells += ["-"] if lowest is None else [f"{difference(versus[lowest][column])} (`{lowest}`)"]
        rows.append([title, *cells])
    sizes = " and ".join(str(len(names)) for names in groups.values())
    return (
        f"`{told['ours']}` against each of {sizes} methods: the difference whose interval reaches lowest, and the "
        "method that it is against. It beats all of them if even this interval lies above 0. That is an "
        "intersection-union test, which needs no correction for the number of methods.\n\n"
    ) + table(["", *groups], rows)
