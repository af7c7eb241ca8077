"""Exceptions with messages for users, and the exit status of commands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

DISTRIBUTION = "feature-consistency"  # its name for pip

TRY_AGAIN = 75  # exit status: the same command may succeed later (EX_TEMPFAIL of sysexits.h)


class FctError(Exception):
    """An error that the user can correct.

    The message names the file, the key and the value, and says what to do. Commands print it without a traceback.
    """


class UnreachableError(FctError):
    """A server does not reply. The same command may succeed later."""


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print an `FctError` to stderr and exit, so that bad input never shows a traceback.

    The same holds for an `OSError` of a file, such as a full disk, and for a package of an extra that is not installed.
    The exit status is 1. It is `TRY_AGAIN` for an `UnreachableError`, so that a schedule knows that it can try again.
    """
    try:
        yield
    except FctError as error:
        _exit(str(error), TRY_AGAIN if isinstance(error, UnreachableError) else 1)
    except OSError as error:
        if error.filename is None:
            raise
        _exit(f"{error.filename}: {error.strerror}.", 1)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _required():
            raise
        _exit(f"{package} is not installed. Install what fct needs: pip install '{DISTRIBUTION}[pipeline]'", 1)


def _required() -> set[str]:
    """Return the names under which the packages of all extras are imported."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return set()
    return {re.split(r"\W", line)[0] for line in lines}  # ruamel.yaml is imported as ruamel


def _exit(message: str, status: int) -> NoReturn:
    red, reset = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}error:{reset} {message}", file=sys.stderr)
    sys.exit(status)
