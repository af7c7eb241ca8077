"""Locks between processes of one working copy."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(lock: Path, *, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Let one process at a time into the block.

    Args:
        lock: an empty file, made if it is not there. It stays; the lock ends with its process, however that ends.
        on_wait: called once where another process is in the block, before it is waited for.
    """
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
