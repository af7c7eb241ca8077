"""Files out of a Debian or Ubuntu package, without installing it and without root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fct.core.errors import FctError

TIMEOUT = 300  # seconds for one apt or dpkg command


def unpack(package: str, inside: str, folder: Path) -> Path:
    """Download `package` into `folder` with apt, unpack it there and return its folder `inside`.

    Where apt's package lists do not know the package (a bare container has none), fresh lists are read into `folder`:
    the system's own stay as they are, and no rights are needed.

    Raises:
        FctError: no apt here, no network, or no such package; it says which command failed and what it printed.
    """
    installed = Path("/") / inside
    if installed.is_dir():
        return installed
    try:
        _run("apt-get", "download", package, folder=folder)
    except FctError:
        print("reading fresh package lists with apt", file=sys.stderr)
        state = [f"-oDir::State={folder}/state", f"-oDir::State::lists={folder}/lists", f"-oDir::Cache={folder}/cache"]
        (folder / "state").mkdir()
        (folder / "lists/partial").mkdir(parents=True)
        (folder / "cache/archives/partial").mkdir(parents=True)
        _run("apt-get", *state, "update", folder=folder)
        _run("apt-get", *state, "download", package, folder=folder)
    archives = list(folder.glob("*.deb"))
    if len(archives) != 1:
        raise FctError(f"apt-get download {package} gave {len(archives)} packages instead of one.")
    _run("dpkg-deb", "-x", archives[0].name, "unpacked", folder=folder)
    return folder / "unpacked" / inside


def _run(*command: str, folder: Path) -> None:
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except FileNotFoundError:
        raise FctError(f"{command[0]} is not on this machine.") from None
    except subprocess.TimeoutExpired:
        raise FctError(f"{' '.join(command)}: no end after {TIMEOUT} s.") from None
    if result.returncode:
        said = " ".join((result.stderr or result.stdout).split())
        raise FctError(f"{' '.join(command)}: {said or f'exit status {result.returncode}'}")
