"""Locks between processes of one working copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(lock: Path, *, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Allow one process at a time in the block.

    Args:
        lock: an empty file, which is created if it is missing and never deleted. The lock ends with its process, even
            after kill -9.
        on_wait: called once before waiting for another process.
    """
    lock.parent.mkdir(exist_ok=True)
    file_lock = FileLock(lock)
    try:
        file_lock.acquire(blocking=False)
    except Timeout:
        on_wait()
        file_lock.acquire()
    try:
        yield
    finally:
        file_lock.release()


@contextmanager
def locked_if_free(lock: Path) -> Iterator[bool]:
    """Take a lock if no other process has it, and yield whether it was taken. Never wait."""
    lock.parent.mkdir(exist_ok=True)
    file_lock = FileLock(lock)
    try:
        file_lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        file_lock.release()


def is_held(lock: Path) -> bool:
    """Return whether a process holds a lock, without waiting."""
    if not lock.exists():
        return False
    with locked_if_free(lock) as is_free:
        return not is_free
