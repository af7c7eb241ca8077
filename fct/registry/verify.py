"""Rebuilds a registered version from its commit and compares the two: `fct verify`.

The commit is checked out in a temporary clone, and the data come from DVC's cache or remote. There the stages that
export, evaluate and judge run again, or the training and all stages after it. The user's files do not change; DVC's
cache may grow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from fct.core.environment import write as write_environment
from fct.core.errors import FctError
from fct.core.files import sha256
from fct.core.paths import CACHE_INDEX, DVC_YAML, ENVIRONMENT, FP32, INT8, MODEL_PT, ORIGINALS, SPLITS, Candidate
from fct.registry import toolchain

AFTER_EXPORT = ("evaluate", "gate")
TOLERANCE = 0.005  # of a check's value; on another machine, arithmetic may give another file
VOLATILE = ("latency_ms",)  # checks that depend on the machine


@dataclass(frozen=True)
class Rebuilt:
    """The result of a rebuild."""

    same_file: bool
    differences: dict[str, tuple[float, float]]  # by check: value then and now, where further apart than TOLERANCE
    commit: str
    toolchain: dict[str, tuple[str, str]]  # by Python or package: its version then and now, where they differ

    @property
    def is_confirmed(self) -> bool:
        """Whether the rebuild confirms the version: it is the same file, or its checks have the same values."""
        return self.same_file or not self.differences


def rebuild(tags: Mapping[str, str], *, full: bool) -> Rebuilt:
    """Rebuild the version with these tags, in a temporary clone.

    Args:
        tags: the tags of the registered version.
        full: train again too, instead of taking the network from DVC.

    Raises:
        FctError: the version names no commit, its commit or data are missing, or a stage failed.
    """
    commit, digest = tags.get("fct.commit"), tags.get("fct.sha256")
    if not commit or not digest or "fct.checks" not in tags:
        raise FctError("This version does not name the commit that made it: `fct promote` did not register it.")
    candidate = INT8 if tags.get("fct.precision") == INT8.precision else FP32
    home = Path.cwd()
    with TemporaryDirectory() as folder:
        clone = Path(folder) / "tree"
        _run(["git", "clone", "--quiet", "--shared", "--no-checkout", str(home), str(clone)], home)
        error = f"The commit {commit[:10]} is not in this repository. Fetch it with git"
        _run(["git", "checkout", "--quiet", commit], clone, error)
        environment = _environment(clone)
        _provide_data(home, clone, environment, [SPLITS, ORIGINALS, CACHE_INDEX if full else MODEL_PT])
        if (clone / ENVIRONMENT).exists():  # train with what is installed here
            write_environment(clone / ENVIRONMENT)
        stages = ["--single-item", _export_stage(clone), *AFTER_EXPORT, *([INT8.stage] if candidate is INT8 else [])]
        command = ["dvc", "repro", "--force", "--no-run-cache", *(["--downstream", "train"] if full else stages)]
        _run(command, clone, environment=environment, is_shown=True)
        return _compare(clone, candidate, tags, commit)


def _export_stage(clone: Path) -> str:
    """Return the name of the stage that exports the candidate; in older commits it exported nothing else."""
    stages = YAML(typ="safe").load((clone / DVC_YAML).read_text())["stages"]
    return "export@model" if "matrix" in stages["export"] else "export"


def _provide_data(home: Path, clone: Path, environment: Mapping[str, str], needed: Sequence[Path]) -> None:
    """Get the clone's data from this project's DVC cache, or else from its remote."""
    if (home / ".dvc/config.local").exists():  # where the remote's credentials are
        (clone / ".dvc/config.local").write_text((home / ".dvc/config.local").read_text())
    cache = _run(["dvc", "cache", "dir"], home).strip()
    _run(["dvc", "config", "--local", "cache.dir", str((home / cache).resolve())], clone, environment=environment)
    for command in ("checkout", "pull"):  # they fail if any out is missing, even one that is not needed
        with suppress(FctError):
            _run(["dvc", command, "--quiet"], clone, environment=environment)
        missing = [path for path in needed if not (clone / path).exists()]
        if not missing:
            return
    raise FctError(f"{missing[0]} of this commit is neither in DVC's cache nor in a remote. `dvc pull` shows why.")


def _compare(clone: Path, candidate: Candidate, tags: Mapping[str, str], commit: str) -> Rebuilt:
    then: dict[str, float] = json.loads(tags["fct.checks"])
    verdict = json.loads((clone / candidate.verdict).read_text())
    now = {check["name"]: float(check["value"]) for check in verdict["checks"]}
    differences = {
        name: (then[name], now.get(name, float("nan")))
        for name in then
        if name not in VOLATILE and not abs(then[name] - now.get(name, float("nan"))) <= TOLERANCE
    }
    return Rebuilt(
        sha256(clone / candidate.model) == tags["fct.sha256"], differences, commit, toolchain.differences(tags)
    )


def _environment(clone: Path) -> dict[str, str]:
    """Return an environment that runs the clone's own code and tracks to the clone's own database."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(clone),
        "MLFLOW_TRACKING_URI": f"sqlite:///{clone}/mlflow.db",
        "DVC_SITE_CACHE_DIR": str(clone / ".dvc/tmp/site"),
    }


def _run(
    command: Sequence[str],
    folder: Path,
    error: str = "",
    environment: Mapping[str, str] | None = None,
    *,
    is_shown: bool = False,
) -> str:
    """Run a command and return its output.

    Raises:
        FctError: the command failed. The message is `error` and the last line that the command wrote.
    """
    stream: Any = None if is_shown else subprocess.PIPE
    process = subprocess.run(command, cwd=folder, env=environment, stdout=stream, stderr=stream, text=True, check=False)
    if process.returncode:
        last = (process.stderr or "").strip().splitlines()[-1:]
        raise FctError(": ".join([error or f"{' '.join(command[:2])} failed", *last]))
    return process.stdout or ""
