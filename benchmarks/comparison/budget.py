"""What methods cost in full: the training of a teacher, and the time of its forward passes, count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks.comparison.cells import Summary, accuracy, columns_of, differences
from benchmarks.comparison.records import Runs
from benchmarks.comparison.results import RESULTS
from benchmarks.comparison.settings import CONTROL, STANDARD, Settings
from benchmarks.markdown import table

COST = RESULTS / "cost.json"
COST_OF = "cifar10"  # the data set that it is measured on
NEAR = 0.25  # the share by which total costs may differ that stand beside each other


class Cost(NamedTuple):
    """What one training costs.

    Attributes:
        step: the time of an image against one of `pair`.
        teacher: images that its teacher was trained with.
        total: the time of its training and its teacher's, against a training of `pair`.
    """

    parameters: int
    images: int
    steps: int
    step: float
    teacher: int
    total: float


def steps(settings: Settings, dataset: str) -> dict[str, float]:
    """Return the time of an image of each method against `pair`'s; nothing for other methods or another network."""
    own = settings.datasets[dataset]
    if own.methods or own.model or not COST.exists():
        return {}
    told: dict[str, float] = json.loads(COST.read_text())["against_pair"]
    return told


def costs(settings: Settings, dataset: str, runs: Mapping[str, Runs]) -> dict[str, Cost]:
    """Return the cost of each method, and of each ablation that only trains for longer or less long."""
    times = steps(settings, dataset)
    if CONTROL not in runs or STANDARD not in runs:
        return {}
    for name, ablation in settings.ablations.items():
        others = (ablation.method, ablation.cache, ablation.model, *ablation.trials)
        if ablation.of in times and set(ablation.train) == {"epochs"} and not any(others):
            times[name] = times[ablation.of]
    unit, teacher = _images(runs[CONTROL]), _images(runs[STANDARD])
    found = {}
    for name, each in runs.items():
        if name in times:
            cost, pays = each.first["cost"], each.pays_teacher
            total = times[name] * cost["images_forwarded"] / unit + pays * times[STANDARD] * teacher / unit
            found[name] = Cost(
                cost["parameters"], cost["images_forwarded"], cost["steps"], times[name], pays * teacher, total
            )
    return found


def in_full(told: Mapping[str, Cost]) -> str:
    """Return a row an entry: what its training costs, or what to run where it was not measured."""
    if not told or not COST.exists():
        return "Not measured yet: `python -m benchmarks.comparison cost`.\n"
    measured = json.loads(COST.read_text())
    rows = [
        [
            f"`{name}`",
            thousands(each.parameters),
            millions(each.images),
            each.steps,
            f"{measured['microseconds'][name]:.0f}" if name in measured["microseconds"] else "-",
            f"{each.step:.2f}",
            millions(each.teacher) if each.teacher else "-",
            f"{each.total:.2f}",
        ]
        for name, each in told.items()
    ]
    return (
        f"The time of a training step for each image that it forwards: {measured['machine']}, steps of all in turn, "
        f"medians of {measured['rounds']} rounds. A step has the teacher's forward passes in it. The total is the "
        "training and that of its teacher, in trainings of `pair`. The estimate of the quality is not in it.\n\n"
    ) + table(
        ["method", "parameters", "images", "steps", "us an image", "against `pair`", "teacher's images", "total"], rows
    )


def at_equal_cost(told: Summary, runs: Mapping[str, Runs], found: Mapping[str, Cost]) -> str:
    """Return accuracies of what costs about as much in total as the method; nothing if nothing without a teacher does.

    All are means over the seeds that all have.
    """
    ours = told["ours"]
    if ours not in found:
        return ""
    near = {
        name: each for name, each in found.items() if abs(each.total / found[ours].total - 1) <= NEAR
    }  # the teacher counts
    fair = [name for name, each in near.items() if not each.teacher]
    seeds = sorted(set.intersection(*(set(runs[name].seeds) for name in near)))
    if not fair or not seeds:
        return ""
    columns = columns_of(runs[name].columns for name in near)
    rows = []
    for name, each in sorted(near.items(), key=lambda item: item[1].total):
        cells = mean_cells(runs[name], seeds, columns)
        rows.append(
            [f"`{name}`", f"{each.total:.2f}", "yes" if each.teacher else "no", thousands(each.parameters), *cells]
        )
    said = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    lead: dict[str, Summary] = {
        f"{ours} {name}": {"versus": told["against"][name]} for name in fair if name in told["against"]
    }  # one row for each rival
    return (
        f"What costs in total within {100 * NEAR:.0f} % of `{ours}`, its teacher counted. All rows are of {said}, "
        "without intervals.\n\n"
        + table(["method", "total cost", "teacher", "parameters", *columns.values()], rows)
        + f"\n`{ours}` against those that have no teacher and train for longer:\n\n"
        + differences(lead, "versus", told["deviation"], dict.fromkeys(lead, str(ours)))
    )


def mean_cells(runs: Runs, seeds: list[int], columns: Mapping[str, Any]) -> list[str]:
    """Return the mean accuracy of some seeds in each column, without intervals."""
    own = runs.columns
    return [
        accuracy({"mean": float(np.mean(runs.values(own[name], seeds)))} if name in own else None) for name in columns
    ]


def thousands(parameters: int) -> str:
    """Return a number of parameters in thousands."""
    return f"{parameters / 1e3:,.0f} k"


def millions(images: int) -> str:
    """Return a number of images in millions."""
    return f"{images / 1e6:.2f} M"


def _images(runs: Runs) -> int:
    images: int = runs.first["cost"]["images_forwarded"]
    return images
