"""Decode image files to pixels, in the same way in every stage and in the served model."""

from __future__ import annotations

import io
import re
import warnings
from contextlib import nullcontext
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin

from .metadata import forget_tags, orientation, without_metadata, without_notes

JPEG_SIGNATURE = b"\xff\xd8\xff"
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF")
LARGEST_SIDE = 65_500  # pixels; the limit of a JPEG (libjpeg's JPEG_MAX_DIMENSION, jmorecfg.h)
MOST_SCANS = 200  # of a progressive JPEG; about 10 are usual. A scan is a pass over all pixels and can be 100 bytes
LARGE = 4_000_000  # pixels; threads decode larger images one at a time, to limit memory
MOST_PIXELS = 89_478_485  # Pillow's limit for a warning of a decompression bomb: 256 MiB of RGB
DIRECT = ("1", "L", "P", "RGB", "YCbCr")  # modes with one obvious conversion to grey or RGB
WITH_ALPHA = ("LA", "PA", "RGBA")
_PILLOW_FILTER = ("ignore", None, Warning, re.compile("PIL"), 0)  # in the format of `warnings.filters`
_large_image_lock = Lock()
# ITU-T T.81, table B.1. A marker is one or more bytes 0xFF and a code; in entropy-coded data, 0 follows 0xFF.
MARKER = re.compile(rb"\xff+[^\x00\xff]")
END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
TURNS = {  # that bring an image upright, by its EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1")  # major brands of still images, ISO/IEC 23008-12, annex B
WITHOUT_SEGMENT = frozenset({0x01, *range(0xD0, 0xD9)})  # TEM, RST0 to RST7, SOI


class UnusableImage(Exception):  # noqa: N818  # a fault of the file, not of the program
    """The image file cannot be used. The message is "what: detail", without the file's name."""


def decode(content: bytes, channels: int) -> NDArray[np.uint8]:
    """Return the pixels of an encoded image, turned upright by its EXIF orientation.

    Transparent pixels are blended with white, as on a page: JPEG has no transparency. An AVIF of 10 or 12 bits is
    rounded to 8 by its decoder.

    Args:
        content: a JPEG, PNG, WebP, AVIF, BMP or TIFF file.
        channels: the number of channels of the result, 1 for grey or 3 for RGB.

    Returns:
        uint8 [H, W, channels].

    Raises:
        UnusableImage: the file is of another format, damaged, too large or animated, or 8-bit grey or RGB cannot
            represent it (more bits, CMYK).
    """
    silence_pillow()
    try:
        with open_image(content) as image:
            check_header(image)
            _check_scans(image, content)
            with _large_image_lock if image.width * image.height > LARGE else nullcontext():
                image.load()
                pixels = np.asarray(_without_alpha(_upright(image), "L" if channels == 1 else "RGB"))
    except UnusableImage:
        raise
    except Image.DecompressionBombError:
        raise _too_large(f"more than {2 * MOST_PIXELS:,} pixels") from None
    except Exception as error:  # noqa: BLE001 decoders raise many exceptions for damaged files
        reason = "" if "truncated" in str(error).lower() else f": {error}"
        raise UnusableImage(f"damaged or truncated{reason}") from None
    return pixels.reshape(*pixels.shape[:2], channels)


def open_image(content: bytes) -> Image.Image:
    """Open an image file. Its header is read, and no pixel is decoded.

    Raises:
        UnusableImage: the file has another format, or its header cannot be read. The message has Pillow's reason.
    """
    content = without_metadata(content)
    try:
        image = _open_header(content)
    except UnusableImage:
        if not content.startswith(JPEG_SIGNATURE):
            raise
        content, exif = without_notes(content)
        image = _open_header(content)
        image.info["exif"] = exif
    if image.format == "TIFF":
        forget_tags(image)
    return image


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
    """Ignore Pillow's warnings. This module checks everything that matters.

    The filter stays for the whole process, since `warnings.catch_warnings` is not safe with threads.
    """
    if _PILLOW_FILTER not in warnings.filters:
        warnings.filterwarnings("ignore", module="PIL")


def _open_header(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise
    except Exception:  # noqa: BLE001 an unknown format, or many exceptions of readers
        raise _unreadable(content) from None


def _unreadable(content: bytes) -> UnusableImage:
    """Return why Pillow cannot open a file: no known signature, or the message of its format's reader."""
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(content[:16]) is not True:
            continue
        try:
            factory(io.BytesIO(content), "")
        except Exception as error:  # noqa: BLE001 readers raise many exceptions
            if "truncated" in str(error).lower():
                return UnusableImage("damaged or truncated")
            known = str(error) if "not identified by" not in str(error) else "its size, depth or colours are invalid"
            return UnusableImage(f"a {name} that cannot be read: {known}")
    if content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS:
        return UnusableImage("a HEIC image, as phones take them: save it as JPEG")
    return UnusableImage(f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image")


def check_header(image: Image.Image) -> None:
    """Check what an opened file says about itself, before any pixel is decoded.

    Raises:
        UnusableImage: it is too large, has several frames, more than 8 bits per channel, or is neither grey nor RGB.
    """
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(f"{width} x {height} pixels")
    if max(width, height) > LARGEST_SIDE:
        raise _too_large(f"{width} x {height} pixels, and a JPEG has at most {LARGEST_SIDE:,} per side")
    if _has_more_frames(image):
        raise UnusableImage("several frames or pages: keep one of them")
    if _is_deep(image):
        raise UnusableImage("more than 8 bits per channel: convert it to 8")
    if image.mode not in DIRECT + WITH_ALPHA:
        raise UnusableImage(f"neither grey nor RGB: its colours are {image.mode}; convert it")


def _is_deep(image: Image.Image) -> bool:
    """Return whether a channel has more than 8 bits, by the tile of the file or by Pillow's mode."""
    if image.format == "BMP":  # its "BGR;16" has 16 bits for all channels together
        return False
    return image.mode in ("I", "F") or ";16" in image.mode or ";16" in str(getattr(image, "tile", ""))


def _has_more_frames(image: Image.Image) -> bool:
    """Return whether there is a second frame or page."""
    if image.format == "MPO":  # a phone's JPEG, whose further images are depth maps or previews
        return False
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1) > 1
    try:
        image.seek(1)  # cheaper than n_frames, whose time grows with the square of the number of pages
    except EOFError:
        return False
    return True


def _check_scans(image: Image.Image, content: bytes) -> None:
    """Check the number of scans of a JPEG. Each is a pass over all pixels, and too many take minutes."""
    if image.format in ("JPEG", "MPO") and (scans := _count_scans(content)) > MOST_SCANS:
        raise UnusableImage(f"too slow to decode: a JPEG of {scans:,} scans, more than {MOST_SCANS}; save it again")


def _count_scans(content: bytes) -> int:
    """Count a JPEG's scans up to its end-of-image marker. Phones and programs append other data after it."""
    scans, position = 0, 2  # after the start-of-image marker
    while match := MARKER.search(content, position):
        position, code = match.end(), content[match.end() - 1]
        if code == END_OF_IMAGE:
            break
        if code in WITHOUT_SEGMENT:
            continue
        scans += code == START_OF_SCAN
        position += int.from_bytes(content[position : position + 2], "big")  # length of the segment, with these 2 bytes
    return scans


def _too_large(size: str) -> UnusableImage:
    return UnusableImage(f"too large: {size}; a decompression bomb, or an image to scale down")


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned upright.

    Only the orientation is read. `ImageOps.exif_transpose` would also write the other tags back, which fails if one of
    them has a value that does not fit its type.
    """
    turn = TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def _has_alpha(image: Image.Image) -> bool:
    """Return whether the image has transparent pixels, as far as its file can be trusted.

    Many programs leave the fourth byte of a pixel at 0 and mean an opaque image. Browsers show such a BMP as opaque.
    """
    if image.mode == "RGBA" and not _declares_alpha(image) and image.getchannel("A").getextrema() == (0, 0):
        return False
    return image.mode in WITH_ALPHA or "transparency" in image.info


def _declares_alpha(image: Image.Image) -> bool:
    """Return whether the format, or a TIFF's tag, says that a fourth channel is alpha and not padding."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.tag_v2.get(TiffImagePlugin.EXTRASAMPLES) in ((1,), (2,))  # premultiplied or not; TIFF 6.0, p. 31
    return image.format != "BMP"


def _without_alpha(image: Image.Image, mode: str) -> Image.Image:
    """Return the image in `mode`, blended with white where it is transparent."""
    if _has_alpha(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert(mode)
