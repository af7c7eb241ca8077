"""The table of docs/results/index.md: questions about the method, each with the paired differences that answer it."""

from __future__ import annotations

from benchmarks.comparison.records import Runs
from benchmarks.comparison.settings import Settings
from benchmarks.comparison.tables import COLUMNS, UNSEEN, Summary, about, difference
from benchmarks.markdown import table

SHOWN = {column: (COLUMNS | UNSEEN)[column] for column in ("raw", "q10", "q5", "mean", "codecs", "corruptions")}


def headline(settings: Settings, runs: dict[str, dict[str, Runs]], summary: dict[str, Summary]) -> str:
    """Return a table of each data set, below a sentence on how it was measured.

    One with a network of its own is for ablations and stands in docs/results/comparison.md alone.
    """
    parts = []
    for dataset, told in summary.items():
        if settings.datasets[dataset].model:
            continue
        methods = {name: runs[dataset][name] for name in told["methods"]}
        parts += [f"**{dataset}.** {about(methods)}", answers(told["answers"])]
    return "\n".join(part for part in parts if part)


def answers(told: list[Summary]) -> str:
    """Return a row a claim: differences in points, and of the distortion in % of the other's; nothing without any."""
    rows = []
    for each in told:
        versus = each["versus"]
        compared, seeds = f"`{each['method']}` - `{versus['method']}`", len(versus["seeds"])
        cells = [difference(versus.get(column)) for column in SHOWN]
        rows.append([each["question"], compared, seeds, *cells, f"{100 * each['distortion']:+.0f} %"])
    header = ["question", "compared", "seeds", *SHOWN.values(), "distortion at Q10, relative"]
    return table(header, rows) if rows else ""
