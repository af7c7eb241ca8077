"""Who may work in a project: one run at a time, one process that serves the deployments."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RUNNING = Path(".fct/running.lock")  # held by the flow run at work
SERVING = Path(".fct/serving.lock")  # held by the process that serves the deployments


@contextmanager
def held(lock: Path, on_wait: Callable[[], object]) -> Iterator[None]:
    """Hold a lock, which ends with the process, however that ends; where another holds it, say so and wait."""
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
