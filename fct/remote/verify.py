"""Compares every object that the present dvc.lock names with its checksum on the remote, and repairs from the cache.

DVC itself looks at names alone: `dvc push` calls a remote up to date on which an object was truncated, or deleted from
a folder that was pushed before.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from fct.core.files import CHUNK, md5
from fct.remote.store import Out, Store, iterate_files, open_stores, translate_errors

MISSING, DAMAGED = "missing", "damaged"
JOBS = 8  # objects that are read at a time
FOLDER = ".dir"


@dataclass(frozen=True)
class Fault:
    """An object that the remote lacks, or has with other content."""

    out: Out
    kind: str  # MISSING or DAMAGED
    size: int  # bytes that the remote has
    hides: bool = False  # a folder whose files are unknown, since this machine lacks its list too
    repaired: bool = False
    why_not: str = ""  # why it could not be repaired


@dataclass(frozen=True)
class Report:
    """The state of one remote."""

    name: str
    address: str
    objects: int
    size: int  # bytes read
    faults: tuple[Fault, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the remote holds everything unharmed now."""
        return all(fault.repaired for fault in self.faults)


def verify(
    name: str | None = None,
    *,
    repair: bool = False,
    jobs: int = JOBS,
    progress: Callable[[str, int], Callable[[], object]] = lambda _address, _total: lambda: None,
) -> list[Report]:
    """Check each object that dvc.lock and the .dvc files name, by reading it from the remote.

    Args:
        name: The remote; None for the one that each out goes to.
        repair: Upload what is damaged or missing, from this machine's cache, if the cache has it unharmed.
        jobs: Objects that are read at a time.
        progress: Called with a remote's address and its number of objects. Returns what is called after each.

    Returns:
        One report a remote.

    Raises:
        FctError: there is no remote, it does not answer, or it refuses.
    """
    return [_verify(store, outs, progress, repair=repair, jobs=jobs) for store, outs in open_stores(name)]


def _verify(
    store: Store, outs: Iterable[Out], progress: Callable[[str, int], Callable[[], object]], *, repair: bool, jobs: int
) -> Report:
    with translate_errors(store.address):
        folders = {out.oid: out for out in outs if out.oid.endswith(FOLDER)}
        objects = {out.oid: out for out in outs if not out.oid.endswith(FOLDER)}
        faults: list[Fault] = []
        size = 0
        for folder in folders.values():
            content = _read(store, folder)
            fault = _judge(folder, None if content is None else _digest(content), len(content or b""))
            size += len(content or b"")
            if fault:
                cached = _cached_content(store, folder)
                content = cached
                faults.append(Fault(fault.out, fault.kind, fault.size, hides=cached is None))
            for file in iterate_files(content, folder) if content else ():
                objects.setdefault(file.oid, file)
        step = progress(store.address, len(folders) + len(objects))
        for _ in folders:
            step()
        for file_size, fault in _check_all(store, objects.values(), jobs):
            size += file_size
            step()
            if fault:
                faults.append(fault)
        faults.sort(key=lambda fault: fault.out.path)
        if repair:
            faults = [_repair(store, fault) for fault in faults]
    return Report(store.name, store.address, len(folders) + len(objects), size, tuple(faults))


def _check_all(store: Store, objects: Iterable[Out], jobs: int) -> Iterator[tuple[int, Fault | None]]:
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(_check, store, out) for out in objects]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _check(store: Store, out: Out) -> tuple[int, Fault | None]:
    """Read an object chunk by chunk. Return its size in bytes, and what is wrong with it."""
    hasher, size = hashlib.md5(usedforsecurity=False), 0
    try:
        with store.remote.fs.open(store.remote.oid_to_path(out.oid), "rb") as file:
            while chunk := file.read(CHUNK):
                hasher.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return 0, Fault(out, MISSING, 0)
    return size, _judge(out, hasher.hexdigest(), size)


def _judge(out: Out, digest: str | None, size: int) -> Fault | None:
    """Return what is wrong with an object of this content; None if nothing is."""
    if digest is None:
        return Fault(out, MISSING, 0)
    return None if digest == out.oid.removesuffix(FOLDER) else Fault(out, DAMAGED, size)


def _read(store: Store, out: Out) -> bytes | None:
    try:
        with store.remote.fs.open(store.remote.oid_to_path(out.oid), "rb") as file:
            return bytes(file.read())
    except FileNotFoundError:
        return None


def _digest(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _cached_content(store: Store, folder: Out) -> bytes | None:
    """Return the list of a folder's files from this machine's cache, or None if the cache lacks it."""
    path = store.cached(folder.oid)
    return path.read_bytes() if _is_unharmed(path, folder.oid) else None


def _is_unharmed(path: Path, oid: str) -> bool:
    return path.is_file() and md5(path) == oid.removesuffix(FOLDER)


def _repair(store: Store, fault: Fault) -> Fault:
    """Upload an object from the cache, and read it back."""
    path = store.cached(fault.out.oid)
    if not _is_unharmed(path, fault.out.oid):
        harm = "is damaged too" if path.is_file() else "lacks it"
        return Fault(fault.out, fault.kind, fault.size, fault.hides, why_not=f"this machine's cache {harm}")
    _upload(store, path, store.remote.oid_to_path(fault.out.oid))
    _, still = _check(store, fault.out)
    return Fault(
        fault.out, fault.kind, fault.size, repaired=still is None, why_not="it is still damaged" if still else ""
    )


def _upload(store: Store, path: Path, target: str) -> None:
    """Put a file on the remote, whole or not at all."""
    fs = store.remote.fs
    fs.makedirs(fs.parent(target), exist_ok=True)
    if fs.protocol == "local":
        temporary = Path(f"{target}.{secrets.token_hex(4)}")
        shutil.copyfile(path, temporary)
        temporary.replace(target)
        store.remote.protect(target)
    else:
        fs.put_file(str(path), target)
