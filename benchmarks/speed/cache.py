"""Building the cache of one quality on all cores, against a loop over a bare codec."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.measure import Row, compare, photographs
from fct.images.tables import UNKNOWN_QUALITY
from fct.splits.store import Split
from fct.splits.views import compress_split

COUNTS = {32: 16_000, 64: 6_000, 224: 400}  # images, by size
QUALITY = 50


def rows() -> list[Row]:
    """Measure at every size, from a memory-mapped split into a memory-mapped file, as the stage does."""
    found: list[Row] = []
    cores = os.cpu_count() or 1
    for size, count in COUNTS.items():
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "images.npy", np.resize(photographs(400, size), (count, size, size, 3)))
            images = np.load(Path(folder) / "images.npy", mmap_mode="r")
            split = Split("train", images, np.zeros(count, np.int64), np.full(count, UNKNOWN_QUALITY), None)
            views = np.lib.format.open_memmap(Path(folder) / "views.npy", "w+", np.uint8, images.shape)
            ways: dict[str, Callable[[], object]] = {
                "imagecodecs, a bare loop in threads": partial(_bare, images, cores),
                "the cache stage": partial(compress_split, split, QUALITY, "4:2:0", out=views),
            }
            found += compare("cache of one quality", size, ways, dict.fromkeys(ways, count), threads=cores)
    return found


def _bare(images: NDArray[np.uint8], cores: int) -> None:
    """Compress and decompress, and keep nothing."""

    def some(start: int) -> None:
        for image in images[start : start + 64]:
            imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(image, level=QUALITY, subsampling="420"))

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(some, range(0, len(images), 64)))
