"""Checks the inputs of the stages: does git, or DVC by a .dvc file in git, hold the present content of each file?

The files of a stage's deps are those that DVC counts: all that are there, whatever .gitignore says, except those that
.dvcignore leaves out. Outs of stages are not checked, as dvc.lock names them. Deps outside this folder are not checked
either: neither git nor DVC can hold them here, and the stage `data` packs their images into an out.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fct.core.files import md5
from fct.core.paths import DVC_LOCK, DVC_YAML
from fct.vcs import git
from fct.vcs.dvc_lock import Dep, checksums, deps

ALWAYS = ("params.yaml", "dvc.yaml", "requirements.lock", "pyproject.toml", ".dvcignore")  # and fct/
CODE = "fct/"
NOT_COMMITTED = "is not committed. Commit it."


@dataclass(frozen=True)
class Problem:
    """An input that the last commit does not lead to."""

    path: str
    what: str  # what is wrong with it, and what to do

    def __str__(self) -> str:
        """Return the problem as one sentence or two."""
        return f"{self.path} {self.what}"


def problems(lock: str) -> list[Problem]:
    """Return the inputs whose present content neither git nor DVC holds, or the stages did not read.

    Args:
        lock: The text of dvc.lock.

    Raises:
        FctError: `lock` is not the text of a dvc.lock.
    """
    tree = git.tree()
    if tree.commit is None:
        return []
    changed, outs = set(tree.changed), checksums(lock, str(DVC_LOCK))
    present = _present_stages(deps(lock, str(DVC_LOCK)))
    read = [replace(dep, path=os.path.relpath(dep.path)) for dep in present]
    read = [dep for dep in read if not any(_lies_in(dep.path, out) for out in (*outs, ".."))]
    files = _Files.of({dep.path for dep in read})
    found = [Problem(path, NOT_COMMITTED) for path in tree.changed if path in ALWAYS or path.startswith(CODE)]
    named = {problem.path for problem in found}
    owned: set[str] = set()  # .dvc files that hold inputs
    for path in files.all:
        if path in named or _is_of_dvc(path) or any(_lies_in(path, out) for out in outs):
            continue
        if path in files.tracked:
            if path in changed:
                found.append(Problem(path, NOT_COMMITTED))
            elif Path(path).is_symlink() and os.path.relpath(Path(path).resolve()) not in files.tracked:
                found.append(Problem(path, "is a link: git holds only its target. Put the file itself there."))
        elif owner := _owner(path):
            owned.add(owner)
        else:
            found.append(Problem(path, _in_neither(path, files.tracked)))
    hashes = _Hashes()
    found += [problem for owner in sorted(owned) for problem in _check_owner(owner, changed, hashes)]
    return found + [problem for dep in read for problem in _check_lock(dep, files, owned, hashes)]


def is_uncommitted_dvc_file(problem: Problem) -> bool:
    """Return whether committing the changed .dvc files solves the problem."""
    return problem.path.endswith(".dvc") and problem.what == NOT_COMMITTED


@dataclass(frozen=True)
class _Files:
    """The files under some paths, without those that .dvcignore leaves out."""

    tracked: frozenset[str]  # by git
    untracked: frozenset[str]  # ignored by git or not

    @property
    def all(self) -> list[str]:
        """All files, in order."""
        return sorted(self.tracked | self.untracked)

    @classmethod
    def of(cls, paths: Iterable[str]) -> _Files:
        """List the files. Paths that do not exist have none."""
        wanted = sorted(paths)
        if not wanted:  # git would list everything
            return cls(frozenset(), frozenset())
        dvcignore = "--exclude-per-directory=.dvcignore"
        ignored = _list("--cached", "--ignored", dvcignore, "--", *wanted)
        return cls(_list("--cached", "--", *wanted) - ignored, _list("--others", dvcignore, "--", *wanted))


def _list(*arguments: str) -> frozenset[str]:
    listing = git.run("--literal-pathspecs", "ls-files", "-z", *arguments) or ""
    return frozenset(path for path in listing.split("\0") if path)


class _Hashes(dict[str, str]):
    """DVC's MD5 of files, each read once."""

    def __missing__(self, path: str) -> str:
        self[path] = md5(Path(path))
        return self[path]

    def of(self, path: str, files: Iterable[str]) -> str:
        """Return the MD5 that DVC has for a file, or for a folder with these files."""
        if Path(path).is_file():
            return self[path]
        rows = [{"md5": self[file], "relpath": os.path.relpath(file, path)} for file in files]
        listing = json.dumps(sorted(rows, key=lambda row: row["relpath"]), sort_keys=True)
        return f"{hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest()}.dir"


def _check_owner(owner: str, changed: set[str], hashes: _Hashes) -> Iterator[Problem]:
    """Check that a .dvc file names the files that are here, and that it is committed."""
    path = owner.removesuffix(".dvc")
    if _checksum_in(owner, Path(path).name) != hashes.of(path, _Files.of([path]).untracked):
        yield Problem(path, f"is not what {owner} names. Run `dvc add {path}` and commit {owner}, or `dvc checkout`.")
    elif owner in changed or not _list("--cached", "--", owner):
        yield Problem(owner, NOT_COMMITTED)


def _check_lock(dep: Dep, files: _Files, owned: set[str], hashes: _Hashes) -> Iterator[Problem]:
    """Check that a stage read the files that are here, unless git holds all of them."""
    paths = [owner.removesuffix(".dvc") for owner in owned]
    if any(_lies_in(path, dep.path) or _lies_in(dep.path, path) for path in paths):
        inside = [path for path in files.all if _lies_in(path, dep.path) and Path(path).is_file()]
        # `dvc add` after the stage adds files to the folder, which no stage reads.
        without = [path for path in inside if not _is_of_dvc(path)]
        if dep.md5 not in (hashes.of(dep.path, inside), hashes.of(dep.path, without)):
            yield Problem(dep.path, f"is not what the stage {dep.stage} read, says {DVC_LOCK}. Run `dvc repro`.")


def _checksum_in(dvc_file: str, name: str) -> str | None:
    """Return the checksum of the out `name` in a .dvc file, or None if it has none."""
    try:
        outs: list[Mapping[str, Any]] = YAML(typ="safe").load(Path(dvc_file).read_text())["outs"]
        return next((str(out["md5"]) for out in outs if out["path"] == name), None)
    except (YAMLError, KeyError, TypeError):
        return None


def _present_stages(read: Iterable[Dep]) -> list[Dep]:
    """Leave out the stages that dvc.yaml no longer has: dvc.lock keeps them."""
    try:
        stages = YAML(typ="safe").load(DVC_YAML.read_text())["stages"]
    except (OSError, YAMLError, KeyError, TypeError):  # DVC reports the error itself
        return list(read)
    return [dep for dep in read if dep.stage.partition("@")[0] in stages]


def _is_of_dvc(path: str) -> bool:
    """Return whether DVC itself writes the file: a .dvc file, whose content is checked elsewhere, or a .gitignore."""
    return path.endswith(".dvc") or Path(path).name == ".gitignore"


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _owner(path: str) -> str | None:
    """Return the .dvc file beside a file, or beside a folder that contains it."""
    candidates = (f"{part.as_posix()}.dvc" for part in (Path(path), *Path(path).parents))
    return next((candidate for candidate in candidates if Path(candidate).is_file()), None)


def _in_neither(path: str, tracked: frozenset[str]) -> str:
    """Say what to do with a file in neither. DVC can take its whole folder if git has nothing in there."""
    whole = Path(path)
    while len(whole.parent.parts) > 1 and not any(_lies_in(other, whole.parent.as_posix()) for other in tracked):
        whole = whole.parent
    return f"is in neither git nor DVC. Run `dvc add {whole}` and commit {whole}.dvc, add it to git, or remove it."
