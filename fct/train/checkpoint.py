"""Checkpoints that survive kill -9 and never feed another training.

A training's folder is named after a digest of everything that decides its weights (data, params, code, torch), so a
changed parameter looks elsewhere. The folder lies outside DVC's outs, which DVC deletes before each run.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

import fct
from fct.core.files import digest, sha256, write_bytes
from fct.core.paths import CHECKPOINTS
from fct.models.state import load_state, serialise

# Whose code decides the weights; the tables are what blocks may know a quality by.
CODE = ("images/tables.py", "jpeg", "nn", "losses", "splits", "cache", "models", "methods", "train")
KEPT = 3  # trainings whose checkpoint stays


class Checkpoint:
    """The last checkpoint of one training."""

    def __init__(self, identity: dict[str, Any], root: Path = CHECKPOINTS) -> None:
        """Name the training by `identity`: JSON of the data's and caches' digests and of all params that it reads."""
        self.root = root
        self.path = root / digest({**identity, "code": code_digest(), "torch": torch.__version__}) / "last.pt"

    def load(self) -> dict[str, Any] | None:
        """Return what was last saved, on the CPU, or None.

        Raises:
            FctError: the file is damaged.
        """
        if not self.path.exists():
            return None
        return load_state(self.path, "Remove it to train from the start.")

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint, whole or not at all, and forget all but the newest trainings."""
        write_bytes(self.path, serialise(state))
        for old in sorted(self.root.iterdir(), key=_newest_first)[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    def forget(self) -> None:
        """Remove the checkpoint of a training that has ended."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


def _newest_first(folder: Path) -> float:
    """Return what sorts folders so; one that another process has just removed comes last."""
    try:
        return -folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def code_digest(*besides: str) -> str:
    """Return a digest of the code that decides what a training comes to, and of the packages `besides`."""
    package = Path(fct.__file__).parent
    places = [package / name for name in (*CODE, *besides)]
    files = (path for place in places for path in ([place] if place.is_file() else sorted(place.rglob("*.py"))))
    return digest([[str(path.relative_to(package)), sha256(path)] for path in files])
