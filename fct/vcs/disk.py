"""Measures how much disk space the versions of a project take in DVC's cache."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fct.core.dvc_cache import dvc_cache
from fct.core.paths import CACHE, DVC_LOCK
from fct.vcs.dvc_lock import sizes

FREE = (
    "`dvc gc --workspace --dry` lists what no stage needs now, and `dvc gc --workspace` deletes it "
    "(images/README.md: what else to keep)"
)


@dataclass(frozen=True)
class Usage:
    """Sizes in bytes."""

    cache: Path  # DVC's cache
    total: int  # of every version in it
    current: int  # of the outs of the present version
    views: int  # of these, the compressed views


def measure() -> Usage | None:
    """Return the sizes in DVC's cache, or None before the first run of the pipeline.

    Raises:
        FctError: dvc.lock is damaged.
    """
    if not DVC_LOCK.exists():
        return None
    outs = sizes(DVC_LOCK.read_text(), str(DVC_LOCK))
    views = sum(size for path, size in outs.items() if Path(path).is_relative_to(CACHE))
    cache = dvc_cache()
    return Usage(cache, _size(cache), sum(outs.values()), views)


def format_size(size: int) -> str:
    """Return a number of bytes in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _size(folder: Path) -> int:
    """Return the size of all files in a folder. A file that disappears meanwhile does not count."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 a cache has 100,000 files
            except OSError:
                continue
    return total
