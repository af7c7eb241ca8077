"""An error of the operating system is told by the place that it is about."""

import errno
from pathlib import Path

from fct.core import os_errors
from fct.core.os_errors import describe_os_error


def test_an_error_of_a_write_names_the_full_place(monkeypatch):
    """The kernel names no file then, so the file systems themselves are looked at."""
    monkeypatch.setattr(os_errors, "_free", lambda place: 0 if place == Path(os_errors._temporary()) else 1 << 40)
    message = describe_os_error(OSError(errno.ENOSPC, "No space left on device"))
    assert message.startswith("The disk is full: the temporary folder (TMPDIR) /")
    assert "this folder" not in message


def test_no_temporary_folder_is_said_as_it_is():
    """Python's own words are about a file that was not found, which nobody looks for."""
    error = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    assert "set TMPDIR to another" in describe_os_error(error)
