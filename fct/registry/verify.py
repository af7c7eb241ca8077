"""Whether a registered version can be made again: `fct verify`.

Its commit is checked out in a temporary clone, its data come from DVC's cache or remote, and the stages that export,
evaluate and judge run anew there, or the training and all after it. The user's own tree, caches aside, is not touched.
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
from fct.core.paths import DVC_YAML, ENVIRONMENT, FP32, INT8, Candidate

DATA = ("data/splits", "data/originals")
CACHES, NETWORK = "data/cache/index.json", "model/model.pt"
AFTER_EXPORT = ("evaluate", "gate")
TOLERANCE = 0.005  # of a check's value, where another machine's arithmetic gives another file
VOLATILE = ("latency_ms",)  # what is of the machine, not of the model


@dataclass(frozen=True)
class Rebuilt:
    """What came of it."""

    same_file: bool
    differences: dict[str, tuple[float, float]]  # by check, then and now, of those further apart than TOLERANCE
    commit: str

    @property
    def is_confirmed(self) -> bool:
        """Whether the version was made again: the same file, or one that measures the same."""
        return self.same_file or not self.differences


def rebuild(tags: Mapping[str, str], *, full: bool) -> Rebuilt:
    """Make the version with these tags again, in a clone that is removed at the end.

    Args:
        tags: of the registered version.
        full: train too, instead of taking the network from DVC.

    Raises:
        FctError: the version does not say how it was made, its commit or data are not to be had, or a stage failed.
    """
    commit, digest = tags.get("fct.commit"), tags.get("fct.sha256")
    if not commit or not digest or "fct.checks" not in tags:
        raise FctError("this version does not say by which commit it was made: it was registered by other means.")
    candidate = INT8 if tags.get("fct.precision") == INT8.precision else FP32
    home = Path.cwd()
    with TemporaryDirectory() as folder:
        place = Path(folder) / "tree"
        _run(["git", "clone", "--quiet", "--shared", "--no-checkout", str(home), str(place)], home)
        lost = f"the commit {commit[:10]} is not in this repository; fetch it with git"
        _run(["git", "checkout", "--quiet", commit], place, lost)
        environment = _environment(place)
        _furnish(home, place, environment, [*DATA, CACHES if full else NETWORK])
        if (place / ENVIRONMENT).exists():  # train with what is installed here
            write_environment(place / ENVIRONMENT)
        again = ["--single-item", _export(place), *AFTER_EXPORT, *([INT8.stage] if candidate is INT8 else [])]
        asked = ["dvc", "repro", "--force", "--no-run-cache", *(["--downstream", "train"] if full else again)]
        _run(asked, place, environment=environment, shown=True)
        return _compared(place, candidate, tags, commit)


def _export(place: Path) -> str:
    """Return what the stage is called that exports the candidate: in earlier commits it exported nothing else."""
    stages = YAML(typ="safe").load((place / DVC_YAML).read_text())["stages"]
    return "export@model" if "matrix" in stages["export"] else "export"


def _furnish(home: Path, place: Path, environment: Mapping[str, str], needed: Sequence[str]) -> None:
    """Give the clone its data: from this project's DVC cache, or else from its remote."""
    if (home / ".dvc/config.local").exists():  # where the remote's credentials are
        (place / ".dvc/config.local").write_text((home / ".dvc/config.local").read_text())
    cache = _run(["dvc", "cache", "dir"], home).strip()
    _run(["dvc", "config", "--local", "cache.dir", str((home / cache).resolve())], place, environment=environment)
    for command in ("checkout", "pull"):  # of all that there is; outs that nothing here needs may be gone
        with suppress(FctError):
            _run(["dvc", command, "--quiet"], place, environment=environment)
        missing = [path for path in needed if not (place / path).exists()]
        if not missing:
            return
    raise FctError(f"{missing[0]} of that commit is neither in DVC's cache nor in a remote. `dvc pull` says why.")


def _compared(place: Path, candidate: Candidate, tags: Mapping[str, str], commit: str) -> Rebuilt:
    then: dict[str, float] = json.loads(tags["fct.checks"])
    verdict = json.loads((place / candidate.verdict).read_text())
    now = {check["name"]: float(check["value"]) for check in verdict["checks"]}
    apart = {
        name: (then[name], now.get(name, float("nan")))
        for name in then
        if name not in VOLATILE and not abs(then[name] - now.get(name, float("nan"))) <= TOLERANCE
    }
    return Rebuilt(sha256(place / candidate.model) == tags["fct.sha256"], apart, commit)


def _environment(place: Path) -> dict[str, str]:
    """Return an environment in which the clone's own code runs, and tracks to a database of its own."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(place),
        "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db",
        "DVC_SITE_CACHE_DIR": str(place / ".dvc/tmp/site"),
    }


def _run(
    command: Sequence[str],
    folder: Path,
    wrong: str = "",
    environment: Mapping[str, str] | None = None,
    *,
    shown: bool = False,
) -> str:
    """Return what a command prints; where it fails, say what is `wrong` and its own last words."""
    into: Any = None if shown else subprocess.PIPE
    done = subprocess.run(command, cwd=folder, env=environment, stdout=into, stderr=into, text=True, check=False)
    if done.returncode:
        last = (done.stderr or "").strip().splitlines()[-1:]
        raise FctError(": ".join([wrong or f"{' '.join(command[:2])} failed", *last]))
    return done.stdout or ""
