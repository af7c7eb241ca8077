"""Build caches shard by shard, on threads or a Ray cluster.

A task compresses the images of one shard at all missing qualities, so each original is decoded once. DVC has a stage
for each quality: the first stage that runs builds the shards of all missing qualities, and the others take theirs.

    .fct/cache-build/<digest>/q<quality>/<split>-<shard>.<sha256>.npy   a finished shard, which no cache has yet

The digest identifies what decides the bytes, with the code and its packages. A shard gets its name when it is whole and
on disk, so a build that was killed continues with the shards that are missing.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fct.cache import store
from fct.core.errors import FctError
from fct.core.files import atomic_folder, digest, write_json
from fct.core.locks import locked
from fct.core.paths import CACHE, CACHE_BUILD, ORIGINALS, SPLITS
from fct.engine.identity import code_identity
from fct.engine.open import open_engine
from fct.engine.params import ComputeParams
from fct.splits.store import Split, open_split
from fct.splits.views import compress_chunks

SPARE = 2  # caches' worth of disk that stays free when other qualities than the stage's own are built in advance
Checksums = dict[int, dict[str, str]]  # of finished shards, by quality and name


@dataclass(frozen=True)
class Folders:
    """The folders that a build reads and writes."""

    splits: Path = SPLITS
    originals: Path = ORIGINALS
    cache: Path = CACHE
    build: Path = CACHE_BUILD

    @classmethod
    def of(cls, project: Path) -> Folders:
        """Return those of the working copy in `project`."""
        return cls(*(project / folder for folder in (SPLITS, ORIGINALS, CACHE, CACHE_BUILD)))

    def open(self, name: str) -> Split:
        """Open a split."""
        return open_split(name, self.splits, self.originals)


@dataclass(frozen=True)
class Shard:
    """Consecutive images of a split, whose views are one file for each quality."""

    split: str
    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The name of its file."""
        return store.shard_name(self.split, self.number)


def build_cache(  # noqa: PLR0913  # all that decides
    quality: int,
    subsampling: str,
    *,
    source_digest: str,
    shard_mib: int,
    ahead: Iterable[int] = (),
    folders: Folders = Folders(),
    compute: ComputeParams | None = None,
) -> dict[str, Any]:
    """Write the cache of one quality, whole or not at all. Compress only what no earlier build has finished.

    Args:
        quality: the JPEG quality, 1..100.
        subsampling: the subsampling of the chroma planes.
        source_digest: of the splits.
        shard_mib: MiB of pixels in one file, at most.
        ahead: other qualities. Their missing shards are built too, if the disk has room, and wait for their turn.
        folders: what is read and written.
        compute: the engine; None for threads.

    Returns:
        The manifest.
    """
    expected = store.expected_manifest(quality, subsampling, source_digest) | {"shard": shard_mib}
    with locked(folders.build.with_suffix(".lock"), on_wait=lambda: print("waiting for another stage's build")):
        build = folders.build / digest(expected | {"quality": None} | code_identity())
        shards = list(_plan(folders, shard_mib << 20))
        missing = [q for q in ahead if q != quality and not _is_current(q, expected, folders.cache)]
        qualities = [quality, *missing[: _room(folders)]]
        _remove_stale(build, {*missing, quality})
        finished = _compress(shards, qualities, subsampling, build, folders, compute)
        manifest = expected | {
            "images": {name: max(shard.stop for shard in shards if shard.split == name) for name in store.SPLITS},
            "sha256": {
                name: [finished[quality][shard.name] for shard in shards if shard.split == name]
                for name in store.SPLITS
            },
        }
        with atomic_folder(store.cache_folder(quality, folders.cache)) as target:
            for name, checksum in finished[quality].items():
                _link(_finished_path(build, quality, name, checksum), target / name)
            write_json(target / "manifest.json", manifest)
        _remove_stale(build, set(missing))
    return manifest


def _plan(folders: Folders, shard_bytes: int) -> Iterator[Shard]:
    """Divide the splits into shards of at most `shard_bytes`, or of one image."""
    for name in store.SPLITS:
        images = folders.open(name).images
        size = max(1, shard_bytes // images[:1].nbytes)
        for number, start in enumerate(range(0, len(images), size)):
            yield Shard(name, number, start, min(start + size, len(images)))


def _is_current(quality: int, expected: dict[str, Any], cache: Path) -> bool:
    """Return whether the cache of a quality is there, as it would be built."""
    try:
        manifest = store.read_manifest(quality, expected["subsampling"], expected["source"], cache)
    except (FctError, OSError, ValueError, TypeError):
        return False
    return bool(manifest.get("shard") == expected["shard"])


def _room(folders: Folders) -> int:
    """Return how many qualities the disk has room for, beside the stage's own."""
    size = sum(folders.open(name).images.nbytes for name in store.SPLITS)
    folders.build.mkdir(parents=True, exist_ok=True)
    return max(0, shutil.disk_usage(folders.build).free // max(1, size) - SPARE)


def _remove_stale(build: Path, qualities: set[int]) -> None:
    """Remove builds of other content, and finished shards of other qualities."""
    keep = {f"q{quality}" for quality in qualities}
    for folder in [*build.parent.glob("*"), *build.glob("q*")]:
        if folder != build and folder.name not in keep:
            shutil.rmtree(folder)
    if not keep:
        shutil.rmtree(build, ignore_errors=True)


def _compress(  # noqa: PLR0913, PLR0917  # what a build needs
    shards: Sequence[Shard],
    qualities: Sequence[int],
    subsampling: str,
    build: Path,
    folders: Folders,
    compute: ComputeParams | None,
) -> Checksums:
    """Compress the missing shards. Return the checksums of all."""
    finished: Checksums = {quality: _find_finished(build / f"q{quality}") for quality in qualities}
    tasks: list[tuple[Shard, tuple[int, ...]]] = []
    for shard in shards:
        lacking = tuple(quality for quality in qualities if shard.name not in finished[quality])
        if lacking:
            tasks.append((shard, lacking))
    if not tasks:
        return finished
    if len(qualities) > 1:
        names = ", ".join(map(str, sorted(qualities)))
        print(f"compressing at the qualities {names} in one pass, also for later stages")
    function = partial(compress_shard, subsampling=subsampling, build=build, folders=folders)
    reads = [folders.splits, folders.originals]
    with open_engine(compute, reads=reads, writes=build) as engine:
        results = engine.map(function, tasks, threaded=True)
        bar = tqdm(results, desc="shards", total=len(tasks), unit="shard", disable=None if len(tasks) > 1 else True)
        for (shard, _), checksums in zip(tasks, bar, strict=True):
            for quality, checksum in checksums.items():
                finished[quality][shard.name] = checksum
    return finished


def compress_shard(
    task: tuple[Shard, Sequence[int]], *, subsampling: str, build: Path, folders: Folders, threads: int
) -> dict[int, str]:
    """Write the views of a shard at some qualities. Return the checksum of each file.

    Args:
        task: the shard and the qualities.
        subsampling: the subsampling of the chroma planes.
        build: the folder for finished shards.
        folders: what is read.
        threads: number of threads.
    """
    shard, qualities = task
    split = folders.open(shard.split)
    shape = (shard.stop - shard.start, *split.images.shape[1:])
    chunks = compress_chunks(
        split,
        qualities,
        subsampling,
        rows=range(shard.start, shard.stop),
        threads=threads,
        description=f"{shard.split} {shard.number + 1}, {len(qualities)} qualities",
    )
    checksums: dict[int, str] = {}
    with ExitStack() as stack:
        writers = [
            stack.enter_context(_write_shard(build, quality, shard.name, shape, checksums)) for quality in qualities
        ]
        for views in chunks:
            for write, view in zip(writers, views, strict=True):
                write(view)
    return checksums


@contextmanager
def _write_shard(
    build: Path, quality: int, name: str, shape: tuple[int, ...], checksums: dict[int, str]
) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Yield a function that appends images to a shard. At the end the file gets its name, which has its checksum."""
    folder = build / f"q{quality}"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.{secrets.token_hex(4)}"  # no other task's, even if two work on the same shard
    hasher = hashlib.sha256(usedforsecurity=False)
    try:
        with temporary.open("xb") as file:

            def write(content: bytes | memoryview) -> None:
                file.write(content)
                hasher.update(content)

            write(_header(shape))
            yield lambda images: write(images.reshape(-1).data)
            file.flush()
            os.fsync(file.fileno())
        checksums[quality] = hasher.hexdigest()
        temporary.replace(_finished_path(build, quality, name, checksums[quality]))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _header(shape: tuple[int, ...]) -> bytes:
    """Return the header of a file that np.save writes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _finished_path(build: Path, quality: int, name: str, checksum: str) -> Path:
    path = Path(name)
    return build / f"q{quality}" / f"{path.stem}.{checksum}{path.suffix}"


def _find_finished(folder: Path) -> dict[str, str]:
    """Return the checksums of finished shards. Remove what killed tasks left."""
    for leftover in folder.glob(".*"):
        leftover.unlink(missing_ok=True)
    parts = [path.name.split(".") for path in sorted(folder.glob("*.*.npy"))]
    return {f"{stem}.{suffix}": checksum for stem, checksum, suffix in parts}


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links. A killed build loses nothing."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise FctError(
            f"{source} was finished by another machine, but is not here. Check that all nodes share this folder."
        ) from None
    except OSError:
        shutil.copyfile(source, target)
