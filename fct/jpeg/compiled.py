"""Decorators for functions that numba compiles: loops over pixels that release the interpreter's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(function: Function) -> Function:
    """Compile a function at its first call. The result is cached next to its file, for all processes.

    All functions that it calls must be in the same file, since numba does not notice changes in other files. It does
    not notice changes of `OPTIONS` either: run `make clean` after one.
    """
    try:
        dispatcher: Function = numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no folder for the cache: compile in each process
        dispatcher = numba.njit(**OPTIONS)(function)
    return dispatcher


def part(function: Function) -> Function:
    """Inline a function into the compiled functions that call it, so that their constants are constants in it."""
    dispatcher: Function = numba.njit(inline="always", **OPTIONS)(function)
    return dispatcher
