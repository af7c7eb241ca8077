"""The type of options that name a file to write."""

from __future__ import annotations

import os
from pathlib import Path

import click


class Output(click.Path):
    """A file that can be written, in a folder that is there or can be made.

    Checked before the command starts, since a measurement may take minutes.
    """

    def __init__(self) -> None:
        """Accept any file, not a folder."""
        super().__init__(path_type=Path)

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, or end the command with an error that names the option."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        try:
            problem = _problem(path)
        except OSError as error:  # a folder that may not be looked into, or a name that is too long
            problem = f"{error.filename}: {error.strerror}. Choose another place."
        if problem:
            self.fail(problem, param, ctx)
        return path


def _problem(path: Path) -> str | None:
    """Return why `fct.core.files.write_bytes` could not write a file, and what to do; None if it can."""
    if path.is_dir():
        return f"{path} is a folder. Name a file in it."
    folder = next(each for each in path.parents if each.exists())
    if not folder.is_dir():
        return f"{folder} is a file, not a folder. Choose another folder."
    is_replaced = path.is_file() or not path.exists()  # else a device or a pipe
    for place in (path, folder) if is_replaced else (path,):
        if place.exists() and not os.access(place, os.W_OK):
            return f"{place} is not writable. Choose another place, or change its permissions."
    return None


OUTPUT = Output()
