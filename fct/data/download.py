"""Published files, found and verified: a mirror folder, then what is on this machine, then the network.

The checksum of a file is compared whenever the file is used, wherever it comes from. Verified files stay in
`$XDG_CACHE_HOME/fct` (default `~/.cache/fct`), so that a second clone of the repository needs no network.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fct.core import files
from fct.core.errors import FctError

MIRROR = "FCT_DATA_MIRROR"  # the environment variable that goes before data.mirror
TIMEOUT = 6.0  # seconds without an answer; a firewall that drops packets must not hold up the next way
CHUNK = 1 << 18  # bytes read from the network at a time, or decompressed


@dataclass(frozen=True)
class PublishedFile:
    """One file as its publisher offers it."""

    name: str
    folder: str  # that mirrors and the cache keep it in, so that equal names of two data sets do not clash
    url: str
    md5: str
    # Of what the gzip file decompresses to: a redistributor that compressed it anew has the same content.
    content_md5: str | None = None


@dataclass(frozen=True)
class Fallback:
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


def fetch(wanted: Sequence[PublishedFile], mirror: Path | None, way: Fallback | None = None) -> list[Path]:
    """Return where each file of `wanted` lies, verified, getting those that are not on this machine.

    Args:
        wanted: files of one publisher.
        mirror: a folder that may hold them, itself or in a sub-folder named as `PublishedFile.folder`.
        way: tried for what the publisher's server does not give.

    Raises:
        FctError: a file could not be had; it lists what was tried, why each failed, and what to do.
    """
    tried: list[str] = []
    found = {file.name: place for file in wanted if (place := _on_this_machine(file, mirror, tried))}

    def missing() -> list[PublishedFile]:
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


def _on_this_machine(file: PublishedFile, mirror: Path | None, tried: list[str]) -> Path | None:
    folders = [mirror, mirror / file.folder] if mirror else []
    folders.append(_cache() / file.folder)
    for place in (folder / file.name for folder in folders):
        if not place.is_file():
            tried.append(f"{place}: no such file")
        elif _is_verified(file, place, tried):
            return place
    return None


def _download(file: PublishedFile, tried: list[str]) -> Path | None:
    import pooch

    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=CHUNK, timeout=TIMEOUT)
    try:
        # It verifies a temporary file before that takes the name: nobody sees half of one.
        return Path(pooch.retrieve(file.url, f"md5:{file.md5}", file.name, _cache() / file.folder, None, downloader))
    except (OSError, ValueError) as error:  # OSError covers those of requests and a full disk, ValueError a wrong MD5
        tried.append(f"{file.url}: {_reason(error)}")
        return None


def _reason(error: BaseException) -> str:
    """Return what requests says without urllib3's account of its pools and retries."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return str(inner or error)


def _by(way: Fallback, wanted: Sequence[PublishedFile], tried: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="fct-") as name:
            work = Path(name)
            work.chmod(0o755)  # apt fetches as a user of its own
            source = way.get(work)
            for file in wanted:
                place = source / file.name
                if not place.is_file():
                    tried.append(f"{way.what}: {file.name} is not in it")
                elif _is_verified(file, place, tried, called=f"{file.name} of {way.what}"):
                    found[file.name] = _cache() / file.folder / file.name
                    files.write_bytes(found[file.name], place.read_bytes())
    except (OSError, FctError) as error:
        tried.append(f"{way.what}: {error}")
    return found


def _is_verified(file: PublishedFile, place: Path, tried: list[str], *, called: str = "") -> bool:
    """Tell whether `place` holds the published file, or one with the same content where that has a checksum."""
    actual = files.md5(place)
    if actual == file.md5 or (file.content_md5 and _content_md5(place) == file.content_md5):
        return True
    tried.append(f"{called or place}: its MD5 is {actual}, the published one is {file.md5}")
    return False


def _content_md5(place: Path) -> str | None:
    """Return the MD5 of what a gzip file decompresses to; None if it is not a whole gzip file."""
    hasher = hashlib.md5(usedforsecurity=False)
    try:
        with gzip.open(place) as content:
            while chunk := content.read(CHUNK):
                hasher.update(chunk)
    except (OSError, EOFError, zlib.error):
        return None
    return hasher.hexdigest()


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("fct"))
