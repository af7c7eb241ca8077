"""Files and folders that are written whole or not at all, and digests of content."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

CHUNK = 1 << 20  # bytes read at a time when hashing
ABANDONED = 3600  # seconds without a change after which nobody is writing a temporary file any more
PUBLIC, OWNER_ONLY = 0o666, 0o600  # permissions of a new file, before the umask


def write_bytes(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """Write `content` to `path` through a temporary file in the same folder, so that a reader never sees half of it.

    A device or a pipe, such as /dev/stdout, is written directly, since no file may replace it.

    Args:
        path: The file. Its folder is created.
        content: What it holds afterwards.
        mode: Its permissions, at any moment: OWNER_ONLY for a secret.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    name = f".{path.name[:50]}"  # shortened, since a name has at most 255 bytes, up to 4 per character
    _delete_leftovers(path.parent, name)
    temporary = path.with_name(f"{name}.{secrets.token_hex(4)}.tmp")  # not tempfile's, which ignores the umask
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _delete_leftovers(folder: Path, name: str) -> None:
    """Delete the temporary files of killed writers. Newer ones stay: another process may be writing the same file."""
    for leftover in folder.glob(f"{escape(name)}.????????.tmp"):
        with suppress(OSError):  # another writer deleted it first, or it belongs to another user
            if time.time() - leftover.stat().st_mtime > ABANDONED:
                leftover.unlink()


def write_text(path: Path, content: str, mode: int = PUBLIC) -> None:
    """Write UTF-8 text atomically, as `write_bytes` does."""
    write_bytes(path, content.encode(), mode)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON. The same content gives the same bytes."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder. It replaces `path` at the end of the block, or is deleted if the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):  # from a killed run
        shutil.rmtree(leftover)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # not tempfile's, which ignores the umask
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    return _file_digest(path, "sha256")


def md5(path: Path) -> str:
    """Return the MD5 of a file in hexadecimal digits. Data sets publish it, and DVC records it."""
    return _file_digest(path, "md5")


def _file_digest(path: Path, algorithm: str) -> str:
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def digest(content: Any) -> str:
    """Return 16 hexadecimal digits that identify `content`, any JSON value. The order of keys does not matter."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
