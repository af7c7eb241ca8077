"""A temporary clone, in which a run with changed parameters leaves the user's tree alone.

It starts from the last commit, holds the data by links into the same DVC cache, shares checkpoints and search trials
(.fct) and tracks to the same MLflow. What comes out of it is a branch of the user's repository.
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

from fct.core.errors import FctError
from fct.core.paths import PARAMS
from fct.tracking.server import DEFAULT_URI
from fct.vcs import git
from pipelines.process import output

CLONES = Path(".fct/clones")
OWNER = "owner"  # beside a clone: the pid of the process at work in it
VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class Clone:
    """A clone at work, which is the current folder."""

    home: Path  # the user's tree
    branch: str  # of the user's repository, where its results go
    commit: str  # that it started from
    left_out: tuple[str, ...]  # changed files of the user's tree that no commit holds, and so the clone lacks

    def keep(self, why: str) -> None:
        """Commit dvc.lock, metrics and plots, and bring them into the user's repository."""
        git.commit_outs(why)
        self.publish()

    def publish(self) -> None:
        """Bring the branch, as it stands, into the user's repository."""
        output("git", "push", "--quiet", "--force", str(self.home), f"HEAD:refs/heads/{self.branch}")


@contextmanager
def clone(run: str, name: str, params: str, why: str) -> Iterator[Clone]:
    """Make a clone with this params.yaml, committed on a branch of its own, and stand in it; remove it at the end.

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
    _forget_dead()
    folder = (CLONES / run).absolute()
    folder.mkdir(parents=True)
    try:
        (folder / OWNER).write_text(str(os.getpid()))
        place = folder / "tree"
        output("git", "clone", "--quiet", "--shared", str(home), str(place))
        with chdir(place), _tracked_at(home):
            _furnish(home)
            made = Clone(home, _branch(name, run), tree.commit, tree.changed)
            PARAMS.write_text(params)
            git.commit([PARAMS.as_posix()], why)
            made.publish()  # the commit that MLflow names, whatever becomes of the run
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
        made = git.made()
    for path in map(Path, made):  # what is made already, whether it was committed or not
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(home / path, path)
    # What the cache lacks is made anew.
    subprocess.run(["dvc", "checkout", "--quiet"], capture_output=True, check=False)


def _forget_dead() -> None:
    """Remove what runs left that were killed."""
    import psutil

    for owner in CLONES.glob(f"*/{OWNER}"):
        if not psutil.pid_exists(int(owner.read_text() or 0)):
            shutil.rmtree(owner.parent, ignore_errors=True)
