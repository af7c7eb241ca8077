"""Tries DVC's remote with one small object: whether it can be written, read and deleted."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from fct.remote.store import open_remote, translate_errors

CONTENT = b"fct doctor"


@dataclass(frozen=True)
class Probe:
    """What a remote did with a small object."""

    address: str
    changed: datetime | None  # when the object was written, by the remote's clock, if it says so
    verifies: bool  # whether `dvc pull` compares checksums


def probe(name: str | None = None) -> Probe | None:
    """Write a small object to a remote, read it back and delete it. Return None if there is no remote.

    Raises:
        FctError: the remote does not answer, refuses, or is not a remote.
    """
    remote = open_remote(name)
    if remote is None:
        return None
    address = str(remote.fs.unstrip_protocol(remote.path))
    with translate_errors(address):
        fs, path = remote.fs, remote.fs.join(remote.path, f"fct-doctor-{secrets.token_hex(4)}")
        fs.makedirs(remote.path, exist_ok=True)
        fs.pipe_file(path, CONTENT)
        try:
            content, changed = fs.cat_file(path), fs.info(path).get("LastModified")
        finally:
            fs.remove(path)
        if content != CONTENT:
            raise OSError(f"it returned {len(content)} bytes other than those that were written")
    return Probe(address, changed, bool(remote.odb.verify))
