"""The effect of JPEG on arrays of pixels, without a file: bit-identical to Pillow's save and open, and much faster.

A JPEG's entropy coder is lossless. The result of a round trip therefore depends only on integer arithmetic: colour
conversion, chroma downsampling, DCT, quantisation, and their inverses. This module uses the arithmetic of
libjpeg-turbo with Pillow's defaults: the accurate integer DCT, fancy upsampling, the tables of the Independent JPEG
Group.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fct.images.tables import all_tables
from fct.jpeg import kernel
from fct.jpeg.shapes import FACTORS, check

VERSION = "fct.jpeg 1"  # codec of a cache; changes when the pixels of the result change


def roundtrip(  # noqa: PLR0913  # details by keyword
    images: NDArray[np.uint8],
    quality: int | NDArray[np.integer],
    subsampling: str,
    *,
    planar: bool = False,
    out: NDArray[np.uint8] | None = None,
    threads: int = 1,
) -> NDArray[np.uint8]:
    """Compress images with JPEG and return the decoded pixels.

    Args:
        images: uint8 [N, H, W, C] with C 1 or 3, or [N, C, H, W] if `planar`.
        quality: 1..100, one value for all images or one for each, [N].
        subsampling: the subsampling of the chroma planes, "4:2:0", "4:2:2" or "4:4:4".
        planar: whether each channel is a separate plane.
        out: C-contiguous array for the result; a new array by default.
        threads: number of threads.

    Returns:
        uint8, in the shape of `images`.

    Raises:
        ValueError: a shape, type, quality or subsampling that JPEG does not support, or an `out` that does not fit.
    """
    check(images.shape, quality, subsampling, planar=planar)
    if images.dtype != np.uint8:
        raise ValueError(f"images are {images.dtype}; the round trip takes uint8.")
    if out is not None and not (out.shape == images.shape and out.dtype == np.uint8 and out.flags.c_contiguous):
        raise ValueError(f"out is {out.dtype} {list(out.shape)}; it takes C-contiguous uint8 {list(images.shape)}.")
    count, height, width = len(images), *(images.shape[2:] if planar else images.shape[1:3])
    qualities = np.broadcast_to(np.asarray(quality, np.int64), (count,))
    result = np.empty(images.shape, np.uint8) if out is None else out
    grey = images.shape[1 if planar else 3] == 1
    rows = (count, images.size // max(1, count * width), width) if planar or grey else (count, height, 3 * width)
    source, target = np.ascontiguousarray(images).reshape(rows), result.reshape(rows)
    source.flags.writeable = False  # one type, so that numba compiles once
    compiled: Callable[..., None] = kernel.grey if grey else kernel.planar if planar else kernel.interleaved
    tables = all_tables().reshape(100, 2, 8, 8)

    def run(part: slice) -> None:
        compiled(source[part], target[part], height, *FACTORS[subsampling], tables, qualities[part] - 1)

    share = max(1, -(-count // threads))  # images per thread
    parts = [slice(start, start + share) for start in range(0, count, share)]
    if len(parts) > 1:
        list(_pool(os.getpid()).map(run, parts))
    else:
        list(map(run, parts))
    return result


@cache
def _pool(process: int) -> ThreadPoolExecutor:  # noqa: ARG001  # a forked process does not have its parent's threads
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="jpeg")
