"""The multi-quality cache on disk: one folder a quality, each with a manifest that says what it was made from.

    <cache>/q<quality>/<split>.npy     uint8 [N, H, W, C], row k the compressed view of the split's image k
    <cache>/q<quality>/manifest.json   codec and its version, subsampling, quality, digest of the source splits, and
                                       of each array the number of images and the checksum

A cache whose manifest does not fit is refused, never mixed with others.
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

SPLITS = (
    "train",
    "val",
)  # gate and test are compressed when they are evaluated, at more qualities than are trained


def cache_folder(quality: int, cache: Path = CACHE) -> Path:
    """Return where the views at `quality` are."""
    return cache / f"q{quality}"


def build_cache(
    splits: Iterable[Split], quality: int, subsampling: str, *, source_digest: str, cache: Path = CACHE
) -> dict[str, Any]:
    """Compress every image of `splits` at `quality`; write the views and their manifest, all or nothing.

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
    """Memory-map the compressed views of `split` at exactly `qualities`, after checking every manifest.

    Returns:
        A uint8 [N, H, W, C] array for each quality.

    Raises:
        FctError: a quality is missing, was made with another subsampling, from other splits, or by another codec, or
            its array is cut short; it names the folder and the command that rebuilds it.
    """
    views: dict[int, NDArray[np.uint8]] = {}
    for quality in qualities:
        here, rebuild = cache_folder(quality, cache), _rebuild(quality)
        with _readable(here, rebuild):
            _manifest(quality, subsampling, source_digest, cache)
            array = np.load(here / f"{split.name}.npy", mmap_mode="r")
        if (array.shape, array.dtype) != (split.images.shape, split.images.dtype):
            kinds = [f"{each.dtype} {each.shape}" for each in (array, split.images)]
            raise FctError(f"{here}: {split.name} is {kinds[0]}, not {kinds[1]}. {rebuild}")
        views[quality] = array
    return views


def verify_cache(quality: int, subsampling: str, *, source_digest: str, cache: Path = CACHE) -> None:
    """Read every byte of the views at `quality`.

    Raises:
        FctError: they are not those that were written, or not those that are wanted; it names the file and the command
            that rebuilds it.
    """
    here, rebuild = cache_folder(quality, cache), _rebuild(quality)
    with _readable(here, rebuild):
        checksums = dict(_manifest(quality, subsampling, source_digest, cache)["sha256"])
        for name in SPLITS:
            path = here / f"{name}.npy"
            if sha256(path) != checksums[name]:
                raise FctError(f"{path} is damaged (its checksum is not the manifest's). {rebuild}")


def _manifest(quality: int, subsampling: str, source_digest: str, cache: Path) -> dict[str, Any]:
    """Return the manifest of a quality, which must say what is expected of it."""
    path = cache_folder(quality, cache) / "manifest.json"
    manifest = dict(json.loads(path.read_text()))
    expected = {"codec": VERSION, "subsampling": subsampling, "quality": quality, "source": source_digest}
    for key, value in expected.items():
        if manifest.get(key) != value:
            raise FctError(f"{path}: {key} is {manifest.get(key)!r}, not {value!r}. {_rebuild(quality)}")
    return manifest


def _rebuild(quality: int) -> str:
    return f"Rebuild it with `dvc repro --force --single-item cache@{quality}`."


@contextmanager
def _readable(here: Path, rebuild: str) -> Iterator[None]:
    """Turn what reading a cache raises into an error for people."""
    try:
        yield
    except FileNotFoundError as error:
        raise FctError(f"{error.filename} is not here. {rebuild}") from None
    except KeyError as error:
        raise FctError(f"{here / 'manifest.json'} has no {error}. {rebuild}") from None
    except (
        ValueError,
        TypeError,
        EOFError,
        SyntaxError,
        TokenError,
        OSError,
    ) as error:  # numpy reads headers as Python
        raise FctError(f"{here} is damaged ({error}). {rebuild}") from None


def stale_folders(qualities: Iterable[int], cache: Path = CACHE) -> list[str]:
    """Return the names of the folders under `cache` that belong to none of `qualities`: what DVC leaves behind."""
    keep = {cache_folder(quality, cache) for quality in qualities}
    return sorted(path.name for path in cache.glob("q*") if path not in keep)
