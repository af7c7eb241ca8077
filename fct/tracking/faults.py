"""Finds out what is wrong with a tracking server, or with its files, from the error of a request."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from fct.core.os_errors import FULL, full_places

SILENT = "it does not answer"
LONGEST_REASON = 200  # characters of an error; of a longer one, the first sentence is shown
SQLITE = {  # what SQLite says, and what to do
    "database or disk is full": "the disk is full: {full}",
    "unable to open database file": "the file cannot be opened. Check that you may write to its folder",
    "attempt to write a readonly database": "the file, or its folder, may not be written to. Check who owns it",
    "database is locked": "another process has locked it for too long",
}


class Fault(NamedTuple):
    """A fault of a tracking server or its files."""

    problem: str
    temporary: bool  # the same request may succeed later


def diagnose(error: BaseException) -> Fault:
    """Return what is wrong with a tracking server. The first known cause in the chain of errors decides.

    Errors of requests and of MLflow wrap the one of the operating system. Only that one distinguishes a missing server,
    a wrong certificate, a file that may not be read, and a full disk.
    """
    chain = list(_causes(error))
    for cause in chain:
        if fault := _known(cause):
            return fault
    if any(isinstance(cause, OSError) and getattr(cause, "response", None) is None for cause in chain):
        return Fault(f"{SILENT} ({_first_line(chain[-1])})", temporary=True)
    return Fault(_first_line(error), temporary=False)


def _known(error: BaseException) -> Fault | None:
    """Return the fault that one error of a chain shows by itself, or None."""
    kind, words = type(error).__name__, str(error)
    if isinstance(error, OSError) and error.errno in FULL:
        return Fault(f"the disk is full: {full_places([error.filename])}", temporary=False)
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", "") or error
        return Fault(f"its certificate is not accepted: {reason}", temporary=False)
    if isinstance(error, PermissionError):
        return Fault(f"{error.filename or 'a file'} may not be used: {error.strerror}", temporary=False)
    silence = {
        ": nothing listens at this address (connection refused)": isinstance(error, ConnectionRefusedError),
        ": its name is unknown here": isinstance(error, socket.gaierror),
        " in time: it is overloaded, or a firewall drops requests": "Timeout" in kind,  # of Python, requests, urllib3
    }
    for reason in (reason for reason, holds in silence.items() if holds):
        return Fault(f"{SILENT}{reason}", temporary=True)
    for part in (part for part in SQLITE if part in words):
        return Fault(SQLITE[part].format(full=full_places()), temporary="locked" in part)
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it wraps, each once."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]


def _first_line(error: BaseException) -> str:
    line = re.sub(r"\s+", " ", str(error).strip().partition("\n")[0])
    if len(line) > LONGEST_REASON:
        line = line.partition(". ")[0]
    return line.rstrip(".") or type(error).__name__
