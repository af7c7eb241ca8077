"""The exceptions whose messages are meant for a person."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

TRY_AGAIN = 75  # exit status: nothing is wrong here and the same command may succeed later (EX_TEMPFAIL of sysexits.h)


class FctError(Exception):
    """Something a person can put right.

    The message names the file, the key and the value, and says what to do; commands print it without a traceback.
    """


class UnreachableError(FctError):
    """A server that does not answer now; the same command may succeed later."""


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print an `FctError` to stderr and exit, so that bad input never shows a traceback.

    So for a file that cannot be read or written, and a full disk. The exit status is 1, or `TRY_AGAIN` for an
    `UnreachableError`, which is how a schedule knows what to try again.
    """
    try:
        yield
    except FctError as error:
        _exit(str(error), TRY_AGAIN if isinstance(error, UnreachableError) else 1)
    except OSError as error:
        if error.filename is None:
            raise
        _exit(f"{error.filename}: {error.strerror}.", 1)


def _exit(message: str, status: int) -> NoReturn:
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}error:{plain} {message}", file=sys.stderr)
    sys.exit(status)
