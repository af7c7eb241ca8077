"""Read the quality that a JPEG was saved with from its quantisation tables.

The Independent JPEG Group's library scales the two example tables of the JPEG standard (ITU-T T.81, annex K.1) to a
quality from 1 to 100. So do libjpeg-turbo, Pillow, OpenCV and most programs. This gives 100 different pairs of tables,
so the quality can be looked up. For a program with other tables, the nearest pair is a good estimate.

mozjpeg scales another table by the same rule, so its files can be told apart. All other programs count as one family.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from .decode import JPEG_SIGNATURE, open_image, silence_pillow

UNKNOWN_QUALITY = 0  # the quality of an image whose file has no JPEG tables, for example a PNG
# ITU-T T.81, tables K.1 (luminance) and K.2 (chrominance), in rows.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
# mozjpeg's default for both planes, by N. Robidoux for ImageMagick; jcparam.c of mozjpeg, number 3 of its base tables.
MOZJPEG = (
    (16, 16, 16, 18, 25, 37, 56, 85),
    (16, 17, 20, 27, 34, 40, 53, 75),
    (16, 20, 24, 31, 43, 62, 91, 135),
    (18, 27, 31, 40, 53, 74, 106, 156),
    (25, 34, 43, 53, 69, 94, 131, 189),
    (37, 40, 62, 74, 94, 124, 169, 238),
    (56, 53, 91, 106, 131, 169, 226, 311),
    (85, 75, 135, 156, 189, 238, 311, 418),
)
Family = Literal["ijg", "mozjpeg", "other", "none"]


class Encoding(NamedTuple):
    """What the tables of an image file say about its compression."""

    quality: int  # 1..100, or UNKNOWN_QUALITY without tables
    family: Family  # whose tables these are: ijg | mozjpeg | other | none (no tables)


def ijg_tables(quality: int) -> NDArray[np.int64]:
    """Return the quantisation tables that a JPEG of this quality has: luminance, then chrominance.

    Source: jpeg_quality_scaling and jpeg_add_quant_table of libjpeg (jcparam.c), limited to baseline's 8 bits.

    Args:
        quality: 1..100.

    Returns:
        int64 [2, 64], each table row by row.

    Raises:
        ValueError: `quality` is not an integer from 1 to 100.

    Example:
        >>> ijg_tables(50)[0, :8]
        array([16, 11, 10, 16, 24, 40, 51, 61])
    """
    if isinstance(quality, bool) or not isinstance(quality, (int, np.integer)) or not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality!r}; it is an integer from 1 to 100.")
    return _scale(np.array([LUMINANCE, CHROMINANCE], np.int64).reshape(2, 64), quality)


def _scale(base: NDArray[np.int64], quality: int) -> NDArray[np.int64]:
    """Return base tables scaled to a quality, by libjpeg's rule."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((base * percent + 50) // 100, 1, 255)


def estimate_quality(content: bytes) -> int:
    """Return the quality that an image file was compressed with, without decoding its pixels.

    The result is exact for the tables of the Independent JPEG Group, which most programs use. For other tables it is
    the nearest quality by least squares over all entries.

    Args:
        content: the bytes of the file.

    Returns:
        1..100, or `UNKNOWN_QUALITY` (0) if the file is not a JPEG or has no tables.

    Raises:
        TypeError: `content` is not bytes.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (32, 32)).save(file, "JPEG", quality=35)
        >>> estimate_quality(file.getvalue())
        35
    """
    return identify(content).quality


def identify(content: bytes) -> Encoding:
    """Return the quality of an image file, as `estimate_quality` does, and the family of its tables.

    Where tables of two families are equal, as at quality 100, the family is ijg.

    Args:
        content: the bytes of the file.

    Raises:
        TypeError: `content` is not bytes.
    """
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeError(
            f"content is {type(content).__name__}; give the bytes of the file, as Path.read_bytes() returns."
        )
    tables = _read_tables(content)
    if not len(tables):
        return Encoding(UNKNOWN_QUALITY, "none")
    distances = ((all_tables()[:, : len(tables)] - tables) ** 2).sum(axis=(1, 2))
    nearest = int(distances.argmin())
    if distances[nearest] == 0:
        return Encoding(nearest + 1, "ijg")
    is_mozjpeg = all(table.tobytes() in _mozjpeg_tables() for table in tables)
    return Encoding(nearest + 1, "mozjpeg" if is_mozjpeg else "other")


@cache
def all_tables() -> NDArray[np.int64]:
    """Return the tables of qualities 1..100 in order, int64 [100, 2, 64], a read-only array.

    Example:
        >>> all_tables().shape
        (100, 2, 64)
    """
    tables = np.stack([ijg_tables(quality) for quality in range(1, 101)])
    tables.flags.writeable = False  # all callers share it
    return tables


@cache
def _mozjpeg_tables() -> frozenset[bytes]:
    """Return mozjpeg's table of every quality, as bytes: a look-up costs a request nothing."""
    base = np.array(MOZJPEG, np.int64).reshape(64)
    return frozenset(_scale(base, quality).tobytes() for quality in range(1, 101))


def _read_tables(content: bytes) -> NDArray[np.int64]:
    """Return the tables of the components, int64 [0..2, 64] in row order: luminance, then chrominance if it differs."""
    content = bytes(content)
    if not content.startswith(JPEG_SIGNATURE):
        return np.empty((0, 64), np.int64)
    silence_pillow()
    try:
        with open_image(content) as image:
            if not isinstance(image, JpegImagePlugin.JpegImageFile):
                return np.empty((0, 64), np.int64)
            # A component is (id, horizontal sampling, vertical sampling, table). Grey, CMYK and RGB files have one
            # table for all. Some programs scale like libjpeg but do not limit tables to 8 bits, so limit them here.
            slots = dict.fromkeys(layer[3] for layer in image.layer[:2])
            return np.minimum([image.quantization[slot] for slot in slots], 255).astype(np.int64)
    except Exception:  # noqa: BLE001 a damaged file; decoding reports the reason
        return np.empty((0, 64), np.int64)
