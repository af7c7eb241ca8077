"""A temporary clone, in which a run with changed parameters leaves the user's tree alone.

It starts from the last commit, holds the data by links into the same DVC cache, shares checkpoints and search trials
(.fct) and tracks to the same MLflow. What comes out of it is a branch of the user's repository.

`dvc exp run --temp` does not serve: it runs the stages one after the other in one command, in a folder of its own that
does not share checkpoints and stays when the run is killed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fct.core import environment
from fct.core.errors import FctError
from fct.core.paths import CLONES, ENVIRONMENT, PARAMS
from fct.tracking.server import DEFAULT_URI
from fct.vcs import git
from pipelines.process import output

VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class Clone:
    """A clone at work, which is the current folder."""

    branch: str  # of the user's repository, where its results go
    commit: str  # that it started from
    left_out: tuple[str, ...]  # changed files of the user's tree that no commit holds, and so the clone lacks

    def keep(self, why: str) -> None:
        """Commit dvc.lock, metrics and plots, and bring them into the user's repository."""
        git.commit_outs(why)
        _publish(self.branch)


@contextmanager
def clone(run: str, name: str, params: str, why: str) -> Iterator[Clone]:
    """Make a clone with this params.yaml, committed on a branch of its own, and stand in it; remove it at the end.

    One run at a time works in a project: a clone that is there already was left by a run that was killed.

    Args:
        run: The id of the run.
        name: What people call it; the branch is fct/<name>, as far as git can have it.
        params: The text of its params.yaml.
        why: The commit's message.

    Raises:
        FctError: the current folder is no git repository with a commit, or git or DVC refuses.
    """
    home, tree = Path.cwd(), git.tree()
    if tree.commit is None:
        raise FctError("this is not a git repository with a commit. A run with overrides starts from a commit.")
    shutil.rmtree(CLONES, ignore_errors=True)
    folder = (CLONES / run).absolute()
    try:
        output("git", "clone", "--quiet", "--shared", str(home), str(folder))
        with chdir(folder), _tracked_at(home):
            _furnish(home)
            made = Clone(_branch(name, run), tree.commit, tree.changed)
            PARAMS.write_text(params)
            environment.write()
            git.commit([PARAMS.as_posix(), ENVIRONMENT.as_posix()], why)
            _publish(made.branch)  # the commit that MLflow names, whatever becomes of the run
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(branch: str) -> None:
    """Bring the clone's commits into the user's repository, from which it was cloned."""
    output("git", "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch}")


@contextmanager
def _tracked_at(home: Path) -> Iterator[None]:
    """Track to the user's own database, unless the environment names a server."""
    given = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = re.sub(r"^sqlite:///(?!/)", f"sqlite:///{home}/", given or DEFAULT_URI)
    try:
        yield
    finally:
        if given is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = given


def _branch(name: str, run: str) -> str:
    """Return a branch that git can have and the clone's origin lacks."""
    branch = "fct/" + (re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "run")
    taken = output("git", "branch", "--remotes", "--list", f"origin/{branch}").strip()
    return f"{branch}-{run[:8]}" if taken else branch


def _furnish(home: Path) -> None:
    """Give the clone in the current folder what git does not hold."""
    Path(".git/info/exclude").write_text("/.fct\n")  # .gitignore means the folder, not a link to it
    Path(".fct").symlink_to(home / ".fct")
    local = Path(".dvc/config.local")
    if (home / local).exists():
        shutil.copy(home / local, local)
    cache = output("dvc", "cache", "dir", cwd=home).strip()
    output("dvc", "config", "--local", "cache.dir", str((home / cache).resolve()))
    with chdir(home):
        made = git.written_by_pipeline()
    for path in map(Path, made):  # what is made already, whether it was committed or not
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(home / path, path)
    # What the cache lacks is made anew.
    subprocess.run(["dvc", "checkout", "--quiet"], capture_output=True, check=False)
