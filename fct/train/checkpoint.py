"""Checkpoints that survive kill -9 and are only used by the training that wrote them.

The folder of a checkpoint is named after a digest of everything that decides the weights: data, params, code, torch. A
changed parameter therefore gives another folder. The folders are outside DVC's outs, which DVC deletes before each run.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

import fct
from fct.core.environment import installed
from fct.core.files import digest, sha256, write_bytes
from fct.core.paths import CHECKPOINTS
from fct.models.state import load_state, serialise

# Code that decides the weights. It includes `images`: it scales crops, and reads the qualities that blocks are told.
CODE = ("images", "jpeg", "nn", "losses", "splits", "cache", "models", "methods", "train")
KEEP = 3  # newest trainings whose checkpoint is kept


class Checkpoint:
    """The last checkpoint of one training."""

    def __init__(self, identity: dict[str, Any], root: Path = CHECKPOINTS, keep: int | None = KEEP) -> None:
        """Identify a training.

        Args:
            identity: JSON with the digests of data and caches, and all params that the training reads.
            root: the folder of the checkpoints of all trainings.
            keep: of how many trainings, the newest, a checkpoint stays; None for all, where several train at a time.
        """
        self.root, self.keep = root, keep
        self.digest = digest(
            {**identity, "code": code_digest(), "packages": installed().model_dump(), "torch": torch.__version__}
        )
        self.path = root / self.digest / "last.pt"

    def load(self) -> dict[str, Any] | None:
        """Return the last saved state, on the CPU, or None.

        Raises:
            FctError: the file is damaged.
        """
        if not self.path.exists():
            return None
        return load_state(self.path, "Delete it to train from the start.")

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint atomically, and delete those of all but the newest trainings."""
        write_bytes(self.path, serialise(state))
        if self.keep is not None:
            for folder in sorted(self.root.iterdir(), key=_newest_first)[self.keep :]:
                shutil.rmtree(folder, ignore_errors=True)

    def forget(self) -> None:
        """Delete the checkpoint of a training that has ended."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


def _newest_first(folder: Path) -> float:
    """Return a sort key for folders, newest first. A folder that another process has just deleted comes last."""
    try:
        return -folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def code_digest(*packages: str) -> str:
    """Return a digest of the code that decides the weights of a training, and of further `packages` of fct."""
    package = Path(fct.__file__).parent
    paths = [package / name for name in (*CODE, *packages)]
    files = (file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.py"))))
    return digest([[str(file.relative_to(package)), sha256(file)] for file in files])
