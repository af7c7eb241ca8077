"""Read files that torch saved, without running code in them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from fct.core.errors import FctError


def load_weights_only(path: Path) -> Any:
    """Return the content of a file that torch saved, on the CPU. Only weights and plain values load, never code.

    Raises:
        ValueError: torch did not write the file, or it holds other objects. The message has the reason.
    """
    try:
        return torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's message advises to run the code
        raise ValueError("not a file of torch, or it holds more than weights") from None
    except (
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
    ) as error:  # the bytes can be anything
        raise ValueError(str(error).partition("\n")[0] or type(error).__name__) from None


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
