"""Check the arguments of the round trip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fct.images.decode import LARGEST_SIDE

FACTORS = {"4:2:0": (2, 2), "4:2:2": (1, 2), "4:4:4": (1, 1)}  # luma samples per chroma sample, down and across


def check(shape: Sequence[int], quality: int | NDArray[np.integer], subsampling: str, *, planar: bool) -> None:
    """Check shape, quality and subsampling; the arguments are those of `fct.jpeg.arrays.roundtrip`.

    Raises:
        ValueError: JPEG does not support one of them.
    """
    layout = "[N, C, H, W]" if planar else "[N, H, W, C]"
    if len(shape) != 4:
        raise ValueError(f"images have shape {list(shape)}; a batch is {layout}.")
    channels, *sides = shape[1:] if planar else (shape[3], *shape[1:3])
    if channels not in (1, 3) or not 0 < min(sides) <= max(sides) <= LARGEST_SIDE:
        raise ValueError(
            f"images have shape {list(shape)}; in {layout}, C is 1 or 3, H and W are 1 to {LARGEST_SIDE:,} pixels."
        )
    qualities = np.asarray(quality)
    if qualities.dtype.kind not in "iu":
        raise ValueError(f"quality is of type {qualities.dtype}; it is an integer from 1 to 100.")
    if qualities.shape not in ((), (shape[0],)):
        raise ValueError(
            f"quality has shape {list(qualities.shape)}; give one for all images, or one for each of {shape[0]}."
        )
    if invalid := [int(value) for value in np.unique(qualities) if not 1 <= value <= 100]:
        raise ValueError(f"quality is {invalid[0]}; it is an integer from 1 to 100.")
    if subsampling not in FACTORS:
        raise ValueError(f"subsampling is {subsampling!r}; it is one of {', '.join(FACTORS)}.")
