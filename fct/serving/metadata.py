"""The facts about a model in its ONNX file, `metadata_props`. Whoever made the file decides what they say.

`fct.export` writes them as JSON. This module checks each fact before it reaches a terminal, a page or a table.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_NAME = 255  # characters of a class name: no longer than the name of a folder
PER_CLASS = 6 * LONGEST_NAME + 4  # bytes of JSON at most: each character may be escaped
CLASSES, QUALITIES, NO_TABLES = "fct.classes", "fct.qualities", "fct.no_tables"


class UnusableMetadata(Exception):  # noqa: N818  # a fault of the file, not of the program
    """The metadata of the file cannot be used. The message names the entry."""


@dataclass(frozen=True)
class Metadata:
    """The facts in a file about its model."""

    classes: tuple[str, ...] | None  # in the order of its outputs; None if it does not name them
    qualities: tuple[int, ...]  # JPEG qualities of its training; empty if it does not name them
    no_tables: int  # the quality input for an image without JPEG tables; files from before 0.1 take 100


def read_entries(session: Any) -> dict[str, str]:
    """Return the custom metadata map of an open ONNX file.

    Raises:
        UnusableMetadata: a key or a value is not UTF-8.
    """
    try:
        return dict(session.get_modelmeta().custom_metadata_map)
    except UnicodeDecodeError as error:
        raise UnusableMetadata(f"{error.object[:LONGEST_NAME]!r} in its metadata is not UTF-8") from None


def read_metadata(entries: Mapping[str, str], outputs: int) -> Metadata:
    """Return the facts in the metadata of an ONNX file.

    Args:
        entries: the custom metadata map.
        outputs: number of its classes.

    Raises:
        UnusableMetadata: an entry is not JSON, has another type, is too long, or does not fit the outputs.
    """
    classes = _read(entries, CLASSES, outputs * PER_CLASS, None)
    if classes is not None:
        _check_classes(classes, outputs)
    qualities = _read(entries, QUALITIES, 1000, [])
    if not isinstance(qualities, list) or not all(_is_number(value, 1, 100) for value in qualities):
        raise UnusableMetadata(f"{QUALITIES} in its metadata is not a list of JPEG qualities, 1 to 100")
    no_tables = _read(entries, NO_TABLES, 10, 100)
    if not _is_number(no_tables, 0, 100):
        raise UnusableMetadata(f"{NO_TABLES} in its metadata is not a JPEG quality, 0 to 100")
    return Metadata(None if classes is None else tuple(classes), tuple(qualities), no_tables)


def _read(entries: Mapping[str, str], key: str, longest: int, default: Any) -> Any:
    text = entries.get(key)
    if text is None:
        return default
    if len(text) > longest:
        raise UnusableMetadata(f"{key} in its metadata is too long: {len(text):,} characters")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UnusableMetadata(f"{key} in its metadata is not JSON") from None


def _check_classes(classes: Any, outputs: int) -> None:
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise UnusableMetadata(f"{CLASSES} in its metadata is not a list of names")
    if len(classes) != outputs:
        raise UnusableMetadata(f"{CLASSES} in its metadata names {len(classes):,} classes, but it has {outputs:,}")
    if len(set(classes)) != len(classes):
        raise UnusableMetadata(f"{CLASSES} in its metadata names a class twice")
    for number, name in enumerate(classes):
        if not 0 < len(name) <= LONGEST_NAME or not _is_plain(name):
            raise UnusableMetadata(
                f"{CLASSES} in its metadata: name {number + 1} is empty, longer than {LONGEST_NAME} characters, or has "
                "control characters"
            )


def _is_plain(name: str) -> bool:
    """Return whether a name has no control characters, lone surrogates or marks that change a line's direction."""
    return all(
        unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        and unicodedata.bidirectional(character) not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        for character in name
    )


def _is_number(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
