"""Checks that a machine sees the same folders and the same code as the one that asks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from fct.core.files import digest
from fct.engine.identity import code_identity


class Probe(NamedTuple):
    """What a machine must see. All folders are absolute or relative to `project`."""

    project: str
    reads: dict[str, str]  # digest of the names in each folder
    writes: str
    token: str
    code: dict[str, str]

    @property
    def file(self) -> Path:
        """The file that the asking machine writes."""
        return Path(self.writes, f".probe-{self.token}")


@contextmanager
def probing(reads: Sequence[Path], writes: Path) -> Iterator[Probe]:
    """Write a probe file, and remove it and the answers at the end."""
    writes.mkdir(parents=True, exist_ok=True)
    listings = {str(folder): _listing(folder) for folder in reads}
    probe = Probe(str(Path.cwd()), listings, str(writes.absolute()), token_hex(8), code_identity())
    try:
        probe.file.write_text(probe.token)
        yield probe
    finally:
        for path in Path(probe.writes).glob(f"{probe.file.name}*"):
            path.unlink(missing_ok=True)


def answer(probe: Probe, node: str) -> str | None:
    """Check on a node what it sees, and write the answer file. Return what is wrong, or None."""
    try:
        os.chdir(probe.project)
        if probe.file.read_text() != probe.token:
            return f"sees another file {probe.file}"
        probe.file.with_name(f"{probe.file.name}-{node}").write_text(node)
        for folder, listing in probe.reads.items():
            if _listing(Path(folder)) != listing:
                return f"sees other files in {Path(folder).absolute()}"
    except OSError as error:
        return f"does not share the folder {probe.writes} ({error.strerror}: {error.filename})"
    for name, version in code_identity().items():
        if version != probe.code[name]:
            return f"has another version of {name}: {version}, not {probe.code[name]}"
    return None


def has_answered(probe: Probe, node: str) -> bool:
    """Return whether the answer file of a node is here."""
    path = probe.file.with_name(f"{probe.file.name}-{node}")
    return path.exists() and path.read_text() == node


def _listing(folder: Path) -> str:
    return digest(sorted(path.name for path in folder.iterdir()))
