"""The cache of compressed views on disk: one folder for each quality, with a manifest of its inputs.

    <cache>/q<quality>/<split>-<shard>.npy  uint8 [n, H, W, C], some images of a split after the others: with all shards
                                            in order, row k is the compressed view of the split's image k
    <cache>/q<quality>/manifest.json        codec and its version, subsampling, quality, digest of the source splits,
                                            MiB of a shard; number of images, and checksums of shards, of each split

A cache with another manifest than expected is an error. A cache is built by `fct.cache.build`.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError, translate_damage
from fct.core.files import sha256
from fct.core.params import location
from fct.core.paths import CACHE
from fct.jpeg.arrays import VERSION
from fct.splits.shards import Images, Shards
from fct.splits.store import Split

# The splits gate and test are compressed when they are evaluated, at more qualities.
SPLITS = ("train", "val")
SPARE_FILES = 256  # that a process may open beside those of the cache


def cache_folder(quality: int, cache: Path = CACHE) -> Path:
    """Return the folder of the views at `quality`."""
    return cache / f"q{quality}"


def shard_name(split: str, number: int) -> str:
    """Return the name of the file of a shard. The first has number 0."""
    return f"{split}-{number:05}.npy"


def open_views(
    split: Split, qualities: Iterable[int], subsampling: str, *, source_digest: str, cache: Path = CACHE
) -> dict[int, Images]:
    """Memory-map the compressed views of `split` at `qualities`, after checking every manifest.

    Returns:
        uint8 [N, H, W, C] for each quality: an array, or `Shards` if the cache has several.

    Raises:
        FctError: a quality is missing or damaged, or was made with another subsampling, from other splits or by another
            codec. The message has the folder and the command that rebuilds it.
    """
    shards: dict[int, list[Path]] = {}
    for quality in qualities:
        folder = cache_folder(quality, cache)
        with translate_damage(folder, _remedy(quality)):
            manifest = read_manifest(quality, subsampling, source_digest, cache)
            shards[quality] = [folder / shard_name(split.name, n) for n in range(len(manifest["sha256"][split.name]))]
    _allow_open_files(sum(map(len, shards.values())))
    views: dict[int, Images] = {}
    for quality, paths in shards.items():
        folder, remedy = cache_folder(quality, cache), _remedy(quality)
        with translate_damage(folder, remedy):
            arrays = [np.load(path, mmap_mode="r") for path in paths]
            _check_arrays(arrays, split, folder, remedy)
        views[quality] = arrays[0] if len(arrays) == 1 else Shards(tuple(arrays))
    return views


def verify_cache(quality: int, subsampling: str, *, source_digest: str, cache: Path = CACHE) -> None:
    """Read every byte of the views at `quality`.

    Raises:
        FctError: the views changed after they were written, or the manifest is not the expected one. The message has
            the file and the command that rebuilds it.
    """
    folder, remedy = cache_folder(quality, cache), _remedy(quality)
    with translate_damage(folder, remedy):
        checksums = dict(read_manifest(quality, subsampling, source_digest, cache)["sha256"])
        for name in SPLITS:
            for number, checksum in enumerate(checksums[name]):
                path = folder / shard_name(name, number)
                if sha256(path) != checksum:
                    raise FctError(f"{path} is damaged (its checksum is not the manifest's). {remedy}")


def expected_manifest(quality: int, subsampling: str, source_digest: str) -> dict[str, Any]:
    """Return what decides the pixels of a cache, as its manifest has it."""
    return {"codec": VERSION, "subsampling": subsampling, "quality": quality, "source": source_digest}


def read_manifest(quality: int, subsampling: str, source_digest: str, cache: Path = CACHE) -> Mapping[str, Any]:
    """Return the manifest of a quality, after checking what decides its pixels.

    Raises:
        FctError: a value is not the expected one.
        OSError, ValueError, TypeError: there is no manifest, or it is damaged.
    """
    path = cache_folder(quality, cache) / "manifest.json"
    manifest = dict(json.loads(path.read_text()))
    for key, value in expected_manifest(quality, subsampling, source_digest).items():
        if manifest.get(key) != value:
            raise FctError(f"{path}: {key} is {manifest.get(key)!r}, not {value!r}. {_remedy(quality)}")
    return manifest


def _check_arrays(arrays: list[NDArray[np.uint8]], split: Split, folder: Path, remedy: str) -> None:
    """Raise FctError unless `arrays`, one after the other, have the shape and type of the split's images."""
    count = sum(map(len, arrays))
    shapes = {f"{array.dtype} {(count, *array.shape[1:])}" for array in arrays}
    expected = f"{split.images.dtype} {split.images.shape}"
    if shapes != {expected}:
        raise FctError(f"{folder}: {split.name} is {' and '.join(sorted(shapes)) or 'empty'}, not {expected}. {remedy}")


def _allow_open_files(count: int) -> None:
    """Let this process open `count` more files: each memory-mapped shard is one.

    Raises:
        FctError: the system's limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(list(Path("/proc/self/fd").iterdir())) + count + SPARE_FILES
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise FctError(
            f"{location('cache.shard')}: the cache has {count:,} files, but this process may open {hard:,} "
            "(`ulimit -Hn`). Raise that limit, or set larger shards."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _remedy(quality: int) -> str:
    return f"Rebuild it with `dvc repro --force --single-item cache@{quality}`."


def stale_folders(qualities: Iterable[int], cache: Path = CACHE) -> list[str]:
    """Return the names of the folders in `cache` of other qualities than `qualities`, which DVC does not delete."""
    keep = {cache_folder(quality, cache) for quality in qualities}
    return sorted(path.name for path in cache.glob("q*") if path not in keep)
