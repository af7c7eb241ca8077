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
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, or end the command with an error that names the option."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        folder = next(each for each in path.absolute().parents if each.exists())
        if not folder.is_dir():
            self.fail(f"{folder} is a file, not a folder.", param, ctx)
        if not path.exists() and not os.access(folder, os.W_OK):
            self.fail(f"the folder {folder} is not writable.", param, ctx)
        return path


OUTPUT = Output()
