"""Drop the metadata of an image file, except its orientation, where Pillow would let them spoil the image.

Pillow keeps a text of a PNG beside its own settings, under the text's keyword: one called "interlace" or "transparency"
makes the pixels unreadable. It refuses a PNG whose text or colour profile is large or has a wrong checksum, a JPEG with
a short note, and an AVIF or TIFF with an ill-typed tag. Browsers ignore all of that.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Literal

from PIL import ExifTags, Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
ORIENTED = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # keywords of the texts that can hold an orientation
LARGEST_INFLATED = 1 << 20  # bytes of a deflated text; Pillow refuses a larger one
LARGEST_TEXT = 16 << 20  # bytes of a chunk; Pillow refuses 64 MiB of texts
FRAMES = (b"acTL", b"fcTL", b"fdAT")  # of an animation
HEADER, CHECKSUM = 8, 4  # bytes of a chunk before and after its data
# ISO/IEC 23008-12, 8.11.6: the entry of an item of EXIF data in the list of items, of version 2 or 3.
EXIF_ITEM = re.compile(rb"(?s)(infe(?:\x02.{7}|\x03.{9}))Exif")
# Segments of a JPEG, ITU-T T.81, table B.1, that say how it is decoded need this many bytes, with their length.
# Any other APP0 and APP14 is a note of a program, as are the rest of the APPn and comments.
NEEDED_BYTES = {0xE0: 16, 0xEE: 14}  # JFIF, Adobe
NOTES = frozenset({*range(0xE1, 0xF0), 0xFE}) - {0xEE}
INTEGERS = {1: 1, 3: 2, 4: 4}  # bytes of TIFF's unsigned types
EXIF_PREFIX = b"Exif\0\0"


def without_metadata(content: bytes) -> bytes:
    """Return a PNG or AVIF file with only what its pixels and its orientation need; any other file unchanged.

    A PNG loses its other ancillary chunks, and those with a wrong checksum. From its first incomplete chunk on it stays
    as it is. An AVIF loses its EXIF data, which never decide its orientation.
    """
    if content.startswith(PNG_SIGNATURE):
        return b"".join([PNG_SIGNATURE, *_needed(memoryview(content))])
    return EXIF_ITEM.sub(rb"\1free", content) if content[4:8] == b"ftyp" else content


def without_notes(content: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG file without the notes of programs, and the EXIF data that were among these notes."""
    parts, position, exif = [content[:2]], 2, b""
    while content[position : position + 1] == b"\xff":
        code, size = content[position + 1 : position + 2], int.from_bytes(content[position + 2 : position + 4], "big")
        end = position + 2 + size
        if code in (b"", b"\xda") or end > len(content):  # up to the start of the first scan
            break
        if code[0] in NOTES or size < NEEDED_BYTES.get(code[0], 0):
            note = content[position + 4 : end]
            exif = exif or (note if note.startswith(EXIF_PREFIX) else b"")
        else:
            parts.append(content[position:end])
        position = end
    return b"".join([*parts, content[position:]]), exif


def orientation(image: Image.Image) -> int:
    """Return the orientation of an open image by its EXIF data or XMP: 1 to 8, or 1 if neither has a valid one.

    Pillow stops at the first tag whose value is outside the EXIF data. The search here continues.
    """
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
        value = _find_orientation(image.info.get("exif", b"")) if value is None else value
        return int(value) if value in range(1, 9) else 1
    except Exception:  # noqa: BLE001 a damaged block has no usable orientation
        return 1


def _find_orientation(exif: bytes) -> int:
    block = exif.removeprefix(EXIF_PREFIX)
    order: Literal["little", "big"] = "little" if block[:2] == b"II" else "big"

    def number(start: int, size: int) -> int:
        return int.from_bytes(block[start : start + size], order)

    first = number(4, 4) + 2
    for entry in range(first, min(first + 12 * number(first - 2, 2), len(block)), 12):  # tag, type, count, value
        if number(entry, 2) == ExifTags.Base.Orientation and number(entry + 4, 4) == 1:
            return number(entry + 8, INTEGERS.get(number(entry + 2, 2), 0))
    return 1


def forget_tags(image: Image.Image) -> None:
    """Make Pillow forget the tags of an open TIFF, except those that its decoding and its orientation need.

    Pillow turns a TIFF when it loads it, and then reads and writes the others.
    """
    if not isinstance(image.info.get("xmp", b""), bytes):
        del image.info["xmp"]
    exif = image.getexif()
    for tag in [tag for tag in exif if tag != ExifTags.Base.Orientation]:
        del exif[tag]


def _needed(content: memoryview) -> Iterator[memoryview]:
    position = len(PNG_SIGNATURE)
    while position + HEADER <= len(content):
        data = position + HEADER
        end = data + int.from_bytes(content[position : position + 4], "big")
        kind = bytes(content[position + 4 : data])
        if end + CHECKSUM > len(content) or not kind.isalpha():
            break
        is_whole = zlib.crc32(content[position + 4 : end]) == int.from_bytes(content[end : end + CHECKSUM], "big")
        if kind[:1].isupper() or (is_whole and _is_needed(kind, content[data:end])):
            yield content[position : end + CHECKSUM]
        position = end + CHECKSUM
        if kind == b"IEND":
            return
    yield content[position:]


def _is_needed(kind: bytes, data: memoryview) -> bool:
    """Return whether an ancillary chunk decides pixels, frames or the orientation."""
    if kind in (b"tRNS", b"eXIf", *FRAMES):
        return True
    if kind not in (b"tEXt", b"zTXt", b"iTXt") or len(data) > LARGEST_TEXT:
        return False
    keyword, _, text = bytes(data).partition(b"\0")
    return keyword in ORIENTED and _is_small(kind, text)


def _is_small(kind: bytes, text: bytes) -> bool:
    """Return whether Pillow accepts a text. `text` is what follows the keyword."""
    if kind == b"iTXt":
        is_deflated, text = text[:1] != b"\0", text[2:].split(b"\0", 2)[-1]  # after its language and keyword
    else:
        is_deflated, text = kind == b"zTXt", text[1:]
    if not is_deflated:
        return True
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(text, LARGEST_INFLATED)
    except zlib.error:
        return False
    return not inflater.unconsumed_tail
