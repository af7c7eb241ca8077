"""What DVC costs on caches of many gigabytes: to record them, to see that nothing changed, and to look at all again.

A project of its own in a temporary folder has shards of the real layout and size, of random pixels. Its stage `train`
depends on all of them, as the real one does. Nothing is left of it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fct.cache.store import cache_folder, shard_name
from fct.core.errors import FctError
from fct.core.paths import CACHE

PIXELS = 224
SHARD = 256 * 2**20 // (3 * PIXELS**2)  # images
SMALL = 16  # pixels a side of the only image of a small shard
ROUNDS = 5
SPARE = 2 * 2**30  # bytes that stay free
REPOSITORY = Path(__file__).parents[1]
DAG = """
stages:
  cache:
    matrix: {{ quality: {qualities} }}
    cmd: "true"
    outs: ["data/cache/q${{item.quality}}"]
  train:
    cmd: echo trained > model
    deps: [data/cache]
    outs: [model]
"""


class Case(NamedTuple):
    """Caches to make."""

    qualities: int
    shards: int  # of each quality
    images: int  # of each shard
    pixels: int  # a side

    @property
    def bytes(self) -> int:
        """Of all pixels."""
        return self.qualities * self.shards * self.images * 3 * self.pixels**2


CASES = {
    "1 GB": Case(2, 2, SHARD, PIXELS),
    "10 GB": Case(5, 8, SHARD, PIXELS),
    "as many shards as ImageNet-1k, of 1 KB": Case(9, 719, 1, SMALL),
}


def measure(case: Case) -> dict[str, Any]:
    """Make the caches, let DVC record them, and time it.

    Raises:
        FctError: the disk of the temporary folder has too little room, or DVC failed.
    """
    folder = Path(tempfile.gettempdir())
    needed = 2 * case.bytes + SPARE  # DVC's cache has copies where the file system knows no links
    if (free := shutil.disk_usage(folder).free) < needed:
        raise FctError(f"{folder} has {free / 1e9:.0f} GB free, {needed / 1e9:.0f} GB are needed. Set TMPDIR.")
    with tempfile.TemporaryDirectory(prefix="fct-status-") as made:
        project = Path(made)
        _make(project, case)
        recorded = _time(project, "commit", "--force", "--quiet")
        nothing = [_time(project, "status", "--quiet") for _ in range(ROUNDS)]
        shutil.rmtree(_memory(project))
        again = _time(project, "status", "--quiet")
        empty = statistics.median(_time(project, "version") for _ in range(ROUNDS))
    return {
        "gigabytes": round(case.bytes / 1e9, 2),
        "files": case.qualities * case.shards,
        "seconds to record": round(recorded, 1),
        "seconds of a status": round(statistics.median(nothing), 2),
        "slowest status": round(max(nothing), 2),
        "seconds of a status that reads all": round(again, 1),
        "seconds of dvc version": round(empty, 2),
    }


def _make(project: Path, case: Case) -> None:
    qualities = [10 * (number + 1) for number in range(case.qualities)]
    for words in (["git", "init", "--quiet"], [*_dvc(), "init", "--quiet"]):
        _run(project, words)
    shutil.copy(REPOSITORY / ".dvc/config", project / ".dvc/config")
    (project / "dvc.yaml").write_text(DAG.format(qualities=qualities))
    rng, side = np.random.default_rng(0), case.pixels
    for quality in qualities:
        folder = project / cache_folder(quality, CACHE)
        folder.mkdir(parents=True)
        for number in range(case.shards):
            shape = (case.images, side, side, 3)
            np.save(folder / shard_name("train", number), rng.integers(0, 256, shape, dtype=np.uint8))
    (project / "model").write_text("trained\n")


def _memory(project: Path) -> Path:
    """Return the folder in which DVC remembers the checksums of files that have not changed."""
    return project / ".dvc/tmp/site"


def _dvc() -> list[str]:
    return [sys.executable, "-m", "dvc"]


def _time(project: Path, *arguments: str) -> float:
    begun = time.perf_counter()
    _run(project, [*_dvc(), *arguments])
    return time.perf_counter() - begun


def _run(project: Path, command: Sequence[str]) -> None:
    """Run a command in the project.

    Raises:
        FctError: it failed, or `dvc status` found a change.
    """
    environment = os.environ | {"DVC_SITE_CACHE_DIR": str(_memory(project)), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FctError(f"{' '.join(command)} ended with status {done.returncode}: {done.stdout}{done.stderr}")
