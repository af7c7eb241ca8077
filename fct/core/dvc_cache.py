"""Asks DVC where it keeps this project's data: its configuration has four places, and each may move the cache."""

from __future__ import annotations

import subprocess
from pathlib import Path

DEFAULT = Path(".dvc/cache")


def dvc_cache() -> Path:
    """Return the folder of DVC's cache for the project of the current folder. It may not exist.

    Without DVC, or outside a project, this is DVC's default. The question takes about a second.
    """
    try:
        process = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, errors="replace", check=False)
    except OSError:
        return DEFAULT
    return Path(process.stdout.strip()) if process.returncode == 0 and process.stdout.strip() else DEFAULT
