"""Read files that torch saved, without running code in them, and without unpacking more than a file has."""

from __future__ import annotations

import errno
import io
import pickle
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from fct.core.errors import FctError

LARGEST = 32 << 30  # bytes: more than the largest published image classifier has


def load_weights_only(path: Path) -> Any:
    """Return the content of a file that torch saved, on the CPU. Only weights and plain values load, never code.

    Raises:
        ValueError: torch did not write the file, or it holds other objects. The message has the reason.
    """
    try:
        _check_sizes(path)
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch asks to report files of another pickle protocol
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's message advises to run the code
        raise ValueError("not a file of torch, or it holds more than weights") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # torch seeks before the start of a file that was cut off
            raise
        raise ValueError("it is cut off") from None
    except (
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        ArithmeticError,
        AssertionError,
        MemoryError,
        struct.error,
        tarfile.TarError,
        zipfile.BadZipFile,
    ) as error:  # the bytes can be anything
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__) from None


def _check_sizes(path: Path) -> None:
    """Check the size of a file, and of its parts when unpacked, before anything is read.

    Raises:
        ValueError: the file is too large, or it is smaller than its parts, although torch does not compress them.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{size:,} bytes; at most {LARGEST:,} are read")
    if not zipfile.is_zipfile(path):
        return  # of an old torch, or damaged
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > size:
        raise ValueError(f"its parts would be {unpacked:,} bytes in a file of {size:,}; save it with torch.save")


def load_state(path: Path, remedy: str) -> dict[str, Any]:
    """Return the state that `serialise` made, on the CPU. Only weights and plain values load, never code.

    Raises:
        FctError: the file is damaged. The message ends with `remedy`.
    """
    try:
        state: dict[str, Any] = load_weights_only(path)
    except ValueError as error:
        raise FctError(f"{path} is damaged ({error}). {remedy}") from None
    return state


def serialise(state: dict[str, Any]) -> bytes:
    """Return `state` in torch's format. The same state gives the same bytes; the name of the file does not matter."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
