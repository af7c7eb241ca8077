"""New images in an inbox: those that can be used move to the images, the others to quarantine, and none is lost.

A file moves by a second name that never replaces another file, and loses its first one afterwards: killed anywhere, it
is in one of the places or in both.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import joblib
from tqdm import tqdm

from fct.core.errors import FctError
from fct.core.files import write_text
from fct.data.division import fingerprint
from fct.data.scan import LARGEST_FILE, LINK, Problem
from fct.images.decode import UnusableImage, decode
from fct.images.tables import jpeg_quality

UNFINISHED = (".part", ".tmp", ".crdownload", "~")  # names of files that are still being written


@dataclass(frozen=True)
class Arrival:
    """An image that was taken."""

    name: str  # path inside the images
    quality: int  # its own, as a JPEG; NO_TABLES without tables


@dataclass(frozen=True)
class Sorted:
    """What became of an inbox."""

    taken: tuple[Arrival, ...]
    refused: tuple[Problem, ...]
    waiting: int  # files that may still be uploading


def sort_inbox(inbox: Path, images: Path, quarantine: Path, *, channels: int, settle: float) -> Sorted:
    """Empty an inbox.

    Args:
        inbox: One sub-folder a class.
        images: Of the data set, one sub-folder a class; a class that it lacks is refused, so that no typing mistake
            makes one.
        quarantine: Where files go that cannot be used, each beside <name>.reason.txt.
        channels: Of the data set's images, 1 or 3.
        settle: Seconds that a file must not have changed before it is touched.

    Raises:
        FctError: there is no inbox or no folder of images.
    """
    _check_apart({"intake.inbox": inbox, "intake.quarantine": quarantine, "data.folder.path": images})
    for folder, key in ((inbox, "intake.inbox"), (images, "data.folder.path")):
        if not folder.is_dir():
            raise FctError(
                f"params.yaml: {key}: {str(folder)!r} is not a folder. Make it, with one sub-folder a class."
            )
    files = [path.relative_to(inbox) for path in sorted(inbox.rglob("*")) if path.is_symlink() or not path.is_dir()]
    ready = [path for path in files if _is_at_rest(inbox / path, settle)]
    known = {mark: path for path, mark in _fingerprints(images, channels)} if ready else {}
    taken, refused = [], []
    for path in tqdm(ready, desc="inbox", unit="image", disable=None):
        found = _examine(inbox, path, images, channels, known)
        if isinstance(found, Problem):
            _reject(inbox / path, quarantine / path, found)
            refused.append(found)
        else:
            place = _move(inbox / path, images / path)
            taken.append(Arrival(place.relative_to(images).as_posix(), found))
    return Sorted(tuple(taken), tuple(refused), len(files) - len(ready))


def _check_apart(folders: Mapping[str, Path]) -> None:
    for (key, one), (other_key, other) in itertools.permutations(folders.items(), 2):
        if one.resolve().is_relative_to(other.resolve()):
            raise FctError(f"params.yaml: {key} ({one}) lies in {other_key} ({other}). Choose folders that are apart.")


def _is_at_rest(path: Path, settle: float) -> bool:
    if path.name.startswith(".") or path.name.endswith(UNFINISHED):
        return False
    try:
        return time.time() - path.lstat().st_mtime >= settle
    except FileNotFoundError:  # moved away meanwhile
        return False


def _examine(inbox: Path, path: Path, images: Path, channels: int, known: dict[bytes, str]) -> Problem | int:
    """Return an image's quality, or why it cannot be used; remember its pixels in `known`."""
    name = path.as_posix()
    if problem := _misplaced(inbox, path, images):
        return problem
    try:
        content = (inbox / path).read_bytes()
        mark = fingerprint(decode(content, channels))
    except UnusableImage as error:
        what, _, detail = str(error).partition(": ")
        return Problem(name, what, detail)
    except OSError as error:
        return Problem(name, "cannot be read", error.strerror or type(error).__name__)
    if mark in known:
        return Problem(name, "the same pixels as another image", known[mark])
    known[mark] = f"{images.name}/{name}"
    return jpeg_quality(content)


def _misplaced(inbox: Path, path: Path, images: Path) -> Problem | None:
    """Return what is wrong with a file before it is opened."""
    name, group, file = path.as_posix(), images / path.parts[0], inbox / path
    if len(path.parts) != 2:
        return Problem(name, "not in a class", "put it into the sub-folder of its class, and no deeper")
    if file.is_symlink():
        return Problem(name, LINK, "copy the file itself")
    if not group.is_dir():
        return Problem(name, "an unknown class", f"make the folder {group} to begin one")
    if not file.is_file():
        return Problem(name, "not a file", "a pipe, a socket or a device; remove it")
    if file.stat().st_size > LARGEST_FILE:
        return Problem(name, "too large a file", f"{file.stat().st_size:,} bytes")
    return None


def _fingerprints(images: Path, channels: int) -> Iterator[tuple[str, bytes]]:
    """Yield each image of the data set with its fingerprint; what cannot be decoded is for the stage `data` to name."""
    paths = [path for folder in sorted(images.iterdir()) if folder.is_dir() for path in sorted(folder.iterdir())]
    marks = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
        joblib.delayed(_fingerprint)(path, channels) for path in paths
    )
    for path, mark in zip(paths, tqdm(marks, total=len(paths), desc="known images", disable=None), strict=True):
        if mark is not None:
            yield path.as_posix(), mark


def _fingerprint(path: Path, channels: int) -> bytes | None:
    try:
        return fingerprint(decode(path.read_bytes(), channels))
    except (UnusableImage, OSError):
        return None


def _reject(source: Path, target: Path, problem: Problem) -> None:
    place = _free(source, target)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text(place.with_name(f"{place.name}.reason.txt"), f"{problem}\n")
    _move(source, place)


def _move(source: Path, target: Path) -> Path:
    """Move a file to `target`, or beside it where another file has that name; return where it is."""
    place = _free(source, target)
    try:
        os.link(source, place, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        copy = place.with_name(f".{place.name}.incoming")
        if source.is_file() and not source.is_symlink():
            shutil.copy2(source, copy)
        else:
            copy.write_text(f"{source} was no file of its own\n")
        copy.rename(place)
    source.unlink()
    return place


def _free(source: Path, target: Path) -> Path:
    """Return `target`, or, where that is taken, a name made from the content, so that nothing is replaced."""
    if not target.exists():
        return target
    digest = blake2b(source.read_bytes() if source.is_file() else str(source).encode(), digest_size=4).hexdigest()
    return target.with_stem(f"{target.stem}-{digest}")
