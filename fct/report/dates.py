"""The date of the verdict. The pipeline's outs have no dates, since the same inputs must give the same outs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fct.vcs import git


def date_of(path: Path) -> str:
    """Return when a file was made, in UTC, such as `2026-11-29 00:06 UTC`.

    If git holds the file as it is, this is the date of the commit that added it, since a checkout gives files a new
    time. Otherwise it is the time of the file.
    """
    unchanged = git.run("status", "--porcelain", "--ignored", "--", str(path)) == ""
    committed = (git.run("log", "-1", "--format=%ct", "--", str(path)) or "").strip() if unchanged else ""
    seconds = float(committed) if committed else path.stat().st_mtime
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
