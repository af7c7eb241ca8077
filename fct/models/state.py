"""What torch saved, read without running any of it."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from fct.core.errors import FctError


def load_weights_only(path: Path) -> Any:
    """Return what torch saved in a file, on the CPU: weights and plain values alone, so that nothing in it can run.

    Raises:
        ValueError: it is no such file, or holds more than that; it says why.
    """
    try:
        return torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own words advise to let it run code
        raise ValueError("it is none of torch's, or holds more than weights") from None
    except (
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
    ) as error:  # whatever the bytes are
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__) from None


def load_state(path: Path, remedy: str) -> dict[str, Any]:
    """Return what `serialise` made, on the CPU, or say that the file at `path` is damaged, and the remedy.

    Only weights and plain values are read: no file can make this run code.
    """
    try:
        state: dict[str, Any] = load_weights_only(path)
    except ValueError as error:
        raise FctError(f"{path} is damaged ({error}). {remedy}") from None
    return state


def serialise(state: dict[str, Any]) -> bytes:
    """Return `state` as torch saves it; the same bytes for the same state, whatever the file will be called."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
