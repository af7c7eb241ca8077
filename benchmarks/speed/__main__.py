"""How fast this project is, against what one would use otherwise.

    python -m benchmarks.speed                     # everything: some ten minutes; run it on an idle machine
    python -m benchmarks.speed --only roundtrip    # one part anew; the rows of the others stay
    python -m benchmarks.speed --table             # measures nothing, prints what is there
    python -m benchmarks.speed.large               # the memory that large images take

Writes benchmarks/speed/results.json part by part, and docs/explanation/speed.png. Ratios are of subjects that took
turns in one run, so they hold on a machine that other work shares; absolute times hold for the machine named.
"""

from __future__ import annotations

import importlib
import json
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from benchmarks.speed.measure import Row, machine
from fct.core.files import write_json

RESULTS = Path(__file__).parent / "results.json"
PLOT = Path("docs/explanation/speed.png").resolve()
PARTS = {  # name: module and function
    "roundtrip": ("roundtrip", "rows"),
    "threads": ("roundtrip", "scaling"),
    "cache": ("cache", "rows"),
    "batches": ("batches", "rows"),
    "step": ("step", "rows"),
    "memory": ("step", "memory"),
    "inference": ("inference", "rows"),
    "estimator": ("inference", "estimator"),
    "import": ("library", "imports"),
    "loader": ("library", "loader"),
    "taps": ("library", "taps"),
}


def table(rows: list[dict[str, Any]]) -> str:
    """Return Markdown, a table for each kind of work."""
    lines = []
    for (work, size), group in groupby(rows, key=lambda row: (row["work"], row["size"])):
        lines += [
            "",
            f"**{work}**, {size} px" if size else f"**{work}**",
            "",
            f"| | us {'an image' if size else 'each'} | times as fast | threads | |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['subject']} | {row['us']:,.1f} | {row['ratio'] or '-'} | {row['threads']} | {row['note']} |"
            for row in group
        ]
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]]) -> None:
    """Draw the round trip: how many times faster than Pillow each is, at each size."""
    from matplotlib.figure import Figure

    shown = [row for row in rows if row["work"] == "round trip"]
    if not shown:
        return
    subjects = list(dict.fromkeys(row["subject"] for row in shown))
    sizes = sorted({row["size"] for row in shown})
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(sizes)
    for place, size in enumerate(sizes):
        ratios = {row["subject"]: row["ratio"] for row in shown if row["size"] == size}
        where = [number + place * height for number in range(len(subjects))]
        bars = axes.barh(where, [ratios[subject] for subject in subjects], height, label=f"{size} px")
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    axes.set_yticks([number + height for number in range(len(subjects))], subjects)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as Pillow, one thread, 4:2:0")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PLOT, dpi=110)


def kept() -> list[dict[str, Any]]:
    """Return the rows that were measured so far."""
    return list(json.loads(RESULTS.read_text())["rows"]) if RESULTS.exists() else []


def keep(part: str, measured: list[Row]) -> None:
    """Put the rows of a part in the place of its old ones."""
    rows = [row for row in kept() if row["part"] != part]
    rows += [{"part": part, **row._asdict(), "machine": machine()} for row in measured]
    order = [*PARTS, "large"]
    rows.sort(key=lambda row: order.index(row["part"]))
    write_json(RESULTS, {"rows": rows})
    plot(rows)


@click.command()
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="Measure this part; may be repeated.")
@click.option("--table", "only_table", is_flag=True, help="Measure nothing; print what is there.")
def main(*, only: tuple[str, ...], only_table: bool) -> None:
    """Measure, write, and print."""
    for part in () if only_table else only or PARTS:
        print(part, flush=True)
        module, function = PARTS[part]
        keep(part, getattr(importlib.import_module(f"benchmarks.speed.{module}"), function)())
    rows = kept()
    print("\n".join(sorted({row["machine"] for row in rows})))
    print(table(rows))


if __name__ == "__main__":
    main()
