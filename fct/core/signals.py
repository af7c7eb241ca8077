"""Signals that ask a process to end, as exceptions, so that it can close what it opened."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class Terminated(SystemExit):
    """The process was asked to end."""


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM and SIGHUP, in the main thread, where nobody else handles them."""

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated(128 + number)

    try:
        handled = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
        for number in handled:
            signal.signal(number, stop)
    except ValueError:  # only the main thread may set handlers
        handled = []
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
