"""The one exception whose message is meant for a person."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class FctError(Exception):
    """Something a person can put right.

    The message names the file, the key and the value, and says what to do; commands print it without a traceback.
    """


@contextmanager
def readable_errors() -> Iterator[None]:
    """Print an `FctError` to stderr and exit with status 1, so that bad input never shows a traceback."""
    try:
        yield
    except FctError as error:
        red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
        print(f"{red}error:{plain} {error}", file=sys.stderr)
        sys.exit(1)
