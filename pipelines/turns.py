"""The locks of a project: one run works at a time, one process serves the deployments."""

from __future__ import annotations

import fcntl
from pathlib import Path

RUNNING = Path(".fct/running.lock")  # held by the flow run at work
SERVING = Path(".fct/serving.lock")  # held by the process that serves the deployments


def is_held(lock: Path) -> bool:
    """Tell whether a process holds a lock."""
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
