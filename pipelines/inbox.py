"""Sorts new images in an inbox: usable files move to the images, the others to quarantine, and none is lost.

To move a file, it first gets a second name (a hard link), which never replaces another file. Then its first name is
removed. If the process is killed, the file is in one of the two folders or in both.
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
from fct.images.tables import estimate_quality

UNFINISHED = (".part", ".tmp", ".crdownload", "~")  # names of files that are still being written


@dataclass(frozen=True)
class Arrival:
    """An image that was added to the data set."""

    name: str  # path inside the folder of images
    quality: int  # JPEG quality; UNKNOWN_QUALITY without JPEG tables


@dataclass(frozen=True)
class SortedInbox:
    """The result of sorting an inbox."""

    taken: tuple[Arrival, ...]
    refused: tuple[Problem, ...]
    waiting: int  # files that may still be uploading


def sort_inbox(inbox: Path, images: Path, quarantine: Path, *, channels: int, settle: float) -> SortedInbox:
    """Move the files of an inbox to the images or to quarantine.

    Args:
        inbox: Folder with one sub-folder per class.
        images: Folder of the data set, with one sub-folder per class. Files of any other class are refused, so that
            a typing mistake makes no new class.
        quarantine: Folder for files that cannot be used, each beside <name>.reason.txt.
        channels: Of the data set's images, 1 or 3.
        settle: Seconds since its last change before a file is moved.

    Raises:
        FctError: the inbox or the folder of images is missing, or one folder lies in another.
    """
    _check_apart({"intake.inbox": inbox, "intake.quarantine": quarantine, "data.folder.path": images})
    for folder, key in ((inbox, "intake.inbox"), (images, "data.folder.path")):
        if not folder.is_dir():
            raise FctError(
                f"params.yaml: {key}: {str(folder)!r} is not a folder. Make it, with one sub-folder per class."
            )
    files = [path.relative_to(inbox) for path in sorted(inbox.rglob("*")) if path.is_symlink() or not path.is_dir()]
    ready = [path for path in files if _is_at_rest(inbox / path, settle)]
    known = {key: path for path, key in _fingerprints(images, channels)} if ready else {}
    taken, refused = [], []
    for path in tqdm(ready, desc="inbox", unit="image", disable=None):
        result = _examine(inbox, path, images, channels, known)
        if isinstance(result, Problem):
            _reject(inbox / path, quarantine / path, result)
            refused.append(result)
        else:
            target = _move(inbox / path, images / path)
            taken.append(Arrival(target.relative_to(images).as_posix(), result))
    return SortedInbox(tuple(taken), tuple(refused), len(files) - len(ready))


def _check_apart(folders: Mapping[str, Path]) -> None:
    for (key, folder), (other_key, other) in itertools.permutations(folders.items(), 2):
        if folder.resolve().is_relative_to(other.resolve()):
            raise FctError(f"params.yaml: {key} ({folder}) lies in {other_key} ({other}). Choose separate folders.")


def _is_at_rest(path: Path, settle: float) -> bool:
    if path.name.startswith(".") or path.name.endswith(UNFINISHED):
        return False
    try:
        return time.time() - path.lstat().st_mtime >= settle
    except FileNotFoundError:  # it was moved meanwhile
        return False


def _examine(inbox: Path, path: Path, images: Path, channels: int, known: dict[bytes, str]) -> Problem | int:
    """Return an image's quality and add its fingerprint to `known`, or return why it cannot be used."""
    name = path.as_posix()
    if problem := _check_place(inbox, path, images):
        return problem
    try:
        content = (inbox / path).read_bytes()
        key = fingerprint(decode(content, channels))
    except UnusableImage as error:
        reason, _, detail = str(error).partition(": ")
        return Problem(name, reason, detail)
    except OSError as error:
        return Problem(name, "cannot be read", error.strerror or type(error).__name__)
    if key in known:
        return Problem(name, "the same pixels as another image", known[key])
    known[key] = f"{images.name}/{name}"
    return estimate_quality(content)


def _check_place(inbox: Path, path: Path, images: Path) -> Problem | None:
    """Return what is wrong with a file, judged without opening it."""
    name, folder, file = path.as_posix(), images / path.parts[0], inbox / path
    if len(path.parts) != 2:
        return Problem(name, "not in a class", "put it into the sub-folder of its class, and no deeper")
    if file.is_symlink():
        return Problem(name, LINK, "copy the file itself")
    if not folder.is_dir():
        return Problem(name, "an unknown class", f"make the folder {folder} to begin one")
    if not file.is_file():
        return Problem(name, "not a file", "a pipe, a socket or a device; remove it")
    if file.stat().st_size > LARGEST_FILE:
        return Problem(name, "too large a file", f"{file.stat().st_size:,} bytes")
    return None


def _fingerprints(images: Path, channels: int) -> Iterator[tuple[str, bytes]]:
    """Yield each image of the data set with its fingerprint. The stage `data` reports images that cannot be decoded."""
    paths = [path for folder in sorted(images.iterdir()) if folder.is_dir() for path in sorted(folder.iterdir())]
    fingerprints = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
        joblib.delayed(_fingerprint)(path, channels) for path in paths
    )
    for path, key in zip(paths, tqdm(fingerprints, total=len(paths), desc="known images", disable=None), strict=True):
        if key is not None:
            yield path.as_posix(), key


def _fingerprint(path: Path, channels: int) -> bytes | None:
    try:
        return fingerprint(decode(path.read_bytes(), channels))
    except (UnusableImage, OSError):
        return None


def _reject(source: Path, target: Path, problem: Problem) -> None:
    free_path = _find_free_path(source, target)
    free_path.parent.mkdir(parents=True, exist_ok=True)
    write_text(free_path.with_name(f"{free_path.name}.reason.txt"), f"{problem}\n")
    _move(source, free_path)


def _move(source: Path, target: Path) -> Path:
    """Move a file to `target`, or to a similar name if another file has this one. Return the new path."""
    free_path = _find_free_path(source, target)
    try:
        os.link(source, free_path, follow_symlinks=False)
    except OSError:  # another file system, or one without hard links
        copy = free_path.with_name(f".{free_path.name}.incoming")
        if source.is_file() and not source.is_symlink():
            shutil.copy2(source, copy)
        else:
            copy.write_text(f"{source} was not a regular file\n")
        copy.rename(free_path)
    source.unlink()
    return free_path


def _find_free_path(source: Path, target: Path) -> Path:
    """Return `target` if it is free, or else a name with a digest of the content, so that nothing is replaced."""
    if not target.exists():
        return target
    digest = blake2b(source.read_bytes() if source.is_file() else str(source).encode(), digest_size=4).hexdigest()
    return target.with_stem(f"{target.stem}-{digest}")
