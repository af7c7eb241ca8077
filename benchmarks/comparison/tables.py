"""The comparison's tables, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.comparison.records import OF_SWEEP, Runs, kind, read_repeated
from benchmarks.comparison.results import RESULTS
from benchmarks.comparison.settings import Settings
from benchmarks.comparison.trials import Trials, tried
from benchmarks.markdown import table
from fct.methods.params import WITH_CONSISTENCY
from fct.models.backbones import OWN

COLUMNS = {"raw": "raw", "q90": "Q90", "q50": "Q50", "q30": "Q30", "q10": "Q10", "q5": "Q5", "mean": "mean 10..90"}
Summary = dict[str, Any]
UNSEEN = {
    "codecs": "other codecs",
    "corruptions": "corruptions",
    "decoders": "other decoders",
    "unseen": "all unseen",
}
COST = RESULTS / "cost.json"
COST_OF = "cifar10"  # the data set that it is measured on
BLOCKLESS = "versus_without_blocks"
BASE = "versus_base"  # of an ablation: the method that it changes
HELD_AGAINST = {
    "versus_pair": "Against `pair`, same seeds and images",
    "versus_pair_own": "Against `pair-own`, with crops of their own for both views too",
    BLOCKLESS: "What blocks add: against the same method without",
}
Score = Callable[[Summary], float | None]


def _column(name: str) -> Score:
    return lambda each: 100 * each[name]["mean"] if name in each else None


DISTORTION = "inner features that stay put, distortion at Q10"  # the smaller, the better
NEEDS: dict[str, Score] = {
    "raw images above all": _column("raw"),
    "uploads of all qualities": _column("mean"),
    "hard compression, Q10": _column("q10"),
    "harder than trained, Q5": _column("q5"),
    "other codecs and pipelines": _column("codecs"),
    "other decoders": _column("decoders"),
    "noise, blur, contrast, pixelation": _column("corruptions"),
    DISTORTION: lambda each: each["distortion"]["mean"],
}
OF_QSAM = (95, 80, 65, 50, 40, 30, 20, 10)  # qualities that its chart was read at
QSAM = dict(zip([*map(str, OF_QSAM), "mean"], [93.6, 93.0, 92.1, 91.0, 90.0, 88.4, 86.4, 81.2, 90.1], strict=True))
HEADING = """# The comparison in numbers

Written by `python -m benchmarks.comparison summary` from the runs in `benchmarks/results/comparison`; do not edit.
Accuracies are in % on test images: the mean over seeds, and a 95 % interval that resamples seeds and images together.
With one seed the interval is of the images alone; with three it is too narrow where seeds differ more than images do,
as under corruptions. Test images chose no weight and no method. One thing was added because of them: the estimate of
the quality (`fct-r-own-estimate`), after blocks had done badly on other codecs, which validation images do not show.
"""


def document(
    settings: Settings,
    runs: dict[str, dict[str, Runs]],
    summary: dict[str, Summary],
    trials: dict[str, Trials],
) -> str:
    """Return docs/results/comparison.md."""
    parts = [HEADING]
    for dataset, found in runs.items():
        told = summary[dataset]
        methods = {name: found[name] for name in told["methods"]}
        parts += [f"## {dataset}\n", about(methods), "### Methods\n", accuracies(told["methods"], found)]
        for versus, title in HELD_AGAINST.items():
            if any(versus in each for each in told["methods"].values()):
                parts += [f"### {title}\n", differences(told["methods"], versus)]
        if any("versus_rival" in each for each in told["methods"].values()):
            parts += ["### Consistency of features against the best of the others\n", rivals(told, found)]
        parts += ["### Which method for which need\n", needs(told["methods"], _steps(settings, dataset))]
        parts += ["### Clean accuracy against accuracy at Q10\n", f"![Every run](comparison-{dataset}-tradeoff.png)\n"]
        if any("unseen" in each for each in told["methods"].values()):
            parts += ["### Distortions that no training has shown\n", unseen(methods)]
        if dataset == COST_OF:
            parts += ["### Cost\n", cost()]
        parts += ["### Feature distortion\n", distortions(methods)]
        if told["ablations"]:
            bases = {settings.ablations[name].of for name in told["ablations"]}
            everything = {name: each for name, each in told["methods"].items() if name in bases} | told["ablations"]
            parts += ["### Ablations\n", accuracies(everything, found), "Against the method that each changes:\n"]
            parts += [differences(told["ablations"], BASE)]
            parts += [distortions({name: found[name] for name in everything})]
        if told["beyond"]:
            parts += ["### Beyond the budget\n", beyond({name: found[name] for name in told["beyond"]})]
        parts += [again(dataset, found)]
        if trials[dataset]:
            parts += ["### Trials, on validation images\n", tried(settings.on(dataset), trials[dataset])]
    return "\n".join(filter(None, parts)).rstrip() + "\n"


def about(runs: dict[str, Runs]) -> str:
    """Return a sentence on data, network and cost, from the records."""
    record = next(iter(runs.values())).first
    costs: dict[tuple[str, ...], list[Any]] = {}  # by machine, but for the threads that a run had
    for cost in (one["cost"] for each in runs.values() for one in each.records.values()):
        kind, threads, *rest = cost["machine"].split(", ")
        minutes = cost["seconds"] and cost["seconds"] * int(threads.split()[0]) / 60
        costs.setdefault((kind, *rest), []).append(minutes)
    machines = [
        f"{len(minutes)} runs on {', '.join(machine)}" + (_core_minutes(minutes) if len(machine) == 2 else "")
        for machine, minutes in costs.items()
    ]
    model = record["settings"]["model"]
    network = f"{model['name']} of width {model['width']}" if model["name"] in OWN else model["name"]
    return f"Test split: {record['split']}. Network: {network}. Machines: {'; '.join(machines)}.\n"


def _core_minutes(minutes: list[float | None]) -> str:
    known = [each for each in minutes if each]
    return f", {np.median(known):.0f} core-minutes a run in the median, beside other work" if known else ""


def again(dataset: str, runs: dict[str, Runs]) -> str:
    """Return a row a run that was made a second time, on another machine: the second's accuracies less the first's.

    Nothing where no run was.
    """
    rows, machines = [], set()
    repeated = read_repeated(dataset)
    columns = [runs[second["name"]].columns for second in repeated]
    titles = {name: title for name, title in (COLUMNS | UNSEEN).items() if all(name in each for each in columns)}
    for second in repeated:
        first = runs[second["name"]].records[second["seed"]]
        machines |= {second["cost"]["machine"], first["cost"]["machine"]}
        gaps = {column: _mean(second, of) - _mean(first, of) for column, of in runs[second["name"]].columns.items()}
        rows.append([f"`{second['name']}`", second["seed"], *(100 * gaps[column] for column in titles)])
    if not rows:
        return ""
    spread = ["root of the mean square", "", *np.sqrt(np.square([row[2:] for row in rows]).mean(0))]
    shown = [[*row[:2], *(f"{gap:+.1f}" for gap in row[2:])] for row in [*rows, spread]]
    return (
        "### The same runs on another machine\n\n"
        f"Machines: {'; '.join(sorted(machines))}. Weights and batches begin alike, and rounding drives them apart: "
        "the second run's accuracy less the first's is of the size of a difference between seeds.\n\n"
        + table(["method", "seed", *titles.values()], shown)
    )


def _mean(record: dict[str, Any], conditions: list[str]) -> float:
    accuracies = record["test"] | record["unseen"]
    return float(np.mean([accuracies[condition] for condition in conditions]))


def accuracies(told: Summary, runs: dict[str, Runs]) -> str:
    """Return a row a method: accuracies, images forwarded, fit of the training images."""
    columns = _columns(told)
    rows = []
    for name, each in told.items():
        record = runs[name].first
        cells = [_interval(each[key]) if key in each else "-" for key in columns]
        fit = np.mean([one["fit"]["raw"] for one in runs[name].records.values()])
        millions = record["cost"]["images_forwarded"] / 1e6
        rows.append([f"`{name}`", len(each["seeds"]), *cells, f"{100 * fit:.1f}", f"{millions:.2f} M"])
    return table(["method", "seeds", *columns.values(), "raw, of train", "images forwarded"], rows)


def rivals(told: Summary, runs: dict[str, Runs]) -> str:
    """Return a row an `fct` and `fct-r`: paired differences from the other method that is best on validation images."""
    ours = {
        name: each
        for name, each in told["methods"].items()
        if runs[name].first["settings"]["method"]["name"] in WITH_CONSISTENCY
    }
    enough = ", of those with as many seeds as `pair`" if "pair" in told["methods"] else ""
    return (
        "Best on validation images, by the mean over raw and trained qualities and over seeds"
        f"{enough}: `{told['rival']}`.\n\n" + differences(ours, "versus_rival")
    )


def differences(told: Summary, versus: str = "versus_pair") -> str:
    """Return a row a method: paired differences from another; those whose interval excludes 0 are bold."""
    compared = {name: each[versus] for name, each in told.items() if versus in each}
    columns = _columns(compared)
    rows = [
        [f"`{name}` - `{each['method']}`", len(each["seeds"]), *(difference(each.get(key)) for key in columns)]
        for name, each in compared.items()
    ]
    return table(["compared", "seeds", *columns.values()], rows)


def _steps(settings: Settings, dataset: str) -> dict[str, float]:
    """Return what a step of each method costs against `pair`'s; nothing where the data set has methods of its own."""
    if settings.datasets[dataset].methods or not COST.exists():
        return {}
    told: dict[str, float] = json.loads(COST.read_text())["against_pair"]
    return told


def needs(told: Summary, steps: Mapping[str, float]) -> str:
    """Return a row a need: the method that serves it best, the next best, and what a step of each costs."""
    rows = []
    for need, score in NEEDS.items():
        scored = {name: found for name, each in told.items() if (found := score(each)) is not None}
        if not scored:
            continue
        best = sorted(scored, key=lambda name: scored[name], reverse=need != DISTORTION)[:3]
        cells = [
            f"`{name}` {scored[name]:.{3 if need == DISTORTION else 1}f}"
            + (f" (step {steps[name]:.2f})" if name in steps else "")
            for name in best
        ]
        rows.append([need, *cells, *["-"] * (3 - len(cells))])
    costs = "; a step's cost is against `pair`'s" if steps else ""
    return (
        f"By the mean over seeds, accuracy in %, of the distortion its mean over layers{costs}. "
        "Where intervals overlap, as they do with few seeds, the order is a guess.\n\n"
        + table(["need", "best", "second", "third"], rows)
    )


def cost() -> str:
    """Return a row an entry: time an image forwarded against `pair`'s, or what to run where it was not measured."""
    if not COST.exists():
        return "Not measured yet: `python -m benchmarks.comparison cost`.\n"
    told = json.loads(COST.read_text())
    rows = [
        [f"`{name}`", f"{told['microseconds'][name]:.0f}", f"{ratio:.2f}"]
        for name, ratio in told["against_pair"].items()
    ]
    return (
        f"Time of a training step for each image that it forwards; {told['machine']}, steps of all in turn, medians of "
        f"{told['rounds']} rounds.\n\n" + table(["method", "us an image", "against `pair`"], rows)
    )


def unseen(runs: dict[str, Runs]) -> str:
    """Return a row a distortion and a column a method: mean accuracy over severities and seeds."""
    names = [name for name in runs if runs[name].first["unseen"]]
    kinds = dict.fromkeys(map(kind, runs[names[0]].first["unseen"]))
    rows = []
    for each in kinds:
        cells = []
        for name in names:
            values = [
                value
                for record in runs[name].records.values()
                for condition, value in record["unseen"].items()
                if kind(condition) == each
            ]
            cells.append(f"{100 * np.mean(values):.1f}" + (" (trained)" if runs[name].trained_on(each) else ""))
        rows.append([each, *cells])
    return table(["distortion", *(f"`{name}`" for name in names)], rows)


def distortions(runs: dict[str, Runs], quality: str = "q10") -> str:
    """Return a row a method and a column a layer: distortion at a quality, over the centred variance."""
    layers = next(iter(runs.values())).first["distortion"]
    rows = []
    for name, each in runs.items():
        found = [record["distortion"] for record in each.records.values()]
        rows.append([f"`{name}`", *(f"{np.mean([one[layer][quality] for one in found]):.3f}" for layer in layers)])
    return f"At {quality.upper()}, mean over seeds.\n\n" + table(["method", *layers], rows)


def beyond(runs: dict[str, Runs]) -> str:
    """Return a row a run and QSAM's: accuracies over its sweep, and what the run took."""
    rows = [["QSAM, ResNet-18, 200 epochs of four views", "-", "official", *(f"{QSAM[key]:.1f}" for key in QSAM), "-"]]
    for name, each in runs.items():
        sweep = {f"q{quality}": [f"q{quality}"] for quality in OF_QSAM}
        sweep["mean"] = [f"q{quality}" for quality in OF_SWEEP]
        cells = [f"{100 * each.values(conditions, each.seeds).mean():.1f}" for conditions in sweep.values()]
        costs = [record["cost"] for record in each.records.values()]
        hours = max(cost["seconds"] or 0 for cost in costs) / 3600
        title = (
            f"`{name}`, {each.first['settings']['model']['name']} of width {each.first['settings']['model']['width']}"
        )
        rows.append([title, len(each.seeds), each.first["split"], *cells, f"{hours:.2f}"])
    header = ["model", "seeds", "test images", *(f"Q{quality}" for quality in OF_QSAM), "mean 10..95", "hours"]
    return (
        "Another network and a longer training, for the most accurate model, not for a comparison. QSAM's row is "
        "its paper's (IEEE TCSVT 2023), read from a chart, +-0.2, on other test images. Hours are of two CPU cores.\n\n"
        + table(header, rows)
    )


def _columns(told: Summary) -> dict[str, str]:
    """Return the columns that any of `told` has, by title."""
    return COLUMNS | {name: title for name, title in UNSEEN.items() if any(name in each for each in told.values())}


def _interval(told: dict[str, float]) -> str:
    return f"{100 * told['mean']:.1f} [{100 * told['low']:.1f}, {100 * told['high']:.1f}]"


def difference(told: dict[str, float] | None) -> str:
    """Return a difference in points with its interval, bold where that excludes 0."""
    if told is None:
        return "-"
    said = f"{100 * told['mean']:+.1f} [{100 * told['low']:+.1f}, {100 * told['high']:+.1f}]"
    return f"**{said}**" if told["low"] > 0 or told["high"] < 0 else said
