"""Locks between processes of one working copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(lock: Path, *, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Let one process at a time into the block.

    Args:
        lock: an empty file, made if it is not there. It stays; the lock ends with its process, however that ends.
        on_wait: called once where another process is in the block, before it is waited for.
    """
    lock.parent.mkdir(exist_ok=True)
    one = FileLock(lock)
    try:
        one.acquire(blocking=False)
    except Timeout:
        on_wait()
        one.acquire()
    try:
        yield
    finally:
        one.release()


def is_held(lock: Path) -> bool:
    """Tell, without waiting, whether a process holds a lock."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, blocking=False):
            return False
    except Timeout:
        return True
