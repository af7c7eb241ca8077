"""The comparison's tables, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.comparison import registered
from benchmarks.comparison.budget import COST_OF, Cost, at_equal_cost, costs, in_full, mean_cells, millions, thousands
from benchmarks.comparison.cells import COLUMNS, UNSEEN, Summary, accuracy, columns_of, differences
from benchmarks.comparison.distortion import comparable, distortion_points, does_lower_distortion_help
from benchmarks.comparison.probed import probed
from benchmarks.comparison.records import OF_SWEEP, REST, Runs, kind, read_repeated
from benchmarks.comparison.rivals import TITLES, beats, best_ones
from benchmarks.comparison.settings import OTHER, WITHOUT, Settings
from benchmarks.comparison.trials import Trials, tried
from benchmarks.markdown import table
from fct.models.backbones import OWN

BLOCKLESS = "versus_without_blocks"
BASE = "versus_base"  # of an ablation: the method that it changes
VERSUS_WITHOUT, VERSUS_OTHER = "versus_without", "versus_other"  # the best of each group
HELD_AGAINST = {
    "versus_pair": "Against `pair`, same seeds and images",
    "versus_pair_own": "Against `pair-own`, with crops of their own for both views too",
    BLOCKLESS: "What blocks add: against the same method without",
    VERSUS_WITHOUT: f"Consistency of features against the best of the {TITLES[WITHOUT]}",
    VERSUS_OTHER: f"Against the best of {TITLES[OTHER]}",
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
    "noise": _column("noise"),
    "blur, contrast, pixelation": _column(REST),
    DISTORTION: lambda each: each["distortion"]["mean"],
}
OF_QSAM = (95, 80, 65, 50, 40, 30, 20, 10)  # qualities that its chart was read at
QSAM = dict(zip([*map(str, OF_QSAM), "mean"], [93.6, 93.0, 92.1, 91.0, 90.0, 88.4, 86.4, 81.2, 90.1], strict=True))
HEADING = """# The comparison in numbers

Written by `python -m benchmarks.comparison summary` from the runs in `benchmarks/results/comparison`; do not edit.
Accuracies are in % on test images: the mean over seeds, and a 95 % interval for other seeds and other images of the
same kind. It is Student's over the seeds, whose factor is 2.8 with five, 4.3 with three and 12.7 with two, widened by
what images share over the seeds. What has one seed has no interval, and stands in a table of its own. Differences are
between the same seeds on the same images, and bold if their interval excludes 0. Each corruption has its own column:
seeds differ most under noise, so no mean has it.

Test images chose no weight and no method. One thing was added because of them: the estimate of the quality
(`fct-r-own-estimate`), after blocks had done badly on other codecs, which validation images do not show.
"""
AT_EQUAL_IMAGES = (
    "All train on the same number of images in the same number of steps; `-1x` in a name means half of the images. The "
    "training of a teacher comes on top{}.\n"
)


def document(
    settings: Settings,
    runs: dict[str, dict[str, Runs]],
    summary: dict[str, Summary],
    trials: dict[str, Trials],
    longer: dict[str, dict[str, Runs]],
) -> str:
    """Return docs/results/comparison.md. `longer` has the runs beyond the budget."""
    parts = [HEADING]
    for dataset, found in runs.items():
        told, own = summary[dataset], settings.on(dataset)
        cost = costs(own, dataset, found)
        parts += [f"## {dataset}\n", about({name: found[name] for name in told["methods"]})]
        for title, text in _sections(dataset, own, found, told, cost):
            parts += [f"### {title}\n", text] if text else []
        parts += [again(dataset, found)]
        if trials[dataset]:
            parts += ["### Trials, on validation images\n", tried(own, trials[dataset])]
    if longer:
        parts += ["## Beyond the budget\n", beyond(longer)]
    return "\n".join(filter(None, parts)).rstrip() + "\n"


def _sections(
    dataset: str, settings: Settings, runs: dict[str, Runs], told: Summary, cost: dict[str, Cost]
) -> Iterator[tuple[str, str]]:
    """Yield the sections of a data set, by title; some are empty."""
    methods = {name: runs[name] for name in told["methods"]}
    counted = ". The total cost counts it, and the time of a step, in trainings of `pair`" if cost else ""
    text = AT_EQUAL_IMAGES.format(counted) + "\n" + accuracies(told["methods"], runs, cost)
    yield "Methods, at equal images", text
    yield "At equal total cost", at_equal_cost(told, runs, cost)
    for versus, title in HELD_AGAINST.items():
        yield title, differences(told["methods"], versus, told["deviation"])
    yield "The best, on validation images", best_ones(told, runs)
    yield f"Does `{told['ours']}` beat all others?", beats(told, runs)
    if (claim := registered.read()) and dataset in claim.on:
        yield "The registered claim", registered.document(claim, dataset, runs, settings.summary)
    yield "Which method for which need", needs(told["methods"], {name: each.total for name, each in cost.items()})
    yield "Clean accuracy against accuracy at Q10", f"![Every run](comparison-{dataset}-tradeoff.png)\n"
    yield "Distortions that no training has shown", unseen(methods)
    yield "What knowing the quality is worth, on validation images", probed(methods)
    yield "Cost in full", in_full(cost) if dataset == COST_OF else ""
    points = distortion_points({name: runs[name] for name in comparable(settings, runs)})
    text = f"{does_lower_distortion_help(points)}\n![Distortion and accuracy](comparison-{dataset}-distortion.png)\n\n"
    yield "Feature distortion", text + distortions(methods)
    if told["ablations"]:
        bases = {settings.ablations[name].of for name in told["ablations"]}
        shown = {name: runs[name] for name in [*(name for name in methods if name in bases), *told["ablations"]]}
        yield "Ablations", "\n".join([ablations(settings, told, runs, cost), distortions(shown)])


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


def accuracies(told: Summary, runs: dict[str, Runs], costs: Mapping[str, Cost]) -> str:
    """Return a row a method: accuracies, fit of the training images, parameters and cost.

    Methods of one seed have a table of their own, without intervals.
    """
    columns = columns_of(told.values())
    titles = ["method", "seeds", *columns.values(), *_sizes(costs)]
    rows: dict[bool, list[list[Any]]] = {False: [], True: []}  # whether of one seed
    for name, each in told.items():
        cells = [accuracy(each.get(key)) for key in columns]
        single = len(each["seeds"]) == 1
        rows[single].append(
            [f"`{name}`", len(each["seeds"]), *cells, *_size(runs[name], runs[name].seeds, name, costs)]
        )
    parts = [table(titles, rows[False])] if rows[False] else []
    parts += ["Of one seed, so without intervals:\n", table(titles, rows[True])] if rows[True] else []
    return "\n".join(parts)


def _size(runs: Runs, seeds: list[int], name: str, costs: Mapping[str, Cost]) -> list[str]:
    """Return the cells below `_sizes`."""
    fit, cost = np.mean([runs.records[seed]["fit"]["raw"] for seed in seeds]), runs.first["cost"]
    total = [f"{costs[name].total:.2f}" if name in costs else "-"] if costs else []
    return [f"{100 * fit:.1f}", thousands(cost["parameters"]), millions(cost["images_forwarded"]), *total]


def _sizes(costs: Mapping[str, Cost]) -> list[str]:
    """Return the titles of the fit on training images, the size and the cost; the latter where it is known."""
    return ["raw, of train", "parameters", "images", *(["total cost"] if costs else [])]


def ablations(settings: Settings, told: Summary, runs: dict[str, Runs], costs: Mapping[str, Cost]) -> str:
    """Return accuracies of the ablations beside what they change, of the same seed, and the differences."""
    several = {name: each for name, each in told["ablations"].items() if len(each["seeds"]) > 1}
    parts = [accuracies(several, runs, costs)] if several else []
    by_seed: dict[int, list[str]] = {}
    for name, each in told["ablations"].items():
        if name not in several:
            by_seed.setdefault(each["seeds"][0], []).append(name)
    columns = columns_of(told["ablations"].values())
    for seed, names in by_seed.items():
        bases = dict.fromkeys(settings.ablations[name].of for name in names)
        shown = [name for name in [*bases, *names] if name in runs and seed in runs[name].seeds]
        rows = [
            [f"`{name}`", *mean_cells(runs[name], [seed], columns), *_size(runs[name], [seed], name, costs)]
            for name in shown
        ]
        titles = ["method", *columns.values(), *_sizes(costs)]
        parts += [
            f"All of seed {seed}, so without intervals; first the methods that are changed.\n",
            table(titles, rows),
        ]
    parts += ["Against the method that each changes.\n", differences(told["ablations"], BASE, told["deviation"])]
    return "\n".join(parts)


def needs(told: Summary, totals: Mapping[str, float]) -> str:
    """Return a row a need: the method that serves it best, the next best, and what each costs in total."""
    rows = []
    for need, score in NEEDS.items():
        scored = {name: found for name, each in told.items() if (found := score(each)) is not None}
        if not scored:
            continue
        best = sorted(scored, key=lambda name: scored[name], reverse=need != DISTORTION)[:3]
        cells = [
            f"`{name}` {scored[name]:.{3 if need == DISTORTION else 1}f}"
            + (f" (cost {totals[name]:.2f})" if name in totals else "")
            for name in best
        ]
        rows.append([need, *cells, *["-"] * (3 - len(cells))])
    said = "; the cost is in trainings of `pair`, the teacher counted" if totals else ""
    return (
        f"By the mean over seeds, accuracy in %, of the distortion its mean over layers{said}. "
        "Where intervals overlap, as they do with few seeds, the order is a guess.\n\n"
        + table(["need", "best", "second", "third"], rows)
    )


def unseen(runs: dict[str, Runs]) -> str:
    """Return a row a distortion and a column a method: mean accuracy over severities and seeds."""
    names = [name for name in runs if runs[name].first["unseen"]]
    if not names:
        return ""
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


def beyond(longer: dict[str, dict[str, Runs]]) -> str:
    """Return a row a run and QSAM's: accuracies over its sweep, and what the run took."""
    rows = [["QSAM, ResNet-18, 200 epochs of four views", "-", "official", *(f"{QSAM[key]:.1f}" for key in QSAM), "-"]]
    for dataset, name, each in ((dataset, *pair) for dataset, runs in longer.items() for pair in runs.items()):
        sweep = {f"q{quality}": [f"q{quality}"] for quality in OF_QSAM}
        sweep["mean"] = [f"q{quality}" for quality in OF_SWEEP]
        cells = [f"{100 * each.values(conditions, each.seeds).mean():.1f}" for conditions in sweep.values()]
        costs = [record["cost"] for record in each.records.values()]
        hours = max(cost["seconds"] or 0 for cost in costs) / 3600
        title = (
            f"`{name}` on `{dataset}`, {each.first['settings']['model']['name']} of width "
            f"{each.first['settings']['model']['width']}"
        )
        rows.append([title, str(len(each.seeds)), each.first["split"], *cells, f"{hours:.2f}"])
    header = ["model", "seeds", "test images", *(f"Q{quality}" for quality in OF_QSAM), "mean 10..95", "hours"]
    return (
        "Another network and a longer training, for the most accurate model, not for a comparison. QSAM's row is "
        "its paper's (IEEE TCSVT 2023), read from a chart, +-0.2, on other test images. Hours are of two CPU cores.\n\n"
        + table(header, rows)
    )
