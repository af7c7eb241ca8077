"""Files and folders by content: what ties a file to the run that made it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fct.core.errors import FctError
from fct.core.files import digest, sha256


def of(path: Path) -> str:
    """Return the SHA-256 of a file, or a digest of the names and contents of all files in a folder.

    Raises:
        FctError: there is nothing at `path`.
    """
    if path.is_dir():
        return digest({str(file.relative_to(path)): sha256(file) for file in path.rglob("*") if file.is_file()})
    if not path.is_file():
        raise FctError(f"{path} is not here, although its stage should have written it. Run `dvc repro`.")
    return sha256(path)


def tag(path: Path) -> str:
    """Return the key of the tag that holds the content of `path` on the run of the stage that wrote it."""
    return "fct.output." + key(Path(os.path.relpath(path)).as_posix())


def key(name: str) -> str:
    """Return `name` with what MLflow refuses in keys, such as the @ of a stage's name, replaced by -."""
    return re.sub(r"[^/\w.\- :]", "-", name)
