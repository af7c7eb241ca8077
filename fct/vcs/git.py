"""Reads git: the commit of the working tree, and its changes since then; makes commits."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fct.core.errors import FctError
from fct.core.paths import DVC_LOCK, DVC_YAML, ENVIRONMENT

# git without the programs that a repository may name. These commands commit only the project's own files. Someone who
# can write a hook, for example by a link in an inbox, must gain nothing by it.
GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
RECEIVE = f"--receive-pack={' '.join(GIT)} receive-pack"  # for a push, since its other end has its own hooks


@dataclass(frozen=True)
class Tree:
    """The working tree of the current folder."""

    commit: str | None  # None: not a git repository, or one without a commit
    changed: tuple[str, ...]  # paths from the current folder that are neither committed nor ignored

    @property
    def dirty(self) -> str:
        """Return "true", "false" or, without a commit, "unknown"."""
        return "unknown" if self.commit is None else "true" if self.changed else "false"


class DistrustedError(FctError):
    """Another user owns the repository, and git refuses to read it (safe.directory)."""


def tree() -> Tree:
    """Return the state of the current folder's repository.

    dvc.lock, environment.yaml and the outs of the stages do not count as changes: a running pipeline writes them, and
    only their inputs matter here.

    Raises:
        DistrustedError: there is a repository, but git does not read it, since another user owns it.
    """
    commit = run("rev-parse", "HEAD")
    if commit is None:
        _check_trusted()
        return Tree(None, ())
    entries = run("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all") or ""
    prefix = (run("rev-parse", "--show-prefix") or "").strip()  # of the current folder in the repository
    written = _patterns_of_pipeline()
    paths = (entry[3:] for entry in entries.split("\0") if entry)
    relative = (path.removeprefix(prefix) if path.startswith(prefix) else f"/{path}" for path in paths)
    return Tree(commit.strip(), tuple(path for path in relative if not any(_covers(out, path) for out in written)))


def commit_outs(message: str) -> None:
    """Commit dvc.lock, environment.yaml, the outs in git and the changed .dvc files, and nothing else.

    Raises:
        FctError: git refused. The message has its output.
    """
    commit([*written_by_pipeline(), *(path for path in tree().changed if path.endswith(".dvc"))], message)


def written_by_pipeline() -> list[str]:
    """Return the existing files that a pipeline writes and git holds: dvc.lock, environment.yaml, metrics, plots."""
    existing = sorted({path.as_posix() for pattern in _patterns_of_pipeline() for path in Path().glob(pattern)})
    return [path for path in existing if run("check-ignore", path) is None]


def commit(paths: Sequence[str], message: str) -> None:
    """Commit the changes in these paths and nothing else. No hook runs.

    Without a user in git's configuration, use the login name.

    Raises:
        FctError: git refused. The message has its output.
    """
    identity = (
        () if run("config", "user.email") else ("-c", f"user.name={user()}", "-c", f"user.email={user()}@localhost")
    )
    for arguments in (
        ("add", "--", *paths),
        ("diff", "--cached", "--quiet", "--no-ext-diff", "--no-textconv", "--", *paths),
        (*identity, "commit", "--quiet", "--message", message, "--only", "--", *paths),
    ):
        # A name may have characters that git takes for patterns.
        process = subprocess.run([*GIT, "--literal-pathspecs", *arguments], capture_output=True, check=False)
        if "diff" in arguments:
            if process.returncode == 0:
                return  # nothing has changed
        elif process.returncode:
            output = (process.stderr or process.stdout).decode(errors="replace").strip()
            raise FctError(f"git refused to commit {', '.join(paths)}: {output}")


def user() -> str:
    """Return the name of the system's user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def run(*arguments: str) -> str | None:
    """Return the output of a git command, or None if it fails or git is not installed."""
    try:
        process = subprocess.run([*GIT, "--no-optional-locks", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return process.stdout.decode(errors="replace") if process.returncode == 0 else None


def _check_trusted() -> None:
    """Raise an error if git refuses the repository because of its owner. A missing repository is not an error here."""
    try:
        environment = {**os.environ, "LC_ALL": "C"}
        process = subprocess.run(["git", "rev-parse", "--git-dir"], env=environment, capture_output=True, check=False)
    except FileNotFoundError:
        return
    refused = re.search(r"dubious ownership in repository at '(.*)'", process.stderr.decode(errors="replace"))
    if refused:
        raise DistrustedError(
            f"git refuses the repository {refused[1]}, since it belongs to another user. If you trust its hooks and "
            f"settings: git config --global --add safe.directory {shlex.quote(refused[1])}"
        )


def _patterns_of_pipeline() -> list[str]:
    """Return patterns of everything that a pipeline writes."""
    return [DVC_LOCK.as_posix(), ENVIRONMENT.as_posix(), *_outs(DVC_YAML)]


def _covers(out: str, path: str) -> bool:
    return fnmatchcase(path, out) or fnmatchcase(path, f"{out}/*")


def _outs(dvc_yaml: Path) -> Iterator[str]:
    """Yield the outs, metrics and plots of every stage, with `*` for the values of templates."""
    try:
        stages = YAML(typ="safe").load(dvc_yaml.read_text())["stages"].values()
    except (OSError, YAMLError, KeyError, TypeError, AttributeError):  # DVC reports the error itself
        return
    for stage in stages:
        body: dict[str, Any] = stage.get("do", stage)
        for kind in ("outs", "metrics", "plots"):
            for entry in body.get(kind) or ():
                path = entry if isinstance(entry, str) else next(iter(entry))
                yield re.sub(r"\$\{[^}]*\}", "*", path).rstrip("/")
