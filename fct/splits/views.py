"""A split as it looks after JPEG compression at one quality, computed on all cores."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import joblib
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from fct.core.errors import FctError
from fct.core.paths import ORIGINALS
from fct.images.decode import UnusableImage, decode, resize
from fct.jpeg.arrays import roundtrip
from fct.splits.store import Originals, Split, drop_pages

CHUNK_BYTES = 4 << 20  # of pixels at the model's size, compressed at a time
CHUNK_FILES = 32  # native-size originals that a thread takes at a time


def compress_split(
    split: Split,
    quality: int,
    subsampling: str,
    *,
    out: np.memmap[tuple[int, ...], np.dtype[np.uint8]] | None = None,
    description: str | None = None,
) -> NDArray[np.uint8]:
    """Compress every image of `split` at its native size, then resize it to the model's size, as a deployment does.

    Memory stays bounded, whatever the number of images: pages of files are let go of as soon as they are done with.

    Args:
        split: the raw images.
        quality: JPEG quality, 1..100.
        subsampling: of the chroma planes, "4:2:0", "4:2:2" or "4:4:4".
        out: memory-mapped file to put the views into; one without a name where absent.
        description: beside the progress bar.

    Returns:
        uint8 [N, H, W, C], the shape of `split.images`.
    """
    bar = tqdm(total=len(split), desc=description, unit="image", unit_scale=True, disable=None, leave=None)
    with tempfile.TemporaryDirectory() as folder, bar:
        views = open_memmap(Path(folder) / "views.npy", "w+", np.uint8, split.images.shape) if out is None else out
        steps = (
            _from_pixels(views, split.images, quality, subsampling)
            if split.originals is None
            else _from_files(views, split.originals, quality, subsampling)
        )
        with closing(steps):
            for count in steps:
                bar.update(count)
                drop_pages(views)
    return views  # the mapping outlives the file's name


def _from_pixels(views: NDArray[np.uint8], images: NDArray[np.uint8], quality: int, subsampling: str) -> Generator[int]:
    """Write the views of images that have the model's size already; yield how many there are more each time."""
    size = max(1, CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        roundtrip(images[rows], quality, subsampling, out=views[rows], threads=joblib.cpu_count())
        drop_pages(images)
        yield len(views[rows])


def _from_files(views: NDArray[np.uint8], originals: Originals, quality: int, subsampling: str) -> Generator[int]:
    """Write the views of encoded files; yield how many there are more each time."""
    _, size, _, channels = views.shape

    def fill(start: int) -> int:
        stop = min(start + CHUNK_FILES, len(originals))
        for index in range(start, stop):
            try:
                native = decode(originals[index], channels)
            except UnusableImage as error:
                raise FctError(f"{ORIGINALS}: image {index} is {error}. Make them anew: `dvc repro data`.") from None
            views[index] = resize(roundtrip(native[None], quality, subsampling)[0], size)
        return stop - start

    # Threads: Pillow and the kernel leave the interpreter to others while they work.
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:  # the cores that this process may use
        for count in pool.map(fill, range(0, len(originals), CHUNK_FILES)):
            drop_pages(originals.files)
            yield count
