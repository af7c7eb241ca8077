"""A temporary clone for a run with changed parameters, so that the user's files stay as they are.

The clone starts from the last commit. It links to the data in the same DVC cache, shares checkpoints and search trials
(.fct), and tracks to the same MLflow. The result is a branch of the user's repository.

`dvc exp run --temp` is not an alternative. It runs all stages in one command, one after the other, does not share
checkpoints, and leaves its folder behind when the run is killed.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

from prefect import get_run_logger

from fct.core.errors import FctError
from fct.core.paths import CLONES, PARAMS
from fct.tracking.location import database_of
from fct.tracking.server import DEFAULT_URI
from fct.vcs import git
from pipelines.process import output, output_of_server

VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class Clone:
    """A clone, which is the current folder of a run."""

    branch: str  # of the user's repository; it gets the results
    commit: str  # the commit that it started from
    left_out: tuple[str, ...]  # uncommitted files of the user's tree, which the clone lacks
    pushes_data: bool = False  # to the DVC remote

    def keep(self, why: str) -> None:
        """Commit dvc.lock, metrics and plots, and push them to the repository that this is a clone of.

        Data go to the DVC remote first: a branch never names files that nobody has.
        """
        if self.pushes_data:
            output_of_server("dvc", "push", warn=get_run_logger().warning)
        git.commit_outs(why)
        publish(self.branch, patient=self.pushes_data)


@contextmanager
def open_clone(run: str, name: str, params: str, why: str) -> Iterator[Clone]:
    """Make a clone with this params.yaml, committed on a new branch, and work in it. Remove it at the end.

    Only one run at a time works in a project. So an older clone was left by a killed run, and is removed.

    Args:
        run: The id of the run.
        name: The name of the run. The branch is fct/<name>, without characters that git refuses.
        params: The text of the clone's params.yaml.
        why: The message of the commit.

    Raises:
        FctError: the current folder is not a git repository with a commit, or git or DVC refuses.
    """
    home, tree = Path.cwd(), git.tree()
    if tree.commit is None:
        raise FctError("There is no git commit here, but a run with overrides starts from one. Commit first.")
    shutil.rmtree(CLONES, ignore_errors=True)
    folder = (CLONES / run).absolute()
    try:
        output(*git.GIT, "clone", "--quiet", "--shared", str(home), str(folder))
        with chdir(folder), _track_to_home(home):
            _provide_data(home)
            clone = Clone(branch_name(name, run), tree.commit, tree.changed)
            PARAMS.write_text(params)
            git.commit([PARAMS.as_posix()], why)
            publish(clone.branch)  # MLflow names this commit, even if the run fails later
            yield clone
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(branch: str, *, patient: bool = False) -> None:
    """Push the clone's commits to a branch of the repository that it is a clone of; `patient` repeats a failed push.

    Raises:
        FctError: git refuses, for example because the branch has commits that the clone does not have.
    """
    _ask_origin("push", git.RECEIVE, "--quiet", "origin", f"HEAD:refs/heads/{branch}", patient=patient)


@contextmanager
def _track_to_home(home: Path) -> Iterator[None]:
    """Track to the user's own database, unless the environment names a server."""
    uri = os.environ.get(VARIABLE)
    shared = uri or DEFAULT_URI
    with chdir(home):
        database = database_of(shared)
    os.environ[VARIABLE] = f"sqlite:///{database}" if database else shared
    try:
        yield
    finally:
        if uri is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = uri


def branch_name(name: str, run: str, *, patient: bool = False) -> str:
    """Return a valid branch name that the clone's origin does not have; `patient` repeats a failed question.

    Raises:
        FctError: the origin does not answer.
    """
    branch = "fct/" + (re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "run")
    # The clone itself cannot tell: that of a worker has one branch of its origin alone.
    heads = _ask_origin("ls-remote", "--heads", "origin", f"refs/heads/{branch}*", patient=patient)
    existing = {line.partition("\trefs/heads/")[2] for line in heads.splitlines()}
    own = f"{branch}-{run[:8]}"
    retries = (f"{own}-{number}" for number in itertools.count(2))  # Prefect's UI can start the same run again
    return next(free for free in itertools.chain((branch, own), retries) if free not in existing)


def _ask_origin(*arguments: str, patient: bool) -> str:
    """Return the output of a git command that needs the clone's origin; `patient` repeats it if it fails."""
    command = (*git.GIT, *arguments)
    return output_of_server(*command, warn=get_run_logger().warning) if patient else output(*command)


def _provide_data(home: Path) -> None:
    """Give the clone in the current folder the files that are not in git."""
    Path(".git/info/exclude").write_text("/.fct\n")  # .gitignore matches the folder, not a link to it
    Path(".fct").symlink_to(home / ".fct")
    local = Path(".dvc/config.local")
    if (home / local).exists():
        shutil.copy(home / local, local)
    cache = output("dvc", "cache", "dir", cwd=home).strip()
    output("dvc", "config", "--local", "cache.dir", str((home / cache).resolve()))
    with chdir(home):
        paths = git.written_by_pipeline()
    for path in map(Path, paths):  # existing results, committed or not
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(home / path, path)
    # The stages rebuild what the cache lacks.
    subprocess.run(["dvc", "checkout", "--quiet"], capture_output=True, check=False)
