"""Take files from a Debian or Ubuntu package without installing it and without root."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fct.core.errors import FctError

TIMEOUT = 300  # seconds for one apt or dpkg command


def unpack(package: str, inside: str, folder: Path) -> Path:
    """Download `package` into `folder` with apt, unpack it there and return its folder `inside`.

    An installed package is used where it is. If apt's package lists do not have the package (a bare container has no
    lists), new lists are downloaded into `folder`. This needs no rights and does not change the system's lists.

    Raises:
        FctError: apt, the network or the package is missing. The message shows the failed command and its output.
    """
    installed = Path("/") / inside
    if installed.is_dir():
        return installed
    try:
        _run("apt-get", "download", package, folder=folder)
    except FctError:
        print("downloading new package lists with apt", file=sys.stderr)
        state = [f"-oDir::State={folder}/state", f"-oDir::State::lists={folder}/lists", f"-oDir::Cache={folder}/cache"]
        (folder / "state").mkdir()
        (folder / "lists/partial").mkdir(parents=True)
        (folder / "cache/archives/partial").mkdir(parents=True)
        _run("apt-get", *state, "update", folder=folder)
        _run("apt-get", *state, "download", package, folder=folder)
    archives = list(folder.glob("*.deb"))
    if len(archives) != 1:
        raise FctError(f"apt-get download {package} downloaded {len(archives)} packages instead of one.")
    _run("dpkg-deb", "-x", archives[0].name, "unpacked", folder=folder)
    return folder / "unpacked" / inside


def _run(*command: str, folder: Path) -> None:
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except FileNotFoundError:
        raise FctError(f"{command[0]} is not installed on this machine.") from None
    except subprocess.TimeoutExpired:
        raise FctError(f"{' '.join(command)} did not end within {TIMEOUT} s.") from None
    if result.returncode:
        message = " ".join((result.stderr or result.stdout).split())
        raise FctError(f"{' '.join(command)}: {message or f'exit status {result.returncode}'}")
