"""Allow one training at a time in a working copy. Two would compete for a GPU's memory or a CPU's cores."""

from __future__ import annotations

from contextlib import AbstractContextManager

from fct.core.locks import locked
from fct.core.paths import TRAINING_LOCK


def training_lock() -> AbstractContextManager[None]:
    """Hold the lock of trainings in this working copy. Print a message if it has to wait."""
    return locked(TRAINING_LOCK, on_wait=lambda: print("waiting for another training of this project to end"))
