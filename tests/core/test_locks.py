"""Locks between processes."""

import subprocess
import sys
import time

import pytest

from fct.core.errors import UnreachableError
from fct.core.locks import is_held, locked, locked_if_free, shared_lock, shared_lock_if_free

HOLDER = """
import sys
from pathlib import Path
from fct.core.locks import locked
with locked(Path(sys.argv[1])):
    print("in", flush=True)
    input()
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / ".fct/one.lock"


@pytest.fixture
def holder(lock):
    """Start a process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


def test_a_free_lock_needs_no_waiting(lock):
    """on_wait is not called for a free lock, even at the second use."""
    messages = []
    for _ in range(2):
        with locked(lock, on_wait=lambda: messages.append("waits")):
            pass
    assert messages == []


def test_a_killed_process_holds_nothing(lock, holder):
    """on_wait is called once, and the block runs after the holder was killed."""
    messages = []

    def on_wait():
        messages.append("waits")
        holder.kill()

    with locked(lock, on_wait=on_wait):
        assert messages == ["waits"]


def test_an_error_in_the_block_frees_the_lock(lock):
    """The lock is free after a block that failed."""
    with pytest.raises(RuntimeError), locked(lock):
        raise RuntimeError
    assert not is_held(lock)


def test_is_held_reports_the_state_of_a_lock(lock, holder):
    """`is_held` is true while a process is in the block, and false without a file and after a kill."""
    assert not is_held(lock.with_name("other.lock"))
    assert is_held(lock)
    holder.kill()
    holder.wait()
    assert not is_held(lock)


def test_a_lock_that_is_held_is_not_waited_for(lock, holder):
    """The block runs at once and is told that it does not have the lock; later it has."""
    with locked_if_free(lock) as is_taken:
        assert not is_taken
    holder.communicate("\n")
    with locked_if_free(lock) as is_taken:
        assert is_taken
        assert is_held(lock)
    assert not is_held(lock)


SHARED_HOLDER = """
import sys
from pathlib import Path
from fct.core.locks import shared_lock
with shared_lock("name", Path(sys.argv[1])):
    print("in", flush=True)
    input()
"""


@pytest.fixture
def shared_holder(lock, database):  # noqa: ARG001  # the process finds it in the environment
    """Start a process that holds the lock of all hosts."""
    command = [sys.executable, "-c", SHARED_HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


def test_without_a_database_the_lock_of_all_hosts_is_the_file(lock, holder, monkeypatch):
    """A process with the file lock keeps it."""
    monkeypatch.delenv("FCT_DATABASE_URL", raising=False)
    with shared_lock_if_free("name", lock) as is_taken:
        assert not is_taken
    holder.kill()
    with shared_lock("name", lock) as turn:
        turn.check()


def test_a_database_locks_between_working_copies(lock, shared_holder):
    """Another working copy, with another file, waits; another name does not. kill -9 of the holder frees the lock."""
    other = lock.with_name("elsewhere.lock")
    with shared_lock_if_free("name", other) as is_taken:
        assert not is_taken
    with shared_lock_if_free("other name", other) as is_taken:
        assert is_taken
    messages = []

    def on_wait():
        messages.append("waits")
        shared_holder.kill()

    began = time.monotonic()
    with shared_lock("name", other, on_wait=on_wait) as turn:
        turn.check()
    assert messages == ["waits"]
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("database")
def test_an_error_in_the_block_frees_the_lock_of_all_hosts(lock):
    """The next process does not wait."""
    with pytest.raises(RuntimeError), shared_lock("name", lock):
        raise RuntimeError
    with shared_lock_if_free("name", lock) as is_taken:
        assert is_taken


@pytest.mark.usefixtures("database")
def test_a_holder_that_sleeps_loses_its_turn_and_is_told(lock):
    """After the longest turn another process gets the lock, and the check of the first fails."""
    with shared_lock("name", lock, longest=0.2) as turn:
        with shared_lock("name", lock) as next_turn:
            next_turn.check()
        with pytest.raises(UnreachableError, match="freed a lock before its time"):
            turn.check()


@pytest.mark.usefixtures("database")
def test_a_restarted_database_ends_a_turn(lock, postgres):
    """The check says so."""
    with shared_lock("name", lock) as turn:
        postgres.restart()
        with pytest.raises(UnreachableError):
            turn.check()


def test_a_database_that_is_away_is_named_without_its_password(lock, monkeypatch):
    """The error names the variable and the address."""
    monkeypatch.setenv("FCT_DATABASE_URL", "postgresql://u:geheim@127.0.0.1:1/d")
    with (
        pytest.raises(UnreachableError, match=r"FCT_DATABASE_URL=postgresql://u@127\.0\.0\.1:1/d") as error,
        shared_lock("name", lock),
    ):
        pass
    assert "geheim" not in str(error.value)
