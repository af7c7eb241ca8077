"""README's part: the abstract's claims as questions, each with the differences that answer it, and a row a method."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.comparison.records import Runs
from benchmarks.comparison.tables import COLUMNS, UNSEEN, Summary, about, columns_of, difference
from benchmarks.markdown import table

OF_CLAIMS = {column: (COLUMNS | UNSEEN)[column] for column in ("raw", "q10", "q5", "mean", "codecs", "corruptions")}


class Claim(NamedTuple):
    """Who is compared, a name of benchmarks/params.yaml, and under which key of summary.json."""

    question: str
    method: str
    versus: str


CLAIMS = (
    Claim("Is consistency better than compressed images as new samples?", "fct-own", "versus_pair_own"),
    Claim("The same, nearest to the abstract", "fct-r", "versus_pair"),
    Claim("Is it better than the best of the other methods?", "fct-own", "versus_rival"),
    Claim("Do blocks that know the quality add to it?", "fct-r-own-estimate", "versus_without_blocks"),
)


def headline(runs: dict[str, dict[str, Runs]], summary: dict[str, Summary]) -> str:
    """Return both tables of each data set."""
    parts = []
    for dataset, told in summary.items():
        methods = {name: runs[dataset][name] for name in told["methods"]}
        parts += [f"**{dataset}.** {about(methods)}", answers(told["methods"]), means(told["methods"])]
    return "\n".join(part for part in parts if part)


def answers(told: Summary) -> str:
    """Return a row a claim whose runs are there, nothing without any.

    Differences are paired, in points; that of the distortion is of its means over layers and seeds, in %.
    """
    rows = []
    for claim in CLAIMS:
        ours = told.get(claim.method, {})
        if claim.versus in ours:
            versus = ours[claim.versus]
            other = versus["method"]
            further = ours["distortion"]["mean"] / told[other]["distortion"]["mean"] - 1
            cells = [difference(versus.get(column)) for column in OF_CLAIMS]
            rows.append([claim.question, f"`{claim.method}` - `{other}`", *cells, f"{100 * further:+.0f} %"])
    return table(["question", "difference", *OF_CLAIMS.values(), "distortion at Q10"], rows) if rows else ""


def means(told: Summary) -> str:
    """Return a row a method: means alone, and the paired difference of the mean from `pair`."""
    columns = {name: title for name, title in columns_of(told).items() if name != "q90"}
    rows = []
    for name, each in told.items():
        cells = [f"{100 * each[column]['mean']:.1f}" if column in each else "-" for column in columns]
        gap = difference(each["versus_pair"].get("mean")) if "versus_pair" in each else "-"
        rows.append([f"`{name}`", len(each["seeds"]), *cells, gap])
    return table(["method", "seeds", *columns.values(), "mean, against `pair`"], rows)
