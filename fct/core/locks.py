"""Locks between processes: of one working copy by a file, and of many hosts by their PostgreSQL database."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from fct.core.database import connect, database_url, import_psycopg, unreachable
from fct.core.errors import UnreachableError

if TYPE_CHECKING:
    import psycopg


class Turn:
    """The turn of the process that holds a shared lock."""

    def __init__(self, connection: psycopg.Connection | None = None) -> None:
        self._connection = connection

    def check(self) -> None:
        """Check that no other process can have had a turn since this one began.

        A file lock ends with its process. The database also frees a lock when it restarts, when it loses the
        connection, or after the longest turn. Call this after what must not happen twice, and undo it if it fails.

        Raises:
            UnreachableError: the database has freed the lock.
        """
        if self._connection is None:
            return
        try:
            self._connection.execute("SELECT 1")
        except import_psycopg().Error as error:
            raise UnreachableError(
                "the database has freed a lock before its time: it restarted, or the connection to it was lost. "
                "Run the command again."
            ) from error


@contextmanager
def shared_lock(
    name: str, lock: Path, *, longest: float | None = None, on_wait: Callable[[], object] = lambda: None
) -> Iterator[Turn]:
    """Allow one process of all hosts at a time in the block.

    With FCT_DATABASE_URL it is an advisory lock of that database, which ends with the connection of its holder, so
    even after kill -9. Without, it is a file lock, for the processes of this working copy.

    Args:
        name: what the lock protects; the same on all hosts.
        lock: the file, as for `locked`.
        longest: seconds after which the database frees the lock of a holder that does not go on, such as one whose
            host sleeps; None for no limit.
        on_wait: called once before waiting for another process.

    Raises:
        FctError: FCT_DATABASE_URL is wrong, or psycopg is not installed.
        UnreachableError: the database cannot be used.
    """
    url = database_url()
    if url is None:
        with locked(lock, on_wait=on_wait):
            yield Turn()
        return
    with connect(url) as connection:
        _acquire(connection, url, name, on_wait)
        if longest is not None:
            connection.execute(f"SET idle_session_timeout = '{round(1000 * longest)}ms'")
        yield Turn(connection)


@contextmanager
def shared_lock_if_free(name: str, lock: Path) -> Iterator[bool]:
    """Take a shared lock if no other process of any host has it, and yield whether it was taken. Never wait.

    Raises:
        FctError: as `shared_lock`.
    """
    url = database_url()
    if url is None:
        with locked_if_free(lock) as is_taken:
            yield is_taken
        return
    with connect(url) as connection:
        yield _try(connection, url, name)


def _acquire(connection: psycopg.Connection, url: str, name: str, on_wait: Callable[[], object]) -> None:
    if _try(connection, url, name):
        return
    on_wait()
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (lock_key(name),))
    except import_psycopg().OperationalError as error:
        raise unreachable(url, error) from error


def _try(connection: psycopg.Connection, url: str, name: str) -> bool:
    try:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(name),)).fetchone()
    except import_psycopg().OperationalError as error:
        raise unreachable(url, error) from error
    return bool(row and row[0])


def lock_key(name: str) -> int:
    """Return the 64 bits by which PostgreSQL knows a lock."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


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
