"""What lies in a user's folder of images: one sub-folder a class, and what is wrong with that."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fct.core.errors import FctError

LARGEST_FILE = 512 << 20  # bytes; above an uncompressed image of the most pixels that are decoded
DVC_CACHE = Path(".dvc/cache")  # where files of a folder tracked by DVC may link to

SHOWN = 10  # problems in an error
LINK = "a link out of the folder"


@dataclass(frozen=True)
class Problem:
    """One file or class that cannot be used."""

    name: str  # path inside the folder
    what: str  # the kind of problem, the same words for each of its kind
    detail: str = ""  # what to do, or where

    def __str__(self) -> str:
        """Return it as a person reads it."""
        return f"{self.name}: {self.what}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Scan:
    """What a folder holds, in the order of names."""

    classes: tuple[str, ...]  # those that have files
    files: tuple[str, ...]  # paths inside the folder
    labels: tuple[int, ...]  # their classes
    problems: tuple[Problem, ...]


def scan(root: Path) -> Scan:
    """List the images of `root` by class, without opening any.

    Hidden files are passed over anywhere, and so are a README and DVC's notes (`dvc add images/*/`) in `root` itself.

    Raises:
        FctError: `root` is not a folder, has fewer than two classes, or two whose names differ in case alone.
    """
    if not root.is_dir():
        raise FctError(
            f"params.yaml: data.folder.path: {str(root)!r} is not a folder. Make it, with one sub-folder of images a "
            "class, or choose another data.source."
        )
    problems: list[Problem] = []
    members: dict[str, list[str]] = {}
    for entry in _entries(root):
        if entry.is_dir() and (out := _leads_out(entry, root)):
            problems.append(Problem(f"{entry.name}/", LINK, f"it leads to {out}; copy the folder here"))
        elif entry.is_dir():
            members[entry.name] = list(_images(root, entry.name, problems))
        elif not entry.name.upper().startswith("README") and entry.suffix != ".dvc":
            problems.append(Problem(entry.name, "not in a class", "move it into the sub-folder of its class"))
    _check_names(root, list(members))
    for name in [name for name, paths in members.items() if not paths]:
        problems.append(Problem(f"{name}/", "a class without images", "add some, or remove the sub-folder"))
        del members[name]
    if len(members) < 2 and not problems:
        raise FctError(f"{root}: {len(members)} classes. At least two are needed, each a sub-folder of its images.")
    return Scan(
        tuple(members),
        tuple(path for paths in members.values() for path in paths),
        tuple(label for label, paths in enumerate(members.values()) for _ in paths),
        tuple(problems),
    )


def format_problems(problems: Sequence[Problem]) -> str:
    """Return the first problems as the lines of an error."""
    return "".join(f"\n         - {problem}" for problem in problems[:SHOWN])


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise FctError(f"{folder} cannot be listed: {error.strerror}.") from None


def _images(root: Path, name: str, problems: list[Problem]) -> Iterator[str]:
    for entry in _entries(root / name):
        path = f"{name}/{entry.name}"
        if entry.is_symlink() and (out := _leads_out(entry, root)):
            problems.append(Problem(path, LINK, f"it leads to {out}; copy the file here"))
        elif entry.is_dir():
            problems.append(Problem(path, "a folder inside a class", "put its images into the class folder itself"))
        elif not entry.is_file():
            problems.append(Problem(path, "not a file", "a broken link or a device; remove it"))
        elif entry.stat().st_size > LARGEST_FILE:
            problems.append(Problem(path, "too large a file", f"{entry.stat().st_size:,} bytes"))
        else:
            yield path


def _leads_out(path: Path, root: Path) -> Path | None:
    target = Path(os.path.realpath(path))  # unlike Path.resolve, it bears links in a circle
    inside = any(target.is_relative_to(os.path.realpath(home)) for home in (root, DVC_CACHE))
    return None if inside else target


def _check_names(root: Path, classes: list[str]) -> None:
    known: dict[str, str] = {}
    for name in classes:
        other = known.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise FctError(
                f"{root / other} and {root / name} differ in case alone: one class or two? Some file systems keep them "
                "apart and some do not. Merge them, or rename one."
            )
