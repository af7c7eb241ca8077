"""The cache of compressed views on disk: one folder for each quality, with a manifest of its inputs.

    <cache>/q<quality>/<split>.npy     uint8 [N, H, W, C], row k is the compressed view of the split's image k
    <cache>/q<quality>/manifest.json   codec and its version, subsampling, quality, digest of the source splits; number
                                       of images and checksum of each array

A cache with another manifest than expected is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.core.files import atomic_folder, sha256, write_json
from fct.core.paths import CACHE
from fct.jpeg.arrays import VERSION
from fct.splits.store import Split
from fct.splits.views import compress_split

# The splits gate and test are compressed when they are evaluated, at more qualities.
SPLITS = ("train", "val")


def cache_folder(quality: int, cache: Path = CACHE) -> Path:
    """Return the folder of the views at `quality`."""
    return cache / f"q{quality}"


def build_cache(
    splits: Iterable[Split], quality: int, subsampling: str, *, source_digest: str, cache: Path = CACHE
) -> dict[str, Any]:
    """Compress every image of `splits` at `quality`. Write the views and their manifest atomically.

    Returns:
        The manifest.
    """
    manifest: dict[str, Any] = {
        "codec": VERSION,
        "subsampling": subsampling,
        "quality": quality,
        "source": source_digest,
        "images": {},
        "sha256": {},
    }
    with atomic_folder(cache_folder(quality, cache)) as target:
        for split in splits:
            path = target / f"{split.name}.npy"
            views = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=split.images.shape)
            compress_split(split, quality, subsampling, out=views, description=f"{split.name} at quality {quality}")
            views.flush()
            manifest["images"][split.name] = len(split)
            manifest["sha256"][split.name] = sha256(path)
        write_json(target / "manifest.json", manifest)
    return manifest


def open_views(
    split: Split, qualities: Iterable[int], subsampling: str, *, source_digest: str, cache: Path = CACHE
) -> dict[int, NDArray[np.uint8]]:
    """Memory-map the compressed views of `split` at `qualities`, after checking every manifest.

    Returns:
        A uint8 [N, H, W, C] array for each quality.

    Raises:
        FctError: a quality is missing or damaged, or was made with another subsampling, from other splits or by another
            codec. The message has the folder and the command that rebuilds it.
    """
    views: dict[int, NDArray[np.uint8]] = {}
    for quality in qualities:
        folder, remedy = cache_folder(quality, cache), _remedy(quality)
        with _translate_errors(folder, remedy):
            _read_manifest(quality, subsampling, source_digest, cache)
            array = np.load(folder / f"{split.name}.npy", mmap_mode="r")
        if (array.shape, array.dtype) != (split.images.shape, split.images.dtype):
            actual, expected = (f"{images.dtype} {images.shape}" for images in (array, split.images))
            raise FctError(f"{folder}: {split.name} is {actual}, not {expected}. {remedy}")
        views[quality] = array
    return views


def verify_cache(quality: int, subsampling: str, *, source_digest: str, cache: Path = CACHE) -> None:
    """Read every byte of the views at `quality`.

    Raises:
        FctError: the views changed after they were written, or the manifest is not the expected one. The message has
            the file and the command that rebuilds it.
    """
    folder, remedy = cache_folder(quality, cache), _remedy(quality)
    with _translate_errors(folder, remedy):
        checksums = dict(_read_manifest(quality, subsampling, source_digest, cache)["sha256"])
        for name in SPLITS:
            path = folder / f"{name}.npy"
            if sha256(path) != checksums[name]:
                raise FctError(f"{path} is damaged (its checksum is not the manifest's). {remedy}")


def _read_manifest(quality: int, subsampling: str, source_digest: str, cache: Path) -> dict[str, Any]:
    """Return the manifest of a quality, after checking its values."""
    path = cache_folder(quality, cache) / "manifest.json"
    manifest = dict(json.loads(path.read_text()))
    expected = {"codec": VERSION, "subsampling": subsampling, "quality": quality, "source": source_digest}
    for key, value in expected.items():
        if manifest.get(key) != value:
            raise FctError(f"{path}: {key} is {manifest.get(key)!r}, not {value!r}. {_remedy(quality)}")
    return manifest


def _remedy(quality: int) -> str:
    return f"Rebuild it with `dvc repro --force --single-item cache@{quality}`."


@contextmanager
def _translate_errors(folder: Path, remedy: str) -> Iterator[None]:
    """Turn exceptions of reading a cache into an FctError."""
    try:
        yield
    except FileNotFoundError as error:
        raise FctError(f"{error.filename} is not here. {remedy}") from None
    except KeyError as error:
        raise FctError(f"{folder / 'manifest.json'} has no {error}. {remedy}") from None
    except (
        ValueError,
        TypeError,
        EOFError,
        SyntaxError,
        TokenError,
        OSError,
    ) as error:  # numpy parses headers as Python
        raise FctError(f"{folder} is damaged ({error}). {remedy}") from None


def stale_folders(qualities: Iterable[int], cache: Path = CACHE) -> list[str]:
    """Return the names of the folders in `cache` of other qualities than `qualities`, which DVC does not delete."""
    keep = {cache_folder(quality, cache) for quality in qualities}
    return sorted(path.name for path in cache.glob("q*") if path not in keep)
