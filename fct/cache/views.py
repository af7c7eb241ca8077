"""A split as it looks after JPEG compression at one quality, computed on all cores."""

from __future__ import annotations

from collections.abc import Iterable

import joblib
import numpy as np
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
    out: NDArray[np.uint8] | None = None,
    description: str | None = None,
) -> NDArray[np.uint8]:
    """Compress every image of `split` at its native size, then resize it to the model's size, as a deployment does.

    Args:
        split: the raw images.
        quality: JPEG quality, 1..100.
        subsampling: of the chroma planes, "4:2:0", "4:2:2" or "4:4:4".
        out: where to put the views (a memory-mapped file, say); a new array where absent.
        description: beside the progress bar.

    Returns:
        uint8 [N, H, W, C], the shape of `split.images`.
    """
    views = np.empty(split.images.shape, np.uint8) if out is None else out
    size = CHUNK_FILES if split.originals else max(1, CHUNK_BYTES // max(1, split.images[:1].nbytes))
    starts = range(0, len(split), size)
    # Processes, not threads: at 32 pixels the codec's calls are so short that threads queue for the interpreter lock.
    # joblib counts the cores this process may use; LOKY_MAX_CPU_COUNT lowers the count.
    workers = max(1, min(joblib.cpu_count(), len(starts)))
    pool = joblib.Parallel(n_jobs=workers, return_as="generator", mmap_mode="r")
    jobs = (joblib.delayed(_chunk)(split, start, start + size, quality, subsampling) for start in starts)
    with tqdm(total=len(split), desc=description, unit="image", unit_scale=True, disable=None) as bar:
        for start, chunk in zip(starts, pool(jobs), strict=True):
            views[start : start + size] = chunk
            bar.update(len(chunk))
    return views


def _chunk(split: Split, start: int, stop: int, quality: int, subsampling: str) -> NDArray[np.uint8]:
    images = split.images[start:stop]
    if split.originals is not None:
        return _from_files(split.originals, range(start, start + len(images)), images.shape, quality, subsampling)
    return np.stack([roundtrip(image, quality, subsampling) for image in images])


def _from_files(
    originals: Originals, indices: Iterable[int], shape: tuple[int, ...], quality: int, subsampling: str
) -> NDArray[np.uint8]:
    _, size, _, channels = shape
    natives = (decode(originals[index], channels) for index in indices)
    return np.stack([resize(roundtrip(native, quality, subsampling), size) for native in natives])
