"""What JPEG does to pixels, without the file: bit-identical to Pillow's save and open, and many times faster.

A JPEG's entropy coder loses nothing, so what a round trip leaves of an image follows from integer arithmetic alone:
colour conversion, chroma downsampling, DCT, quantisation, and their inverses. Here it is libjpeg-turbo's, with what
Pillow leaves as it is: the accurate integer DCT, fancy upsampling, the tables of the Independent JPEG Group.
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

VERSION = "fct.jpeg 1"  # what a cache was made with; another one where pixels would differ


def roundtrip(  # noqa: PLR0913  # what, how, and by keyword the details
    images: NDArray[np.uint8],
    quality: int | NDArray[np.integer],
    subsampling: str,
    *,
    planar: bool = False,
    out: NDArray[np.uint8] | None = None,
    threads: int = 1,
) -> NDArray[np.uint8]:
    """Return images as they are after JPEG compression.

    Args:
        images: uint8 [N, H, W, C] with C 1 or 3; [N, C, H, W] where `planar`.
        quality: 1..100, one for all or one for each image, [N].
        subsampling: of the chroma planes, "4:2:0", "4:2:2" or "4:4:4".
        planar: whether each channel is a plane of its own.
        out: where to put them, C-contiguous; a new array if absent.
        threads: that share the images.

    Returns:
        uint8, of the shape of `images`.

    Raises:
        ValueError: a shape, type, quality or subsampling that no JPEG has, or an `out` that does not fit.
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
    source.flags.writeable = False  # so that there is one type of it, and one compilation
    compiled: Callable[..., None] = kernel.grey if grey else kernel.planar if planar else kernel.interleaved
    tables = all_tables().reshape(100, 2, 8, 8)

    def run(part: slice) -> None:
        compiled(source[part], target[part], height, *FACTORS[subsampling], tables, qualities[part] - 1)

    share = max(1, -(-count // threads))  # images
    parts = [slice(start, start + share) for start in range(0, count, share)]
    if len(parts) > 1:
        list(_pool(os.getpid()).map(run, parts))
    else:
        list(map(run, parts))
    return result


@cache
def _pool(process: int) -> ThreadPoolExecutor:  # noqa: ARG001  # a forked process has none of its parent's threads
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="jpeg")
