"""Messages for errors of the operating system, above all for a full disk."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
SPARE = 1 << 20  # bytes; a file system with less counts as full


def can_describe(error: OSError) -> bool:
    """Return whether the error is about something the user can check: a file, a full disk, or no temporary folder."""
    return error.filename is not None or error.errno in FULL or _is_about_temporary_folder(error)


def describe_os_error(error: OSError) -> str:
    """Return one line about an error of a file. It names the file, or the places that are full."""
    if error.errno in FULL:
        return f"The disk is full: {full_places([error.filename])}. Free some space, then run the same again."
    if _is_about_temporary_folder(error):
        return (
            f"No temporary folder can be written to: {full_places()}. Free some space there or set TMPDIR to another."
        )
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}."


def full_places(files: Iterable[str | bytes | int | None] = ()) -> str:
    """Return the places that may be full: those of the files, or else the temporary and the current folder.

    If a write fails, its error names no file. Then return those of these places that have no space left.
    """
    named = [str(file) for file in files if isinstance(file, str)]
    places = {"this folder": Path.cwd(), "the temporary folder (TMPDIR)": Path(_temporary())}
    full = [f"{what} {place}" for what, place in places.items() if _free(place) < SPARE]
    return ", ".join(named or full or [f"{what} {place}" for what, place in places.items()])


def _is_about_temporary_folder(error: OSError) -> bool:
    return isinstance(error, FileNotFoundError) and "temporary directory" in str(error)  # as Python says it


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # there is no space in any of them
        return "/tmp"  # noqa: S108 it is only named


def _free(place: Path) -> int:
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return SPARE
