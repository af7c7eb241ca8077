"""Runs in a work pool: any worker of the pool can take them, on any host.

A worker gives each run a clean clone of the repository, in which the run works. The run pulls the data from the DVC
remote, and pushes its outs there and its results to a git branch. What must survive a run on its host, as the clone
does not, are the checkpoints of trainings and DVC's cache.
"""

from __future__ import annotations

import os
from pathlib import Path

from fct.core.errors import FctError
from fct.core.paths import CHECKPOINTS, PARAMS
from fct.vcs import git
from pipelines.clone import Clone, branch_name, publish
from pipelines.process import output

VARIABLE = "FCT_POOL"  # environment variable of such a run: the name of its pool
KEPT = Path("~/.cache/fct")  # of the worker's user


def is_pool_run() -> bool:
    """Return whether this process is a run in a work pool."""
    return VARIABLE in os.environ


def prepare(run: str, name: str, params: str | None, why: str) -> Clone:
    """Prepare the clone that the worker made, which is the current folder. The worker removes it.

    Args:
        run: The id of the run.
        name: The name of the run. Its branch is fct/<name>, without characters that git refuses.
        params: The text of the run's params.yaml; None leaves it as it is.
        why: The message of the commit that changes params.yaml.

    Raises:
        FctError: the current folder is not a git repository, or git or DVC refuses.
    """
    commit = git.tree().commit
    if commit is None:
        raise FctError("The worker's folder is not a git repository. Register the deployments anew with `make deploy`.")
    _keep_between_runs()
    branch = branch_name(name, run)
    if params is not None:
        PARAMS.write_text(params)
        git.commit([PARAMS.as_posix()], why)
    publish(branch)  # MLflow names this commit, even if the run fails later
    has_remote = bool(output("dvc", "remote", "list").strip())
    if has_remote:
        output("dvc", "pull", "--quiet", "--allow-missing")  # the stages make what the remote lacks
    return Clone(branch, commit, (), pushes_data=has_remote)


def _keep_between_runs() -> None:
    """Use checkpoints and a DVC cache of this host, so that a run can go on where a killed one stopped."""
    kept = KEPT.expanduser()
    (kept / "checkpoints").mkdir(parents=True, exist_ok=True)
    CHECKPOINTS.parent.mkdir(exist_ok=True)
    if not CHECKPOINTS.exists():
        CHECKPOINTS.symlink_to(kept / "checkpoints")
    output("dvc", "config", "--local", "cache.dir", str(kept / "dvc"))
