"""How accuracies and differences are written, and which columns tables have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.comparison.statistics import holm
from benchmarks.markdown import table

COLUMNS = {"raw": "raw", "q90": "Q90", "q50": "Q50", "q30": "Q30", "q10": "Q10", "q5": "Q5", "mean": "mean 10..90"}
CORRUPTIONS = {"noise": "noise", "blur": "blur", "contrast": "contrast", "pixelate": "pixelate"}
UNSEEN = {"codecs": "other codecs", "decoders": "other decoders", **CORRUPTIONS}
ALPHA = 0.05  # the share of intervals that exclude 0 where there is no difference
STAYS = "†"
Summary = dict[str, Any]
Row = tuple[Sequence[Any], Mapping[str, Any]]  # the first cells, and the differences


def columns_of(told: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the columns that any of `told` has, by title."""
    every = list(told)
    return COLUMNS | {name: title for name, title in UNSEEN.items() if any(name in each for each in every)}


def accuracy(told: Mapping[str, float] | None) -> str:
    """Return an accuracy in %, with its interval where it has one."""
    if told is None:
        return "-"
    interval = f" [{100 * told['low']:.1f}, {100 * told['high']:.1f}]" if "low" in told else ""
    return f"{100 * told['mean']:.1f}{interval}"


def difference(told: Mapping[str, float] | None) -> str:
    """Return a difference in points with its interval, bold where that excludes 0; of one seed without."""
    if told is None:
        return "-"
    if "low" not in told:
        return f"{100 * told['mean']:+.1f}"
    said = f"{100 * told['mean']:+.1f} [{100 * told['low']:+.1f}, {100 * told['high']:+.1f}]"
    return f"**{said}**" if told["low"] > 0 or told["high"] < 0 else said


def paired(header: Sequence[str], rows: Sequence[Row], columns: Mapping[str, str], more: Sequence[str] = ()) -> str:
    """Return a table of paired differences, below a sentence on how many there are; nothing without any row.

    Args:
        header: the titles of the first cells.
        rows: the first cells of each, and its differences.
        columns: of the differences, by title.
        more: the title of a last column and its cell in each row, or nothing.
    """
    if not rows:
        return ""
    compared = [
        (number, name) for number, (_, versus) in enumerate(rows) for name in columns if "p" in versus.get(name, {})
    ]
    stays = holm([rows[number][1][name]["p"] for number, name in compared], ALPHA)
    marks = {at: f" {STAYS}" for at, found in zip(compared, stays, strict=True) if found}
    lines = [
        [
            *first,
            *(difference(versus.get(name)) + marks.get((number, name), "") for name in columns),
            *more[number + 1 : number + 2],
        ]
        for number, (first, versus) in enumerate(rows)
    ]
    said = (
        f"{len(compared)} differences: if none were real, chance would make about {len(compared) * ALPHA:.0f} of them "
        f"bold. Holm's correction for all of them leaves {len(marks)}, with {STAYS}.\n\n"
    )
    return (said if compared else "") + table([*header, *columns.values(), *more[:1]], lines)


def by_one_seed(rows: Sequence[Row], columns: Mapping[str, str], deviation: Mapping[str, float]) -> str:
    """Return a table of paired differences of one seed, without intervals, and what seeds alone do as its last row."""
    lines = [[*first, *(difference(versus.get(name)) for name in columns)] for first, versus in rows]
    if deviation:
        spread = [f"{100 * deviation[name]:.1f}" if name in deviation else "-" for name in columns]
        lines.append(["standard deviation over seeds", "", *spread])
    return (
        "Of one seed, so without intervals. The last row says by how much such a difference changes from seed to seed: "
        "the standard deviation, over all pairs of methods with several seeds.\n\n"
        if deviation
        else "Of one seed, so without intervals.\n\n"
    ) + table(["compared", "seeds", *columns.values()], lines)


def differences(
    told: Mapping[str, Summary], versus: str, deviation: Mapping[str, float], names: Mapping[str, str] | None = None
) -> str:
    """Return a row a method: paired differences from another. Those of one seed have a table of their own.

    Args:
        told: the summary of each method.
        versus: the key of the differences in it.
        deviation: of a difference over seeds, by column.
        names: what stands in place of some names.
    """
    rows: list[Row] = []
    for name, each in told.items():
        if versus in each:
            rows.append(
                (
                    [f"`{(names or {}).get(name, name)}` - `{each[versus]['method']}`", len(each[versus]["seeds"])],
                    each[versus],
                )
            )
    columns = columns_of(found for _, found in rows)
    several = [row for row in rows if len(row[1]["seeds"]) > 1]
    single = [row for row in rows if len(row[1]["seeds"]) == 1]
    parts = [paired(["compared", "seeds"], several, columns)] if several else []
    parts += [by_one_seed(single, columns, deviation)] if single else []
    return "\n".join(parts)
