"""Functions that numba compiles to machine code: loops over pixels, without the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(function: Function) -> Function:
    """Compile a function when it is first called; the result is kept beside its file, for all processes.

    Whatever it calls must be in the same file: numba would not notice a change in another. Nor would it notice one of
    `OPTIONS`, after which `make clean` is due.
    """
    try:
        made: Function = numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # there is no folder to keep it in: compile it in each process
        made = numba.njit(**OPTIONS)(function)
    return made


def part(function: Function) -> Function:
    """Make a function a part of the compiled ones that call it: what is constant in them is constant in it."""
    made: Function = numba.njit(inline="always", **OPTIONS)(function)
    return made
