"""Compress a split with JPEG at one quality, on all cores."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from fct.core.errors import FctError
from fct.core.paths import ORIGINALS
from fct.images.decode import UnusableImage, decode
from fct.images.fit import Fit
from fct.jpeg.arrays import roundtrip
from fct.splits.store import Originals, Split, drop_pages

CHUNK_BYTES = 4 << 20  # pixels at the model's size that are compressed at a time
CHUNK_FILES = 32  # originals per task of a thread


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
    bar = tqdm(total=len(split), desc=description, unit="image", unit_scale=True, disable=None, leave=None)
    with tempfile.TemporaryDirectory() as folder, bar:
        views = open_memmap(Path(folder) / "views.npy", "w+", np.uint8, split.images.shape) if out is None else out
        counts = (
            _compress_pixels(views, split.images, quality, subsampling)
            if split.originals is None
            else _compress_files(views, split.originals, split.fit, quality, subsampling)
        )
        with closing(counts):
            for count in counts:
                bar.update(count)
                drop_pages(views)
    return views  # the mapping stays valid after the file is deleted


def _compress_pixels(
    views: NDArray[np.uint8], images: NDArray[np.uint8], quality: int, subsampling: str
) -> Generator[int]:
    """Write the views of images that have the model's size. Yield the number of views of each chunk."""
    size = max(1, CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        roundtrip(images[rows], quality, subsampling, out=views[rows], threads=joblib.cpu_count())
        drop_pages(images)
        yield len(views[rows])


def _compress_files(
    views: NDArray[np.uint8], originals: Originals, fit: Fit, quality: int, subsampling: str
) -> Generator[int]:
    """Write the views of encoded files. Yield the number of views of each chunk."""
    channels = views.shape[-1]

    def fill(start: int) -> int:
        stop = min(start + CHUNK_FILES, len(originals))
        for index in range(start, stop):
            native = read_original(originals, index, channels)
            views[index] = fit(roundtrip(native[None], quality, subsampling)[0])
        return stop - start

    # Threads are enough: Pillow and the kernel release the interpreter's lock.
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:  # cores that this process can use
        for count in pool.map(fill, range(0, len(originals), CHUNK_FILES)):
            drop_pages(originals.files)
            yield count


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
