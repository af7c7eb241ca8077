"""Digests of files and folders, which link a file to the run that made it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fct.core.errors import FctError
from fct.core.files import digest, sha256
from fct.core.paths import DVC_LOCK
from fct.vcs.dvc_lock import checksums


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or a digest of the names and contents of all files in a folder.

    Raises:
        FctError: there is nothing at `path`.
    """
    if path.is_dir():
        return digest({str(file.relative_to(path)): sha256(file) for file in path.rglob("*") if file.is_file()})
    if not path.is_file():
        raise FctError(f"{path} is not here, although its stage should have written it. Run `dvc repro`.")
    return sha256(path)


def output_tag(path: Path) -> str:
    """Return the key of the tag that holds the content of `path` on the run of the stage that wrote it."""
    return "fct.output." + mlflow_key(Path(os.path.relpath(path)).as_posix())


def mlflow_key(name: str) -> str:
    """Return `name` with - for each character that MLflow refuses in keys, such as the @ in a stage's name."""
    return re.sub(r"[^/\w.\- :]", "-", name)


def datasets(*paths: Path) -> dict[str, str]:
    """Return a digest of each path that a stage reads: DVC's MD5, or our own digest if dvc.lock lacks the path."""
    recorded = checksums(DVC_LOCK.read_text(), str(DVC_LOCK)) if DVC_LOCK.exists() else {}
    return {path.as_posix(): recorded.get(path.as_posix()) or content_digest(path) for path in paths}
