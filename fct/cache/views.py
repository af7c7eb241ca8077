"""A split as it looks after JPEG compression at one quality, computed on all cores."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import joblib
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from fct.data.images import decode, resize
from fct.data.store import Originals, Split
from fct.jpeg.codec import roundtrip

CHUNK_BYTES = 4 << 20  # of pixels at the model's size, handed to a process at a time
CHUNK_FILES = 64  # native-size originals handed to a process at a time


def compressed(
    split: Split,
    quality: int,
    subsampling: str,
    *,
    out: np.memmap[tuple[int, ...], np.dtype[np.uint8]] | None = None,
    description: str | None = None,
) -> NDArray[np.uint8]:
    """Compress every image of `split` at its native size, then resize it to the model's size, as a deployment does.

    Args:
        split: the raw images.
        quality: JPEG quality, 1..100.
        subsampling: of the chroma planes, "4:2:0", "4:2:2" or "4:4:4".
        out: memory-mapped file to put the views into; one without a name where absent.
        description: beside the progress bar.

    Returns:
        uint8 [N, H, W, C], the shape of `split.images`.
    """
    size = CHUNK_FILES if split.originals else max(1, CHUNK_BYTES // max(1, split.images[:1].nbytes))
    starts = range(0, len(split), size)
    # Processes, not threads: at 32 pixels the codec's calls are so short that threads queue for the interpreter lock.
    # joblib counts the cores this process may use; LOKY_MAX_CPU_COUNT lowers the count.
    workers = max(1, min(joblib.cpu_count(), len(starts)))
    pool = joblib.Parallel(n_jobs=workers, return_as="generator")
    bar = tqdm(total=len(split), desc=description, unit="image", unit_scale=True, disable=None, leave=None)
    with tempfile.TemporaryDirectory() as folder, bar:
        # The processes write into the mapped file themselves: pixels sent back would cost as much as making them.
        views = open_memmap(Path(folder) / "views.npy", "w+", np.uint8, split.images.shape) if out is None else out
        jobs = (joblib.delayed(_fill)(views, split, start, start + size, quality, subsampling) for start in starts)
        for count in pool(jobs):
            bar.update(count)
    return views  # the mapping outlives the file's name


def _fill(  # noqa: PLR0913, PLR0917  # a job is told everything
    views: NDArray[np.uint8], split: Split, start: int, stop: int, quality: int, subsampling: str
) -> int:
    """Write the views of images `start` to `stop` into their rows of `views`; return how many there are."""
    images = split.images[start:stop]
    if split.originals is not None:
        indices = range(start, start + len(images))
        views[start:stop] = _from_files(split.originals, indices, images.shape, quality, subsampling)
    else:
        for row, image in enumerate(images, start):
            views[row] = roundtrip(image, quality, subsampling)
    return len(images)


def _from_files(
    originals: Originals, indices: Iterable[int], shape: tuple[int, ...], quality: int, subsampling: str
) -> NDArray[np.uint8]:
    _, size, _, channels = shape
    natives = (decode(originals[index], channels) for index in indices)
    return np.stack([resize(roundtrip(native, quality, subsampling), size) for native in natives])
