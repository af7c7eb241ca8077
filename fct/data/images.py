"""Encoded image files to pixels, the same way in every stage."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fct.core.errors import FctError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
LARGEST_SIDE = 65_500  # pixels; more does not fit a JPEG (libjpeg's JPEG_MAX_DIMENSION, jmorecfg.h)
MOST_PIXELS = 89_478_485  # where Pillow starts to warn of a decompression bomb: 256 MiB of RGB
DIRECT = ("1", "L", "P", "RGB", "YCbCr")  # modes that convert to grey or RGB without a decision
WITH_ALPHA = ("LA", "PA", "RGBA")


def decode(content: bytes, channels: int) -> NDArray[np.uint8]:
    """Return the pixels of an encoded image, upright as its EXIF orientation says.

    What is transparent is laid over white, as a page shows it: JPEG has no transparency.

    Args:
        content: a JPEG, PNG, WebP, BMP or TIFF file.
        channels: 1 for grey, 3 for RGB, whatever the file has.

    Returns:
        uint8 [H, W, channels].

    Raises:
        FctError: not such a file, broken, too large, animated, or of a kind that 8-bit grey or RGB cannot hold (more
            bits, CMYK). The message is "what: detail", without the file's name, which the caller knows.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of them is checked here
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check(image)
                image.load()
                pixels = np.asarray(_flat(_upright(image), "L" if channels == 1 else "RGB"))
    except FctError:
        raise
    except UnidentifiedImageError:
        raise FctError(f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image") from None
    except Image.DecompressionBombError:
        raise _too_large(f"more than {2 * MOST_PIXELS:,} pixels") from None
    except Exception as error:  # noqa: BLE001 decoders of damaged files raise whatever their parsing hits
        raise FctError(f"damaged or truncated: {error}") from None
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


def _check(image: Image.Image) -> None:
    """Refuse, before any pixel is decoded, what cannot be used."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(f"{width} x {height} pixels")
    if max(width, height) > LARGEST_SIDE:
        raise _too_large(f"{width} x {height} pixels, and a JPEG has at most {LARGEST_SIDE:,} a side")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a phone's JPEG whose further pictures are depth maps or previews
        raise FctError(f"several frames or pages: {frames}; keep one")
    if image.mode in ("I", "F") or ";16" in image.mode or ";16" in str(getattr(image, "tile", "")):
        raise FctError("more than 8 bits a channel: convert it to 8")
    if image.mode not in DIRECT + WITH_ALPHA:
        raise FctError(f"neither grey nor RGB: its colours are {image.mode}; convert it")


def _too_large(said: str) -> FctError:
    return FctError(f"too large: {said}; a decompression bomb, or an image to scale down")


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
