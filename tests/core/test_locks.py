"""Locks between processes."""

import subprocess
import sys

import pytest

from fct.core.locks import is_held, locked, locked_if_free

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
