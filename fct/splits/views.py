"""Compress a split with JPEG at one quality or several, on all cores."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from fct.core.bounded import bounded_map
from fct.core.errors import FctError
from fct.core.paths import ORIGINALS
from fct.images.decode import UnusableImage, decode
from fct.images.fit import Fit
from fct.jpeg.arrays import roundtrip
from fct.splits.store import Originals, Split, drop_pages

CHUNK_BYTES = 4 << 20  # pixels at the model's size that are compressed at a time, for each quality
CHUNK_FILES = 32  # originals per task of a thread, over all qualities
AHEAD = 2  # tasks for each thread that are in progress, or wait for the order


def compress_split(
    split: Split,
    quality: int,
    subsampling: str,
    *,
    out: np.memmap[tuple[int, ...], np.dtype[np.uint8]] | None = None,
    description: str | None = None,
) -> NDArray[np.uint8]:
    """Compress every image of `split` at its native size, then resize it to the model's size, as in a deployment.

    The memory does not depend on the number of images: pages of files are dropped after use.

    Args:
        split: the raw images.
        quality: JPEG quality, 1..100.
        subsampling: the subsampling of the chroma planes, "4:2:0", "4:2:2" or "4:4:4".
        out: memory-mapped file for the views; a temporary file by default.
        description: label of the progress bar.

    Returns:
        uint8 [N, H, W, C], the shape of `split.images`.
    """
    with tempfile.TemporaryDirectory() as folder:
        views = open_memmap(Path(folder) / "views.npy", "w+", np.uint8, split.images.shape) if out is None else out
        start = 0
        for (chunk,) in compress_chunks(split, [quality], subsampling, description=description):
            views[start : start + len(chunk)] = chunk
            start += len(chunk)
            drop_pages(views)
    return views  # the mapping stays valid after the file is deleted


def compress_chunks(  # noqa: PLR0913  # details by keyword
    split: Split,
    qualities: Sequence[int],
    subsampling: str,
    *,
    rows: range | None = None,
    threads: int | None = None,
    description: str | None = None,
) -> Generator[NDArray[np.uint8]]:
    """Compress images of `split` at each of several qualities, and yield the views of a few images at a time.

    Each original is decoded once for all qualities.

    Args:
        split: the raw images.
        qualities: JPEG qualities, 1..100.
        subsampling: the subsampling of the chroma planes.
        rows: the images, in a range of step 1; all by default.
        threads: number of threads; all cores by default.
        description: label of the progress bar.

    Yields:
        uint8 [Q, n, H, W, C]. The array is valid until the next one is asked for.
    """
    rows = range(len(split)) if rows is None else rows
    threads = threads or joblib.cpu_count()  # cores that this process can use
    chunks = (
        _compress_pixels(split.images, rows, qualities, subsampling, threads)
        if split.originals is None
        else _compress_files(split, split.originals, rows, qualities, subsampling, threads)
    )
    bar = tqdm(total=len(rows), desc=description, unit="image", unit_scale=True, disable=None, leave=None)
    with bar, closing(chunks):
        for chunk in chunks:
            yield chunk
            bar.update(chunk.shape[1])


def _compress_pixels(
    images: NDArray[np.uint8], rows: range, qualities: Sequence[int], subsampling: str, threads: int
) -> Generator[NDArray[np.uint8]]:
    """Yield the views of images that have the model's size."""
    size = max(1, CHUNK_BYTES // max(1, images[:1].nbytes))
    views = np.empty((len(qualities), min(size, len(rows)), *images.shape[1:]), np.uint8)
    for start in range(rows.start, rows.stop, size):
        raw = images[start : min(start + size, rows.stop)]
        for quality, out in zip(qualities, views[:, : len(raw)], strict=True):
            roundtrip(raw, quality, subsampling, out=out, threads=threads)
        drop_pages(images)
        yield views[:, : len(raw)]


def _compress_files(  # noqa: PLR0913, PLR0917  # as `compress_chunks`
    split: Split, originals: Originals, rows: range, qualities: Sequence[int], subsampling: str, threads: int
) -> Generator[NDArray[np.uint8]]:
    """Yield the views of encoded files."""
    shape, fit, size = split.images.shape[1:], split.fit, max(1, CHUNK_FILES // len(qualities))

    def compress(start: int) -> NDArray[np.uint8]:
        chunk = range(start, min(start + size, rows.stop))
        views = np.empty((len(qualities), len(chunk), *shape), np.uint8)
        for place, row in enumerate(chunk):
            native = read_original(originals, row, shape[-1])[None]
            for view, quality in zip(views, qualities, strict=True):
                view[place] = fit(roundtrip(native, quality, subsampling)[0])
        return views

    # Threads are enough: Pillow and the kernel release the interpreter's lock.
    pool = ThreadPoolExecutor(threads)
    starts = range(rows.start, rows.stop, size)
    try:
        for views in bounded_map(lambda at: pool.submit(compress, at), Future.result, starts, depth=threads * AHEAD):
            drop_pages(originals.files)
            yield views
    finally:
        pool.shutdown(cancel_futures=True)


def at_size(split: Split, size: int) -> Split:
    """Return `split` with images of `size` pixels, as a model sees them. Those of train may be kept larger."""
    if split.images.shape[1] == size or split.originals is None:
        return split
    fit, channels = Fit(size), split.images.shape[-1]
    images = [fit(read_original(split.originals, index, channels)) for index in range(len(split))]
    return replace(split, images=np.stack(images))


def read_original(originals: Originals, index: int, channels: int) -> NDArray[np.uint8]:
    """Return the pixels of one encoded file at its native size, uint8 [H, W, channels].

    Raises:
        FctError: the file cannot be decoded.
    """
    try:
        return decode(originals[index], channels)
    except UnusableImage as error:
        raise FctError(f"{ORIGINALS}: image {index} is {error}. Make them anew with `dvc repro data`.") from None
