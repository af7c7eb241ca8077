"""Sorts new images in an inbox: usable files move to the images, the others to quarantine, and no file is lost.

Whoever can write to the inbox is not trusted. A file is opened once, without following a link and without waiting for
a pipe. Its bytes are checked, and the same bytes are written to the data set, so nothing can change in between. A
problem with one file never prevents the others from being sorted.

A file is removed from the inbox after it was written elsewhere. If the process is killed, it is in one place or both.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePath

from tqdm import tqdm

from fct.core.errors import FctError
from fct.core.files import write_text
from fct.core.params import location
from fct.core.text import is_utf8, printable, same_name
from fct.data.division import describe_duplicate, fingerprint
from fct.data.scan import LARGEST_FILE, LINK, NOT_UTF8, Problem, is_litter
from fct.images.decode import UnusableImage, decode
from fct.images.tables import estimate_quality
from pipelines.known import find_known

UNFINISHED = (".part", ".tmp", ".crdownload", "~")  # names of files that are still being written
INCOMING = ".incoming"  # end of the name of a hidden file in the data set, until it has all its bytes
REASON = ".reason.txt"
LONGEST_NAME = 255  # bytes, on Linux
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe without a writer would block


@dataclass(frozen=True)
class Arrival:
    """An image that was added to the data set."""

    name: str  # path inside the folder of images
    quality: int  # JPEG quality; UNKNOWN_QUALITY without JPEG tables


@dataclass(frozen=True)
class SortedInbox:
    """The result of sorting an inbox."""

    taken: tuple[Arrival, ...]
    refused: tuple[Problem, ...]  # in quarantine
    stuck: tuple[Problem, ...]  # these could not be moved, and stay in the inbox
    waiting: int  # files that may still be uploading


class _Refused(Exception):  # noqa: N818  # a fault of a file, not of the program
    """The file cannot be used. The message is "what: detail"."""


def sort_inbox(inbox: Path, images: Path, quarantine: Path, *, channels: int, min_age: float) -> SortedInbox:
    """Move the files of an inbox to the images or to quarantine.

    Args:
        inbox: Folder with one sub-folder per class. Litter of operating systems is skipped.
        images: Folder of the data set, with one sub-folder per class. Files of any other class are refused, so a typing
            mistake does not make a new class.
        quarantine: Folder for files that cannot be used, each beside <name>.reason.txt.
        channels: Channels of the data set's images, 1 or 3.
        min_age: Seconds without a change before a file is moved.

    Raises:
        FctError: the inbox or the folder of images is missing, or one of the folders is inside another.
    """
    _check_apart({"intake.inbox": inbox, "intake.quarantine": quarantine, "data.folder.path": images})
    for place, key in ((inbox, "intake.inbox"), (images, "data.folder.path")):
        if not place.is_dir():
            raise FctError(f"{location(key)}: {str(place)!r} is not a folder. Make it, with one sub-folder per class.")
    stuck: list[Problem] = []
    paths = _list(inbox, stuck)
    ready = [path for path in paths if _is_at_rest(inbox, path, min_age)]
    _remove_leftovers(images)
    data_set = _DataSet(images, channels, find_known(images, channels) if ready else {})
    taken, refused = [], []
    for path in tqdm(ready, desc="inbox", unit="image", disable=None):
        try:
            with _open_folder(inbox, path.parent) as folder:
                try:
                    taken.append(_take(folder, path, data_set))
                except (_Refused, UnusableImage) as fault:
                    problem = Problem.of(str(path), fault)
                    _quarantine(folder, path, quarantine, problem)
                    refused.append(problem)
        except OSError as error:
            if os.path.lexists(inbox / path):  # otherwise it was moved meanwhile
                stuck.append(Problem(printable(str(path)), "cannot be moved out of the inbox", _describe(error)))
    return SortedInbox(tuple(taken), tuple(refused), tuple(stuck), len(paths) - len(ready))


def _check_apart(folders: Mapping[str, Path]) -> None:
    for (key, folder), (other_key, other) in itertools.permutations(folders.items(), 2):
        if folder.resolve().is_relative_to(other.resolve()):
            raise FctError(f"{location(key)} ({folder}) is inside {other_key} ({other}). Choose separate folders.")


def _list(inbox: Path, stuck: list[Problem]) -> list[PurePath]:
    """Return the paths of all files in the inbox, of links too. Append the folders that cannot be listed to `stuck`."""

    def report(error: OSError) -> None:
        name = os.path.relpath(error.filename, inbox)
        stuck.append(Problem(f"{printable(name)}/", "cannot be listed", _describe(error)))

    paths = []
    for folder, folders, names in os.walk(inbox, onerror=report):
        folders[:] = [name for name in folders if not is_litter(name)]
        links = [name for name in folders if Path(folder, name).is_symlink()]  # os.walk does not follow them
        paths += [Path(folder, name).relative_to(inbox) for name in (*names, *links) if not is_litter(name)]
    return sorted(paths)


def _is_at_rest(inbox: Path, path: PurePath, min_age: float) -> bool:
    """Return whether a file's upload has ended, judging by its name and the time of its last change."""
    if any(part.startswith(".") for part in path.parts) or path.name.endswith(UNFINISHED):
        return False
    try:
        status, now = (inbox / path).lstat(), time.time()
    except OSError as error:
        return not isinstance(error, FileNotFoundError)  # if it was not moved meanwhile, opening it shows what is wrong
    # A program can set the first time, also into the future. The second is set by the file system.
    return now - (status.st_mtime if status.st_mtime <= now else status.st_ctime) >= min_age


def _remove_leftovers(images: Path) -> None:
    """Remove the hidden files that a killed run left in the data set. Their images are still in the inbox."""
    for leftover in images.glob(f"*/.*{INCOMING}"):
        with suppress(OSError):
            leftover.unlink()


@contextmanager
def _open_folder(inbox: Path, path: PurePath) -> Iterator[int]:
    """Yield the descriptor of a folder in the inbox. A link in its path is not followed, but raises an OSError."""
    folder = os.open(inbox, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.parts:
            inner = os.open(part, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


class _DataSet:
    """The folder of images, and the known images in it."""

    def __init__(self, images: Path, channels: int, known: dict[bytes, str]) -> None:
        self.images, self.channels, self.known = images, channels, known
        self.classes = {same_name(folder.name): folder for folder in images.iterdir() if folder.is_dir()}


def _take(folder: int, path: PurePath, data_set: _DataSet) -> Arrival:
    """Move an image from the inbox's `folder`, a descriptor, to its class.

    Raises:
        _Refused, UnusableImage: the image cannot be used.
        OSError: the image cannot be moved.
    """
    target = _check_place(path, data_set)
    try:
        content, status = _read(folder, path.name)
    except OSError as error:
        raise _Refused(f"cannot be read: {_describe(error)}") from None
    pixels = fingerprint(decode(content, data_set.channels))
    if original := data_set.known.get(pixels):
        what = describe_duplicate(target.parent.name, Path(original).parent.name)
        raise _Refused(f"{what}: {printable(original)}")
    added = _write(target, content, status)
    try:
        _remove(folder, path.name, status)
    except BaseException:
        with suppress(OSError):
            if _is_unchanged(folder, path.name, status):  # a signal can come after the file was removed
                added.unlink()  # otherwise it would be refused the next time, as a copy of itself
        raise
    data_set.known[pixels] = f"{data_set.images.name}/{added.parent.name}/{added.name}"
    return Arrival(added.relative_to(data_set.images).as_posix(), estimate_quality(content))


def _check_place(path: PurePath, data_set: _DataSet) -> Path:
    """Return the path of a file in the data set, judged by its name alone."""
    if len(path.parts) != 2:
        raise _Refused("not in a class: put it into the sub-folder of its class, and no deeper")
    if not is_utf8(str(path)):
        raise _Refused(f"{NOT_UTF8}: rename it")
    label, name = path.parts
    folder = data_set.classes.get(same_name(label))
    if folder is None:
        raise _Refused(f"an unknown class: make the folder {data_set.images / label} to begin one")
    if name.endswith(".dvc") or name in ("dvc.yaml", "dvc.lock"):
        raise _Refused("a name that DVC reads: rename it")
    return folder / name


def _read(folder: int, name: str) -> tuple[bytes, os.stat_result]:
    """Return the bytes of a regular file and its status."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)  # opening a device can have effects
    if stat.S_ISLNK(status.st_mode):
        raise _Refused(f"{LINK}: copy the file itself")
    if not stat.S_ISREG(status.st_mode):
        raise _Refused("not a file: a pipe, a socket or a device; remove it")
    with os.fdopen(os.open(name, FILE, dir_fd=folder), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _Refused("not a file: it was replaced while it was read")
        if status.st_size > LARGEST_FILE:
            raise _Refused(f"too large a file: {status.st_size:,} bytes")
        return file.read(LARGEST_FILE), status


def _remove(folder: int, name: str, status: os.stat_result) -> None:
    """Remove a file that was read, unless it was replaced or changed meanwhile. Then the next run sorts it again."""
    with suppress(FileNotFoundError):
        if _is_unchanged(folder, name, status):
            os.unlink(name, dir_fd=folder)


def _is_unchanged(folder: int, name: str, status: os.stat_result) -> bool:
    """Return whether a file is still there as it was when it had this status."""
    try:
        now = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return _version(now) == _version(status)


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _write(target: Path, content: bytes, status: os.stat_result) -> Path:
    """Write a new file whole or not at all, with the time of the old one. Return its path. It never replaces a file."""
    digest = blake2b(content, digest_size=4).hexdigest()
    target = _free_path(target, digest)
    hidden = target.with_name(f".{digest}{INCOMING}")
    try:
        hidden.write_bytes(content)
        os.utime(hidden, ns=(status.st_atime_ns, status.st_mtime_ns))
        with hidden.open("rb") as file:
            os.fsync(file.fileno())
        _link(hidden, target)
    finally:
        hidden.unlink(missing_ok=True)
    return target


def _link(source: Path, target: Path) -> None:
    """Give a file a second name. It is an error if the name is taken, except on a file system without links."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        source.rename(target)


def _quarantine(folder: int, path: PurePath, quarantine: Path, problem: Problem) -> None:
    """Move a file from the inbox's `folder`, a descriptor, to quarantine, with the reason beside it."""
    name = path.name
    digest = blake2b(f"{path}{time.time_ns()}".encode(errors="surrogateescape"), digest_size=4).hexdigest()
    target = _free_path(quarantine / path, digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    reason_name = target.name + REASON
    if len(os.fsencode(reason_name)) > LONGEST_NAME:
        reason_name = _shorten(target.name, f"-{digest}{REASON}")
    reason = target.with_name(reason_name)
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    try:
        write_text(reason, f"{problem}\n")
        _link_or_copy(folder, name, target)
        _remove(folder, name, status)
    except BaseException:
        with suppress(OSError):
            # A signal can come after the file was removed. Otherwise each run would leave one more copy.
            if not os.path.lexists(target) or _is_unchanged(folder, name, status):
                target.unlink(missing_ok=True)
                reason.unlink(missing_ok=True)
        raise


def _link_or_copy(folder: int, name: str, target: Path) -> None:
    try:
        os.link(name, target, src_dir_fd=folder, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        _copy(folder, name, target)


def _copy(folder: int, name: str, target: Path) -> None:
    """Copy a regular file; write a note instead of any other."""
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        write_text(target, f"{printable(name)} was not a regular file\n")
        return
    hidden = target.with_name(_shorten(f".{target.name}", INCOMING))
    try:
        with os.fdopen(os.open(name, FILE, dir_fd=folder), "rb") as source, hidden.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        hidden.rename(target)
    finally:
        hidden.unlink(missing_ok=True)


def _free_path(target: Path, digest: str) -> Path:
    """Return `target` if it is free, or else the name with a digest, so that no file is replaced."""
    if not os.path.lexists(target):
        return target
    return target.with_name(_shorten(target.stem, f"-{digest}{target.suffix}"))


def _shorten(stem: str, end: str) -> str:
    """Return a name that ends with `end` and is not too long for the file system."""
    while len(os.fsencode(stem + end)) > LONGEST_NAME:
        stem = stem[:-1]
    return stem + end


def _describe(error: OSError) -> str:
    return error.strerror or type(error).__name__
