"""The codec: libjpeg-turbo through imagecodecs, bit-identical to Pillow's `save(quality=...)` and several times faster.

Accurate integer DCT, default Huffman tables, baseline, fancy upsampling: libjpeg's defaults, which Pillow keeps too.
"""

from __future__ import annotations

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError

VERSION = f"imagecodecs {imagecodecs.jpeg8_version()}"  # what a cache was made with: libjpeg-turbo's release
LARGEST_SIDE = 65_500  # pixels; libjpeg's JPEG_MAX_DIMENSION (jmorecfg.h)


def encode(image: NDArray[np.uint8], quality: int, subsampling: str) -> bytes:
    """Return `image`, uint8 [H, W, C] with C 1 or 3, as a JPEG file of the given quality (1..100).

    `subsampling` of the chroma planes is "4:2:0", "4:2:2" or "4:4:4"; greyscale has none.

    Raises:
        FctError: libjpeg cannot hold an image of this shape.
    """
    height, width, channels = image.shape
    if channels not in (1, 3) or not 0 < max(height, width) <= LARGEST_SIDE or min(height, width) < 1:
        raise FctError(f"An image of shape {image.shape} does not fit a JPEG: [H, W, 1 or 3], sides 1..{LARGEST_SIDE}.")
    pixels = np.ascontiguousarray(image[:, :, 0] if channels == 1 else image)
    return bytes(imagecodecs.jpeg8_encode(pixels, level=quality, subsampling=subsampling.replace(":", "")))


def roundtrip(image: NDArray[np.uint8], quality: int, subsampling: str) -> NDArray[np.uint8]:
    """Return `image`, uint8 [H, W, C] with C 1 or 3, as it is after JPEG compression: the same shape."""
    decoded: NDArray[np.uint8] = imagecodecs.jpeg8_decode(encode(image, quality, subsampling))
    return decoded.reshape(image.shape)
