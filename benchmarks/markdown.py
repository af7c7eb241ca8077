"""Tables in Markdown, and pages in which a command writes what stands between two marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fct.core.errors import FctError


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def between(text: str, block: str, marks: tuple[str, str], path: Path) -> str:
    """Return `text`, of the page at `path`, with what stands between its marks replaced by `block`.

    Raises:
        FctError: the marks are not there.
    """
    begin, end = marks
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    if not after:
        raise FctError(f"{path}: the lines {begin!r} and {end!r} are not there. Put them where the table belongs.")
    return f"{before}{begin}\n\n{block}\n{end}{after}"
