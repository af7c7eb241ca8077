"""Exceptions with messages for users, and the exit status of commands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import NoReturn

DISTRIBUTION = "feature-consistency"  # its name for pip
# Exit statuses of all commands; 0 is success.
FAILED = 1  # the model, or whatever the command judges, is not good enough
WRONG_USE = 2  # wrong use or bad input, as in click
INTERRUPTED = 130  # by Ctrl-C, as in shells
TRY_AGAIN = 75  # the same command may succeed later (EX_TEMPFAIL of sysexits.h)


class FctError(Exception):
    """An error that the user can correct.

    The message names the file, the key and the value, and says what to do. Commands print it without a traceback.
    """

    status = WRONG_USE


class FailedModelError(FctError):
    """The model is not good enough."""

    status = FAILED


class UnreachableError(FctError):
    """A server does not reply. The same command may succeed later."""

    status = TRY_AGAIN


class OvertakenError(FctError):
    """Another host changed the same thing first. The same command may succeed later."""

    status = TRY_AGAIN


@contextmanager
def translate_damage(folder: Path, remedy: str, *, missing: str | None = None) -> Iterator[None]:
    """Turn exceptions of reading JSON and numpy's arrays into an `FctError` that names the folder or the missing file.

    A file that may not be read is another matter: `exit_on_error` describes it.

    Args:
        folder: the folder of the files.
        remedy: a sentence about what to do.
        missing: that sentence for a missing file, if it is another one.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FctError(f"{error.filename} is not here. {missing or remedy}") from None
    except PermissionError:
        raise
    except KeyError as error:
        raise FctError(f"{folder} is damaged (there is no {error}). {remedy}") from None
    except (
        ValueError,
        TypeError,
        EOFError,
        SyntaxError,
        TokenError,
        OSError,
    ) as error:  # numpy parses headers as Python
        raise FctError(f"{folder} is damaged ({error}). {remedy}") from None


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print an `FctError` to stderr and exit, so that bad input never shows a traceback.

    Do the same for an `OSError` about a file or a full disk, and for a package of an extra that is not installed. The
    exit status is the error's. It tells a scheduler whether the model failed, the command was used wrongly, or the same
    command may succeed later.
    """
    try:
        yield
    except FctError as error:
        _exit(str(error), error.status)
    except OSError as error:
        from fct.core.os_errors import can_describe, describe_os_error

        if not can_describe(error):
            raise
        _exit(describe_os_error(error), WRONG_USE)
    except KeyboardInterrupt:
        _exit("interrupted", INTERRUPTED)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _required():
            raise
        _exit(f"{package} is not installed. Install what fct needs: {install('pipeline')}", WRONG_USE)


def install(*extras: str) -> str:
    """Return the command that installs the packages of extras. No package index has FCT itself."""
    return f"pip install '.[{','.join(extras)}]' in a clone of FCT's repository"


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
