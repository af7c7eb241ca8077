"""One training at a time in a working copy: two would share a GPU's memory, or a CPU's cores, badly."""

from __future__ import annotations

from contextlib import AbstractContextManager

from fct.core.locks import locked
from fct.core.paths import TRAINING_LOCK


def training_lock() -> AbstractContextManager[None]:
    """Wait, and say so, until no other stage of this working copy trains."""
    return locked(TRAINING_LOCK, on_wait=lambda: print("waiting for another training of this project to end"))
