"""Find and verify published files: first in a mirror folder, then on this machine, then on the network.

A file's checksum is compared at each use, wherever the file comes from. Verified files stay in `$XDG_CACHE_HOME/fct`
(default `~/.cache/fct`), so that a second clone of the repository needs no network.
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
from fct.core.params import location

MIRROR = "FCT_DATA_MIRROR"  # environment variable; overrides data.mirror
TIMEOUT = 6.0  # seconds without a reply; a firewall that drops packets must not delay the fallback for long
CHUNK = 1 << 18  # bytes that are downloaded or decompressed at a time


@dataclass(frozen=True)
class PublishedFile:
    """A file, as its publisher offers it."""

    name: str
    folder: str  # sub-folder of mirrors and of the cache; keeps files of the same name of two data sets apart
    url: str
    md5: str
    # MD5 of the decompressed content. A redistributor may have compressed the same content again.
    content_md5: str | None = None


@dataclass(frozen=True)
class Fallback:
    """Another way to get files. It is used when neither the mirror nor the publisher has them."""

    what: str  # for messages
    get: Callable[[Path], Path]  # (an empty folder to work in) -> the folder with the files; raises FctError


def mirror_folder(configured: str | None) -> Path | None:
    """Return the mirror folder, or None. The environment variable overrides `configured`, which is `data.mirror`.

    Raises:
        FctError: the mirror is not a folder. Continuing without a mirror would hide a misspelt path.
    """
    value = os.environ.get(MIRROR) or configured
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        key = f"environment variable {MIRROR}" if os.environ.get(MIRROR) else location("data.mirror")
        raise FctError(f"{key}: {value!r} is not a folder. Name a folder with the published files, or unset it.")
    return folder


def fetch(wanted: Sequence[PublishedFile], mirror: Path | None, fallback: Fallback | None = None) -> list[Path]:
    """Return the verified path of each file of `wanted`. Files that are not on this machine are downloaded.

    Args:
        wanted: files of one publisher.
        mirror: a folder that may hold the files, directly or in its sub-folder `PublishedFile.folder`.
        fallback: used for files that the publisher's server does not provide.

    Raises:
        FctError: a file is not available. The message lists every attempt, why it failed, and what to do.
    """
    failures: list[str] = []
    paths = {file.name: path for file in wanted if (path := _find_on_this_machine(file, mirror, failures))}

    def missing() -> list[PublishedFile]:
        return [file for file in wanted if file.name not in paths]

    for file in missing():
        path = _download(file, failures)
        if not path:
            break  # all files are on one server, and all are needed
        paths[file.name] = path
    if fallback and missing():
        print(f"{failures[-1]}; trying {fallback.what}", file=sys.stderr)
        paths |= _use_fallback(fallback, missing(), failures)
    if missing():
        names = ", ".join(file.name for file in missing())
        reasons = "".join(f"\n         - {failure}" for failure in failures)
        raise FctError(
            f"Could not get {names}. Tried:{reasons}\n"
            f"       Put the published files into a folder, and set {MIRROR} or params.yaml: data.mirror to it."
        )
    return [paths[file.name] for file in wanted]


def _find_on_this_machine(file: PublishedFile, mirror: Path | None, failures: list[str]) -> Path | None:
    folders = [mirror, mirror / file.folder] if mirror else []
    folders.append(_cache() / file.folder)
    for path in (folder / file.name for folder in folders):
        if not path.is_file():
            failures.append(f"{path}: no such file")
        elif _is_verified(file, path, failures):
            return path
    return None


def _download(file: PublishedFile, failures: list[str]) -> Path | None:
    import pooch

    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=CHUNK, timeout=TIMEOUT)
    try:
        # pooch verifies a temporary file before it gets the name, so no reader sees half a file.
        return Path(pooch.retrieve(file.url, f"md5:{file.md5}", file.name, _cache() / file.folder, None, downloader))
    except (OSError, ValueError) as error:  # OSError: errors of requests, a full disk; ValueError: a wrong MD5
        failures.append(f"{file.url}: {_reason(error)}")
        return None


def _reason(error: BaseException) -> str:
    """Return the cause that requests reports, without urllib3's text about pools and retries."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return str(inner or error)


def _use_fallback(fallback: Fallback, wanted: Sequence[PublishedFile], failures: list[str]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="fct-") as name:
            work = Path(name)
            work.chmod(0o755)  # apt downloads as another user
            source = fallback.get(work)
            for file in wanted:
                path = source / file.name
                if not path.is_file():
                    failures.append(f"{fallback.what} does not contain {file.name}")
                elif _is_verified(file, path, failures, label=f"{file.name} of {fallback.what}"):
                    paths[file.name] = _cache() / file.folder / file.name
                    files.write_bytes(paths[file.name], path.read_bytes())
    except (OSError, FctError) as error:
        failures.append(f"{fallback.what}: {error}")
    return paths


def _is_verified(file: PublishedFile, path: Path, failures: list[str], *, label: str = "") -> bool:
    """Return whether `path` is the published file, or has the same content if the content has a checksum."""
    actual = files.md5(path)
    if actual == file.md5 or (file.content_md5 and _content_md5(path) == file.content_md5):
        return True
    failures.append(f"{label or path}: its MD5 is {actual}, the published one is {file.md5}")
    return False


def _content_md5(path: Path) -> str | None:
    """Return the MD5 of the decompressed content, or None if `path` is not a complete gzip file."""
    hasher = hashlib.md5(usedforsecurity=False)
    try:
        with gzip.open(path) as content:
            while chunk := content.read(CHUNK):
                hasher.update(chunk)
    except (OSError, EOFError, zlib.error):
        return None
    return hasher.hexdigest()


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("fct"))
