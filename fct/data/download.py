"""Published files, found and proven: a mirror folder, then what is on this machine, then the network.

Each file is held against the MD5 that its publisher gives, whenever it is used and wherever it comes from. Verified
files stay in `$XDG_CACHE_HOME/fct` (default `~/.cache/fct`), so that a second clone of the repository needs no network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from fct.core import files
from fct.core.errors import FctError

MIRROR = "FCT_DATA_MIRROR"  # the environment variable that goes before data.mirror
TIMEOUT = 6.0  # seconds without an answer; a firewall that drops packets must not hold up the next way
CHUNK = 1 << 18  # bytes read from the network at a time


@dataclass(frozen=True)
class Published:
    """One file as its publisher offers it."""

    name: str
    folder: str  # that mirrors and the cache keep it in, so that equal names of two data sets do not clash
    url: str
    md5: str
    # Returns the published bytes, given those of a redistributor that packed the file anew.
    restore: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True)
class Way:
    """One more way to get files, for when neither mirror nor publisher gives them."""

    what: str
    get: Callable[[Path], Path]  # (an empty folder to work in) -> the folder with the files; raises FctError


def mirror_folder(configured: str | None) -> Path | None:
    """Return the mirror to look in, if any: the environment's before `configured`, which is `data.mirror`.

    Raises:
        FctError: it is not a folder; to go on without it would hide a misspelt path.
    """
    value = os.environ.get(MIRROR) or configured
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        key = f"the environment's {MIRROR}" if os.environ.get(MIRROR) else "params.yaml: data.mirror"
        raise FctError(f"{key}: {value!r} is not a folder. Name one that holds the published files, or unset it.")
    return folder


def fetch(wanted: Sequence[Published], mirror: Path | None, way: Way | None = None) -> list[Path]:
    """Return where each file of `wanted` lies, verified, getting those that are not on this machine.

    Args:
        wanted: files of one publisher.
        mirror: a folder that may hold them, itself or in a sub-folder named as `Published.folder`.
        way: tried for what the publisher's server does not give.

    Raises:
        FctError: a file could not be had; it lists what was tried, why each failed, and what to do.
    """
    tried: list[str] = []
    found = {file.name: place for file in wanted if (place := _on_this_machine(file, mirror, tried))}

    def missing() -> list[Published]:
        return [file for file in wanted if file.name not in found]

    for file in missing():
        place = _download(file, tried)
        if not place:
            break  # the files are on one server, and each of them is needed
        found[file.name] = place
    if way and missing():
        print(f"{tried[-1]}; trying {way.what}", file=sys.stderr)
        found |= _by(way, missing(), tried)
    if missing():
        names = ", ".join(file.name for file in missing())
        reasons = "".join(f"\n         - {reason}" for reason in tried)
        raise FctError(
            f"Could not get {names}. Tried:{reasons}\n"
            f"       Put the published files in a folder and name it by {MIRROR} or params.yaml: data.mirror."
        )
    return [found[file.name] for file in wanted]


def _on_this_machine(file: Published, mirror: Path | None, tried: list[str]) -> Path | None:
    folders = [mirror, mirror / file.folder] if mirror else []
    folders.append(_cache() / file.folder)
    for place in (folder / file.name for folder in folders):
        if place.is_file():
            if verified := _verified(file, place, tried):
                return verified
        else:
            tried.append(f"{place}: no such file")
    return None


def _download(file: Published, tried: list[str]) -> Path | None:
    try:
        with _workplace() as folder:
            place = folder / file.name
            with urllib.request.urlopen(file.url, timeout=TIMEOUT) as answer, place.open("wb") as out:  # noqa: S310 URLs are constants
                size = int(answer.headers.get("Content-Length") or 0) or None
                with tqdm(total=size, desc=file.name, unit="B", unit_scale=True, disable=None) as bar:
                    while chunk := answer.read(CHUNK):
                        out.write(chunk)
                        bar.update(len(chunk))
            return _verified(file, place, tried, called=file.url) and _keep(file, place)
    except (OSError, HTTPException) as error:  # OSError covers urllib's errors, time-outs and a full disk
        tried.append(f"{file.url}: {error}")
        return None


def _by(way: Way, wanted: Sequence[Published], tried: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    try:
        with _workplace() as folder:
            source = way.get(folder)
            for file in wanted:
                place = source / file.name
                if not place.is_file():
                    tried.append(f"{way.what}: {file.name} is not in it")
                elif verified := _verified(file, place, tried, called=f"{file.name} of {way.what}"):
                    found[file.name] = _keep(file, verified)
    except (OSError, FctError) as error:
        tried.append(f"{way.what}: {error}")
    return found


def _verified(file: Published, place: Path, tried: list[str], *, called: str = "") -> Path | None:
    """Return where the published bytes lie, given a `place` that may hold them; None where it does not."""
    actual = files.md5(place)
    if actual == file.md5:
        return place
    if file.restore:
        restored = file.restore(place.read_bytes())
        if hashlib.md5(restored, usedforsecurity=False).hexdigest() == file.md5:
            target = _cache() / file.folder / file.name
            files.write_bytes(target, restored)
            return target
    tried.append(f"{called or place}: its MD5 is {actual}, the published one is {file.md5}")
    return None


def _keep(file: Published, place: Path) -> Path:
    """Move a verified file into the cache: its work place is on the same disk, so nobody sees half a file."""
    target = _cache() / file.folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    return place if place == target else place.replace(target)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fct"


@contextmanager
def _workplace() -> Iterator[Path]:
    _cache().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=_cache(), prefix=".work-"))
    folder.chmod(0o755)  # apt fetches as a user of its own
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
