"""Findings as Markdown, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fct.monitoring.drift import Histogram
from fct.monitoring.findings import Findings, Limits

MOST_ROWS = 12  # of a table or a list
MOST_PROBLEMS = 50
LISTS = {
    "family": "Quantisation tables",
    "side": "Longer side, up to",
    "confidence": "Confidence, from",
    "error": "Errors",
}


def to_markdown(findings: Findings, limits: Limits, *, days: int, not_counted: Sequence[str]) -> str:
    """Return a page about findings.

    Args:
        findings: the comparison.
        limits: what decided the alarms.
        days: days of the counts.
        not_counted: a sentence about each file or model that was left out.
    """
    return "\n".join(_lines(findings, limits, days, not_counted))


def _lines(findings: Findings, limits: Limits, days: int, not_counted: Sequence[str]) -> Iterator[str]:
    counts, outside = findings.counts, findings.outside
    yield f"# {'ATTENTION: ' if findings.alarms else ''}{counts.images:,} images in {days} days"
    yield ""
    yield f"Model `{counts.model[:12]}`; files of counts: {counts.files:,}; unusable images: {counts.errors:,}."
    yield ""
    for alarm in findings.alarms:
        yield f"**{_plain(alarm)}**"
        yield ""
    yield f"| | value | {limits.confidence:.0%} interval | limit |"
    yield "|---|---|---|---|"
    interval = f"{outside.low:.1%} to {outside.high:.1%}"
    yield f"| below every trained quality | {outside.value:.1%} | {interval} | {limits.outside:.1%} |"
    for name, distance in findings.distances.items():
        limit = "none" if (largest := limits.distances[name]) is None else f"{largest:g}"
        interval = f"{distance.low:.2f} to {distance.high:.2f}"
        yield f"| distance by {name} | {distance.value:.2f} | {interval} | {limit} |"
    for name, histogram in findings.histograms.items():
        yield from ("", f"## By {name}", "")
        yield from _table(name, histogram)
    for aspect, title in LISTS.items():
        yield from _list(title, counts.values[aspect])
    if not_counted:
        yield from ("", "## Not counted", "")
        yield from (f"- {_as_code(problem)}" for problem in not_counted[:MOST_PROBLEMS])


def _table(name: str, histogram: Histogram) -> Iterator[str]:
    yield f"| {name} | served | share | {'training' if name == 'quality' else 'gate split'} |"
    yield "|---|---|---|---|"
    rows = list(zip(histogram.values, histogram.served, histogram.shares, histogram.reference, strict=True))
    shown = rows if name == "quality" else sorted(rows, key=lambda row: -max(row[2], row[3]))[:MOST_ROWS]
    for value, images, share, reference in shown:
        yield f"| {_as_code(value)} | {images:,} | {share:.1%} | {reference:.1%} |"
    if len(shown) < len(rows):
        yield from ("", f"{len(rows) - len(shown)} more classes are left out.")


def _list(title: str, values: Mapping[str, int]) -> Iterator[str]:
    if values:
        ordered = sorted(values.items(), key=lambda pair: -pair[1])[:MOST_ROWS]
        yield from ("", f"**{title}**: " + ", ".join(f"{_as_code(value)} {count:,}" for value, count in ordered))


def _as_code(text: str) -> str:
    """Return text without formatting, links or a new column, whatever a class or a file is called."""
    return f"`{_plain(text)}`"


def _plain(text: str) -> str:
    return text.replace("`", "'").replace("|", "¦").replace("\n", " ")
