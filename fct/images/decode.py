"""Encoded image files to pixels, the same way in every stage and in the served model."""

from __future__ import annotations

import io
import re
import warnings
from contextlib import nullcontext
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF")
LARGEST_SIDE = 65_500  # pixels; more does not fit a JPEG (libjpeg's JPEG_MAX_DIMENSION, jmorecfg.h)
MOST_SCANS = 200  # of a progressive JPEG: some 10 are usual; each is a pass over all pixels, and may be 100 bytes
LARGE = 4_000_000  # pixels, above which threads decode one image at a time: memory stays that of one
MOST_PIXELS = 89_478_485  # where Pillow starts to warn of a decompression bomb: 256 MiB of RGB
DIRECT = ("1", "L", "P", "RGB", "YCbCr")  # modes that convert to grey or RGB without a decision
WITH_ALPHA = ("LA", "PA", "RGBA")
_PILLOWS = ("ignore", None, Warning, re.compile("PIL"), 0)  # as `warnings` keeps a filter
_one_large = Lock()
# ITU-T T.81, table B.1. A marker is 0xFF, maybe repeated, and a code; inside entropy-coded data 0xFF is followed by 0.
MARKER = re.compile(rb"\xff+[^\x00\xff]")
END, SCAN = 0xD9, 0xDA  # of image; start of scan
LONE = frozenset({0x01, *range(0xD0, 0xD9)})  # codes without a segment: TEM, RST0 to RST7, SOI


class UnusableImage(Exception):  # noqa: N818  # not a fault of the program: a file that is not what it should be
    """Encoded bytes that give no pixels. The message is "what: detail", without the file's name."""


def decode(content: bytes, channels: int) -> NDArray[np.uint8]:
    """Return the pixels of an encoded image, upright as its EXIF orientation says.

    What is transparent is laid over white, as a page shows it: JPEG has no transparency.

    Args:
        content: a JPEG, PNG, WebP, AVIF, BMP or TIFF file.
        channels: 1 for grey, 3 for RGB, whatever the file has.

    Returns:
        uint8 [H, W, channels].

    Raises:
        UnusableImage: not such a file, broken, too large, animated, or of a kind that 8-bit grey or RGB cannot hold
            (more bits, CMYK).
    """
    silence_pillow()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check(image)
            _check_scans(image, content)
            with _one_large if image.width * image.height > LARGE else nullcontext():
                image.load()
                pixels = np.asarray(_flat(_upright(image), "L" if channels == 1 else "RGB"))
    except UnusableImage:
        raise
    except UnidentifiedImageError:
        raise UnusableImage(f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image") from None
    except Image.DecompressionBombError:
        raise _too_large(f"more than {2 * MOST_PIXELS:,} pixels") from None
    except Exception as error:  # noqa: BLE001 decoders of damaged files raise whatever their parsing hits
        raise UnusableImage(f"damaged or truncated: {error}") from None
    return pixels.reshape(*pixels.shape[:2], channels)


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return `image`, uint8 [H, W, C] with C 1 or 3, scaled (bilinear, antialiased) and centre-cropped to a square.

    Returns:
        uint8 [size, size, C].
    """
    if image.shape[:2] == (size, size):
        return image
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    fitted = np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR))
    return fitted.reshape(size, size, image.shape[2])


def silence_pillow() -> None:
    """Let Pillow's warnings pass unseen: what matters of them is checked here.

    The filter stays, in a process that decodes: `warnings.catch_warnings` is not safe where threads use it.
    """
    if _PILLOWS not in warnings.filters:
        warnings.filterwarnings("ignore", module="PIL")


def _check(image: Image.Image) -> None:
    """Refuse, before any pixel is decoded, what cannot be used."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(f"{width} x {height} pixels")
    if max(width, height) > LARGEST_SIDE:
        raise _too_large(f"{width} x {height} pixels, and a JPEG has at most {LARGEST_SIDE:,} a side")
    if _has_more(image):
        raise UnusableImage("several frames or pages: keep one")
    if image.mode in ("I", "F") or ";16" in image.mode or ";16" in str(getattr(image, "tile", "")):
        raise UnusableImage("more than 8 bits a channel: convert it to 8")
    if image.mode not in DIRECT + WITH_ALPHA:
        raise UnusableImage(f"neither grey nor RGB: its colours are {image.mode}; convert it")


def _has_more(image: Image.Image) -> bool:
    """Tell whether there is a second frame or page."""
    if image.format == "MPO":  # a phone's JPEG whose further pictures are depth maps or previews
        return False
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1) > 1
    try:
        image.seek(1)  # to count a TIFF's pages is to follow them all, in a time that grows with their square
    except EOFError:
        return False
    return True


def _check_scans(image: Image.Image, content: bytes) -> None:
    """Refuse a JPEG that would take minutes: each scan is a pass over all its pixels."""
    if image.format in ("JPEG", "MPO") and (scans := _scans(content)) > MOST_SCANS:
        raise UnusableImage(
            f"too slow to decode: a JPEG of {scans:,} scans, where {MOST_SCANS} are many; save it again"
        )


def _scans(content: bytes) -> int:
    """Count a JPEG's scans up to its end of image, after which phones and programs append what they like."""
    scans, place = 0, 2  # after the start of image
    while found := MARKER.search(content, place):
        place, code = found.end(), content[found.end() - 1]
        if code == END:
            break
        if code in LONE:
            continue
        scans += code == SCAN
        place += int.from_bytes(content[place : place + 2], "big")  # the segment's length, which counts itself
    return scans


def _too_large(said: str) -> UnusableImage:
    return UnusableImage(f"too large: {said}; a decompression bomb, or an image to scale down")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 a damaged EXIF block says nothing about how to turn the image
        return image


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Return the image in `mode`, with what is transparent laid over white."""
    if image.mode in WITH_ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert(mode)
