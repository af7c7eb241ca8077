"""Runs in a work pool: any worker of the pool can take them, on any host.

A worker gives each run a clean clone of the repository, in which the run works. The run pulls the data from the DVC
remote, and pushes its outs there and its results to a git branch. What must survive a run on its host, as the clone
does not, are the checkpoints of trainings and DVC's cache. Only one run at a time works on a host.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from prefect import get_run_logger

from fct import tracking
from fct.core.errors import FctError, UnreachableError
from fct.core.files import write_text
from fct.core.paths import CHECKPOINTS, PARAMS
from fct.vcs import git
from pipelines import closed
from pipelines.clone import Clone, branch_name, publish
from pipelines.process import output, output_of_server

VARIABLE = "FCT_POOL"  # environment variable of such a run: the name of its pool
KEPT = Path("~/.cache/fct")  # of the worker's user


def is_pool_run() -> bool:
    """Return whether this process is a run in a work pool."""
    return VARIABLE in os.environ


def host_lock() -> Path:
    """Return the file that the run at work on this host locks."""
    kept = KEPT.expanduser()
    kept.mkdir(parents=True, exist_ok=True)
    return kept / "running.lock"


def prepare(run: str, name: str, params: str | None, why: str) -> Clone:
    """Prepare the clone that the worker made, which is the current folder. The worker removes it.

    The caller holds `host_lock`: any other clone on this host is that of a run whose worker was killed, and is removed.

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
    _remove_dead_clones(run)
    _keep_between_runs()
    branch = branch_name(name, run, patient=True)
    if params is not None:
        PARAMS.write_text(params)
        git.commit([PARAMS.as_posix()], why)
    publish(branch, patient=True)  # MLflow names this commit, even if the run fails later
    has_remote = bool(output("dvc", "remote", "list").strip())
    if has_remote:
        # The stages make what the remote lacks.
        output_of_server("dvc", "pull", "--allow-missing", warn=get_run_logger().warning)
    _close_dead_runs()
    return Clone(branch, commit, (), pushes_data=has_remote)


def _remove_dead_clones(run: str) -> None:
    """Remove the clones that killed workers left on this host, and note the current folder as the clone of this run."""
    notes = KEPT.expanduser() / "clones"
    notes.mkdir(parents=True, exist_ok=True)
    for note in notes.iterdir():
        clone = Path(note.read_text())
        if clone != Path.cwd():
            shutil.rmtree(clone, ignore_errors=True)
            with suppress(OSError):  # the worker's temporary folder, if nothing else is in it
                clone.parent.rmdir()
        note.unlink()
    write_text(notes / run, str(Path.cwd()))


def _close_dead_runs() -> None:
    """Close what killed runs left open in Prefect, and in MLflow if they were of this host."""
    closed.close_stages()
    try:
        tracking.close_dead_runs()
    except UnreachableError as error:
        get_run_logger().warning(str(error))


def _keep_between_runs() -> None:
    """Use checkpoints and a DVC cache of this host, so that a run can go on where a killed one stopped."""
    kept = KEPT.expanduser()
    (kept / "checkpoints").mkdir(parents=True, exist_ok=True)
    CHECKPOINTS.parent.mkdir(exist_ok=True)
    if not CHECKPOINTS.exists():
        CHECKPOINTS.symlink_to(kept / "checkpoints")
    for temporary in (kept / "dvc/files").rglob(".*.tmp"):  # half-written by a run that was killed, or met a full disk
        temporary.unlink()
    output("dvc", "config", "--local", "cache.dir", str(kept / "dvc"))
