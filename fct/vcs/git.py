"""Which code is at work: the commit, and whether the tree differs from it."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fct.core.errors import FctError


@dataclass(frozen=True)
class Tree:
    """The working tree of a git repository, or of none."""

    commit: str | None  # None: not a git repository, or one without a commit
    changed: tuple[str, ...]  # paths from the current folder that are neither committed nor ignored

    @property
    def dirty(self) -> str:
        """Return "true", "false" or, without a commit, "unknown"."""
        return "unknown" if self.commit is None else "true" if self.changed else "false"


def tree() -> Tree:
    """Return the state of the current folder's repository.

    dvc.lock and the stages' own outs do not count as changes: a pipeline writes them while it runs, and what they were
    made from is what counts.
    """
    commit = run("rev-parse", "HEAD")
    if commit is None:
        return Tree(None, ())
    listed = run("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all") or ""
    prefix = (run("rev-parse", "--show-prefix") or "").strip()  # of the current folder in the repository
    made = ("dvc.lock", *_outs(Path("dvc.yaml")))
    paths = (entry[3:] for entry in listed.split("\0") if entry)
    here = (path.removeprefix(prefix) if path.startswith(prefix) else f"/{path}" for path in paths)
    return Tree(commit.strip(), tuple(path for path in here if not any(_covers(out, path) for out in made)))


def commit_outs(message: str) -> None:
    """Commit dvc.lock, the outs that git holds and .dvc files that changed with the data, and nothing else.

    Raises:
        FctError: git refused; its own words say why.
    """
    commit([*written_by_pipeline(), *(path for path in tree().changed if path.endswith(".dvc"))], message)


def written_by_pipeline() -> list[str]:
    """Return what a pipeline writes and git holds: dvc.lock, metrics, plots and the like, as far as they are here."""
    here = [path for path in ("dvc.lock", *_outs(Path("dvc.yaml"))) if Path(path).exists()]
    return [path for path in here if run("check-ignore", path) is None]


def commit(paths: Sequence[str], message: str) -> None:
    """Commit what has changed in these paths and nothing else; where git knows no one, the system's user signs.

    Raises:
        FctError: git refused; its own words say why.
    """
    name = () if run("config", "user.email") else ("-c", f"user.name={user()}", "-c", f"user.email={user()}@localhost")
    for arguments in (
        ("add", "--", *paths),
        ("diff", "--cached", "--quiet", "--", *paths),
        (*name, "commit", "--quiet", "--message", message, "--only", "--", *paths),
    ):
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
        if "diff" in arguments:
            if done.returncode == 0:
                return  # the last commit holds it all
        elif done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise FctError(f"git would not commit {', '.join(paths)}: {said}")


def user() -> str:
    """Return the name of the system's user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def run(*arguments: str) -> str | None:
    """Return what a git command prints, or None if it fails or there is no git."""
    try:
        done = subprocess.run(["git", "--no-optional-locks", *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _covers(out: str, path: str) -> bool:
    return fnmatchcase(path, out) or fnmatchcase(path, f"{out}/*")


def _outs(dvc_yaml: Path) -> Iterator[str]:
    """Yield the outs, metrics and plots of every stage, with `*` where a template puts a value."""
    try:
        stages = YAML(typ="safe").load(dvc_yaml.read_text())["stages"].values()
    except (OSError, YAMLError, KeyError, TypeError, AttributeError):  # dvc itself says what is wrong with it
        return
    for stage in stages:
        body: dict[str, Any] = stage.get("do", stage)
        for kind in ("outs", "metrics", "plots"):
            for entry in body.get(kind) or ():
                path = entry if isinstance(entry, str) else next(iter(entry))
                yield re.sub(r"\$\{[^}]*\}", "*", path).rstrip("/")
