"""One training at a time in a working copy: two would share a GPU's memory, or a CPU's cores, badly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fct.core.locks import locked

LOCK = Path(".fct/training.lock")


@contextmanager
def turn() -> Iterator[None]:
    """Wait, and say so, until no other stage of this working copy trains."""
    with locked(LOCK, on_wait=lambda: print("waiting for another training of this project to end")):
        yield
