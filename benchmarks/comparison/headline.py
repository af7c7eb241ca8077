"""The tables of the front pages: questions about the method, each with the paired differences that answer it."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.comparison.budget import Cost, mean_cells
from benchmarks.comparison.cells import COLUMNS, CORRUPTIONS, UNSEEN, Row, Summary, difference, paired
from benchmarks.comparison.records import Runs
from benchmarks.comparison.settings import Settings
from benchmarks.comparison.tables import about
from benchmarks.markdown import table

SHOWN = {column: (COLUMNS | UNSEEN)[column] for column in ("raw", "q10", "q5", "mean", "codecs")}
SHOWN_ON = "cifar10"
BOUGHT_COLUMNS = {"raw": "raw", "q10": "quality 10", "mean": "mean of 10 to 90", "codecs": "other codecs"}
BOUGHT = {  # README's rows: what the method `ours` of a data set is compared with
    "pair-own": "the same pairs of images without consistency",
    "augment-2x": "JPEG as augmentation, as many images",
    "distill-own": "distillation of a clean teacher's predictions",
    "distill-cosine-own": "distillation of a clean teacher's last features",
    "fct-r-own-estimate": "FCT with residual mapping blocks",
}
REACHED_COLUMNS = ("raw", "q90", "q50", "q30", "q10", "q5")
REACHED = {  # README's first table
    "standard": "trained on raw images alone",
    "augment-2x": "JPEG as augmentation",
    "fct-own": "FCT with a teacher",
}
CHOICE_COLUMNS = ("raw", "mean", "q10", "q5", "codecs", "noise")
CHOICES = {  # what docs/how-to/choosing-a-method.md offers, several seeds each
    "augment-2x": "recipe `augment`, twice the epochs and batch size",
    "pair-own": "recipe `pair`",
    "stability-jpeg": "`method.name: stability`, weight 1",
    "jsd": "recipe `jsd`",
    "distill-cosine-own": "recipe `distill`",
    "fct-own": "recipe `fct`",
    "fct-r-own-estimate": "recipe `cifar10`",
    "fct-r-both-estimate": "the same, `matched_views: both`",
}
CHANGES = {  # of one seed, each below the method that it changes
    "augment-2x": "recipe `augment`, as above",
    "augment-2x-long": "trained twice as long",
    "augment-2x-low": "low qualities drawn more often",
    "jsd": "recipe `jsd`",
    "jsd-low": "low qualities drawn more often",
    "distill-cosine-own": "recipe `distill`",
    "distill-cosine-own-low": "low qualities drawn more often",
    "fct-own": "recipe `fct`",
    "fct-own-low": "low qualities drawn more often",
}


def headline(settings: Settings, runs: dict[str, dict[str, Runs]], summary: dict[str, Summary]) -> str:
    """Return the tables of each data set, below a sentence on how it was measured.

    One without claims, or with another network for the same methods, stands in docs/results/comparison.md alone.
    """
    parts = []
    for dataset, told in summary.items():
        if not told["answers"] or (settings.datasets[dataset].model and not settings.datasets[dataset].methods):
            continue
        methods = {name: runs[dataset][name] for name in told["methods"]}
        parts += [f"**{dataset}.** {about(methods)}", answers(told["answers"])]
        if by_kind := corruptions(told["answers"]):
            parts += [f"{dataset}, corruptions by kind:\n", by_kind]
    return "\n".join(part for part in parts if part)


def answers(told: list[Summary]) -> str:
    """Return a row a claim: differences in points, and of the distortion in % of the other's; nothing without any."""
    rows: list[Row] = [([each["question"], *_compared(each)], each["versus"]) for each in told]
    distortion = ["distortion at Q10, relative", *(f"{100 * each['distortion']:+.0f} %" for each in told)]
    return paired(["question", "compared", "seeds"], rows, SHOWN, distortion)


def corruptions(told: list[Summary]) -> str:
    """Return a row a claim and a column a corruption; nothing where none was measured."""
    rows: list[Row] = [(_compared(each), each["versus"]) for each in told]
    columns = {name: title for name, title in CORRUPTIONS.items() if any(name in versus for _, versus in rows)}
    return paired(["compared", "seeds"], rows, columns) if columns else ""


def reached(runs: Mapping[str, Runs], cost: Mapping[str, Cost]) -> str:
    """Return README's first table: what each way to train reaches, and what it costs in trainings of `pair`."""
    columns = {column: COLUMNS[column] for column in REACHED_COLUMNS}
    rows = [
        [title, *mean_cells(runs[name], runs[name].seeds, columns), _total(name, cost)]
        for name, title in REACHED.items()
    ]
    return table(["accuracy in %, CIFAR-10", *columns.values(), "cost"], rows)


def choices(runs: Mapping[str, Runs], cost: Mapping[str, Cost]) -> str:
    """Return the tables to choose a method by: means over several seeds, then changes of which seed 0 alone was run."""
    columns = {name: (COLUMNS | UNSEEN)[name] for name in CHOICE_COLUMNS}
    header = ["take", "in the comparison", *columns.values(), "cost"]

    def row(name: str, title: str, seeds: list[int]) -> list[str]:
        base = name.removesuffix("-low")  # the draw of qualities costs nothing
        return [title, f"`{name}`", *mean_cells(runs[name], seeds, columns), _total(base, cost)]

    several = table(header, [row(name, title, runs[name].seeds) for name, title in CHOICES.items()])
    single = table(header, [row(name, title, [0]) for name, title in CHANGES.items()])
    return f"{several}\nOf seed 0 alone:\n\n{single}"


def _total(name: str, cost: Mapping[str, Cost]) -> str:
    return f"{cost[name].total:.1f}"


def bought(told: Summary) -> str:
    """Return README's table: the method against others, by a name that needs no explanation."""
    against = told["against"]
    rows = [
        [title, *(difference(against[name].get(column)) for column in BOUGHT_COLUMNS)]
        for name, title in BOUGHT.items()
        if name in against
    ]
    return table(["FCT compared with", *BOUGHT_COLUMNS.values()], rows)


def _compared(each: Summary) -> list[str]:
    return [f"`{each['method']}` - `{each['versus']['method']}`", str(len(each["versus"]["seeds"]))]
