"""List a user's folder of images, which has one sub-folder for each class, and find what is wrong with it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fct.core.dvc_cache import dvc_cache
from fct.core.errors import FctError
from fct.core.params import location
from fct.core.text import is_utf8, plural, printable, same_name

LARGEST_FILE = 512 << 20  # bytes; more than an uncompressed image of the most pixels that are decoded
LITTER = frozenset(  # that operating systems put beside files, in lower case: Windows, Synology, macOS, QNAP, ext4
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
    | {"@eadir", "#recycle", "__macosx", "@recycle", "lost+found"}
)
SHOWN = 10  # problems named in an error
LINK = "a link out of the folder"
ELSEWHERE = "which is not in the DVC cache of the current folder's project either"
UNREADABLE = "cannot be read"
NOT_UTF8 = "a name that is not UTF-8"


@dataclass(frozen=True)
class Problem:
    """One file or class that cannot be used."""

    name: str  # path inside the folder, printable
    what: str  # kind of problem; the same words for all problems of a kind
    detail: str = ""  # what to do, or where

    def __str__(self) -> str:
        """Return the problem as one line of text."""
        return f"{self.name}: {self.what}" + (f": {self.detail}" if self.detail else "")

    @classmethod
    def of(cls, name: str, fault: Exception) -> Problem:
        """Return the problem with a file that cannot be read or decoded: an OSError, or an error "what: detail"."""
        if isinstance(fault, OSError):
            return cls(printable(name), UNREADABLE, fault.strerror or type(fault).__name__)
        what, _, detail = str(fault).partition(": ")
        return cls(printable(name), what, detail)


@dataclass(frozen=True)
class Scan:
    """The content of a folder of images, in the order of names."""

    classes: tuple[str, ...]  # that have files
    files: tuple[str, ...]  # paths inside the folder
    labels: tuple[int, ...]  # class of each file, as index into `classes`
    problems: tuple[Problem, ...]


def scan(root: Path) -> Scan:
    """List the images of `root` by class. No image is opened.

    Hidden files and the `LITTER` of operating systems are ignored everywhere. A README and DVC's `.dvc` files
    (`dvc add images/*/`) are ignored in `root`. Class names are in their common form (Unicode's NFC).

    Raises:
        FctError: `root` is not a folder, cannot be listed, has fewer than two classes, or has two classes whose names
            some systems treat as one.
    """
    if not root.is_dir():
        raise FctError(
            f"{location('data.folder.path')}: {str(root)!r} is not a folder. Create it, with one sub-folder of "
            "images for each class, or choose another data.source."
        )
    problems: list[Problem] = []
    members: dict[str, list[str]] = {}  # by the folder's own name
    try:
        entries = _entries(root)
    except OSError as error:
        raise FctError(f"{root} cannot be listed: {error.strerror}.") from None
    for entry in entries:
        try:
            if problem := _check_top(entry, root):
                problems.append(problem)
            elif entry.is_dir():
                members[entry.name] = list(_images(root, entry.name, problems))
        except OSError as error:
            problems.append(Problem.of(f"{entry.name}/", error))
    _check_names(root, list(members))
    for name in [name for name, paths in members.items() if not paths]:
        problems.append(Problem(f"{name}/", "a class without images", "add some, or remove the sub-folder"))
        del members[name]
    if len(members) < 2 and not problems:
        raise FctError(
            f"{root}: found {plural(len(members), 'class', 'classes')}; at least two are needed. "
            "Make a sub-folder of images for each class."
        )
    by_name = sorted((same_name(name), paths) for name, paths in members.items())
    return Scan(
        tuple(name for name, _ in by_name),
        tuple(path for _, paths in by_name for path in paths),
        tuple(label for label, (_, paths) in enumerate(by_name) for _ in paths),
        tuple(problems),
    )


def is_litter(name: str) -> bool:
    """Return whether a file or folder of this name was left by an operating system, and is not an image."""
    return name.casefold() in LITTER or name == ".DS_Store" or name.startswith("._")


def is_note(name: str) -> bool:
    """Return whether a file of this name is about the images beside it: a README, or written by `dvc add`."""
    return name.upper().partition(".")[0] == "README" or name.endswith(".dvc")  # not readme-1.jpg


def format_problems(problems: Sequence[Problem]) -> str:
    """Return some problems as lines for an error message: the first ones of each kind, and how many more there are."""
    found: Counter[str] = Counter()
    earlier = []  # of the same kind, for each problem
    for problem in problems:
        earlier.append(found[problem.what])
        found[problem.what] += 1
    shown = sorted(sorted(range(len(problems)), key=earlier.__getitem__)[:SHOWN])
    more = f"\n         and {len(problems) - SHOWN:,} more" if len(problems) > SHOWN else ""
    return "".join(f"\n         - {problems[index]}" for index in shown) + more


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not is_litter(path.name))


def _check_top(entry: Path, root: Path) -> Problem | None:
    """Return what is wrong with a file or class folder in `root`."""
    if not entry.is_dir():
        if is_note(entry.name):
            return None
        return Problem(printable(entry.name), "not in a class", "move it into the sub-folder of its class")
    if not is_utf8(entry.name):
        return Problem(f"{printable(entry.name)}/", NOT_UTF8, "rename the folder")
    if target := _target_outside(entry, root):
        return Problem(
            f"{entry.name}/", LINK, f"it leads to {printable(str(target))}, {ELSEWHERE}; copy the folder here"
        )
    return None


def _images(root: Path, name: str, problems: list[Problem]) -> Iterator[str]:
    """Yield the paths of a class's images. Append what is wrong with the others to `problems`.

    Raises:
        OSError: the folder cannot be listed.
    """
    for entry in _entries(root / name):
        path = f"{name}/{entry.name}"
        try:
            problem = _check_image(entry, path, root)
        except OSError as error:
            problem = Problem.of(path, error)
        if problem:
            problems.append(problem)
        else:
            yield path


def _check_image(entry: Path, path: str, root: Path) -> Problem | None:
    path = printable(path)
    if not is_utf8(entry.name):
        return Problem(path, NOT_UTF8, "rename it")
    if entry.is_symlink() and (target := _target_outside(entry, root)):
        return Problem(path, LINK, f"it leads to {printable(str(target))}, {ELSEWHERE}; copy the file here")
    if entry.is_dir():
        return Problem(path, "a folder inside a class", "put its images into the class folder itself")
    if not entry.is_file():
        return Problem(path, "not a file", "a broken link or a device; remove it")
    if (size := entry.stat().st_size) > LARGEST_FILE:
        return Problem(path, "too large a file", f"{size:,} bytes")
    return None


def _target_outside(path: Path, root: Path) -> Path | None:
    """Return where a link leads, or None if that is in `root` or in this project's DVC cache."""
    target = Path(os.path.realpath(path))  # unlike Path.resolve, it accepts links in a circle
    if target.is_relative_to(os.path.realpath(root)) or target.is_relative_to(_cache_of(Path.cwd())):
        return None
    return target


@cache
def _cache_of(project: Path) -> str:
    """Return the real path of DVC's cache for the current folder, `project`. DVC is asked only once."""
    del project  # names the answer
    return os.path.realpath(dvc_cache())


def _check_names(root: Path, classes: list[str]) -> None:
    rules: tuple[tuple[Callable[[str], str], str], ...] = (
        (same_name, "are one name in two Unicode forms"),
        (lambda name: same_name(name).casefold(), "differ only in case"),
    )
    for common_form, relation in rules:
        names: dict[str, str] = {}
        for name in classes:
            other = names.setdefault(common_form(name), name)
            if other != name:
                raise FctError(
                    f"{root / other} and {root / name} {relation}. Some file systems treat them as one folder. "
                    "Merge them, or rename one."
                )
