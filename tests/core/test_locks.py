"""Locks between processes."""

import subprocess
import sys

import pytest

from fct.core.locks import is_held, locked

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
    """A process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


def test_a_free_lock_is_not_waited_for(lock):
    """Nothing is said where nobody holds the lock, the first time and again."""
    said = []
    for _ in range(2):
        with locked(lock, on_wait=lambda: said.append("waits")):
            pass
    assert said == []


def test_a_killed_process_holds_nothing(lock, holder):
    """Whoever waits says so once, and is let in when the holder is killed by SIGKILL."""
    said = []

    def on_wait():
        said.append("waits")
        holder.kill()

    with locked(lock, on_wait=on_wait):
        assert said == ["waits"]


def test_an_error_in_the_block_frees_the_lock(lock):
    """The lock is free after a block that failed."""
    with pytest.raises(RuntimeError), locked(lock):
        raise RuntimeError
    assert not is_held(lock)


def test_a_lock_can_be_asked_about(lock, holder):
    """`is_held` is true while a process is in the block, and false before there is a file and after its death."""
    assert not is_held(lock.with_name("other.lock"))
    assert is_held(lock)
    holder.kill()
    holder.wait()
    assert not is_held(lock)
