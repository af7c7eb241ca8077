"""The tables of the front pages: questions about the method, each with the paired differences that answer it."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.comparison.cells import COLUMNS, CORRUPTIONS, UNSEEN, Row, Summary, difference, paired
from benchmarks.comparison.records import Runs
from benchmarks.comparison.settings import Settings
from benchmarks.comparison.tables import about
from benchmarks.markdown import table

SHOWN = {column: (COLUMNS | UNSEEN)[column] for column in ("raw", "q10", "q5", "mean", "codecs")}
BOUGHT_ON = "cifar10"
BOUGHT_COLUMNS = {"raw": "raw", "q10": "quality 10", "mean": "mean of 10 to 90", "codecs": "other codecs"}
BOUGHT = {  # README's rows: what the method `ours` of a data set is compared with
    "pair-own": "the same pairs of images without consistency",
    "augment-2x": "JPEG as augmentation, as many images",
    "distill-own": "distillation of a clean teacher's predictions",
    "distill-cosine-own": "distillation of a clean teacher's last features",
    "fct-r-own-estimate": "FCT with residual mapping blocks",
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


def bought(told: Mapping[str, Summary]) -> str:
    """Return README's table: the method against others, by a name that needs no explanation."""
    against = told[BOUGHT_ON]["against"]
    rows = [
        [title, *(difference(against[name].get(column)) for column in BOUGHT_COLUMNS)]
        for name, title in BOUGHT.items()
        if name in against
    ]
    return table(["FCT compared with", *BOUGHT_COLUMNS.values()], rows)


def _compared(each: Summary) -> list[str]:
    return [f"`{each['method']}` - `{each['versus']['method']}`", str(len(each["versus"]["seeds"]))]
