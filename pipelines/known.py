"""Remembers the fingerprint of each image in the data set, so that intake decodes only new images."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import PIL
from tqdm import tqdm

from fct import images as decoder
from fct.core import files
from fct.core.paths import KNOWN_IMAGES
from fct.data.division import fingerprint
from fct.data.scan import is_litter
from fct.images.decode import UnusableImage, decode

Memory = dict[str, list[Any]]  # by path: size, time of the last change, inode, and the fingerprint or None


def find_known(images: Path, channels: int) -> dict[bytes, str]:
    """Return the path of each image of the data set by its fingerprint.

    Only images whose files changed since the last call are decoded. The stage `data` reports those that cannot be
    decoded.
    """
    version = _version(channels)
    memory = _recall(version)
    stamps = {str(path): stamp for path in _list(images) if (stamp := _stamp(path))}
    new = [path for path, stamp in stamps.items() if memory.get(path, [])[:-1] != stamp]
    fingerprints = dict(zip(new, _decode(new, channels), strict=True))
    known: Memory = {
        path: [*stamp, fingerprints[path] if path in fingerprints else memory[path][-1]]
        for path, stamp in stamps.items()
    }
    with suppress(OSError):  # then the next call decodes them again
        files.write_json(KNOWN_IMAGES, {"version": version, "images": known})
    return {bytes.fromhex(pixels): Path(path).as_posix() for path, (*_, pixels) in known.items() if pixels}


def _version(channels: int) -> str:
    """Return the version of the decoder: the code that decodes a file, and Pillow."""
    sources = sorted(Path(decoder.__path__[0]).glob("*.py"))
    return files.digest([channels, PIL.__version__, *map(files.sha256, sources)])


def _recall(version: str) -> Mapping[str, list[Any]]:
    try:
        memory = json.loads(KNOWN_IMAGES.read_bytes())
        images = memory["images"] if memory["version"] == version else {}
        return {str(path): list(entry) for path, entry in images.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none yet, or damaged: every image is decoded
        return {}


def _list(images: Path) -> Iterator[Path]:
    """Yield what the stage `data` looks at in the folders of `images`. It reports a folder that cannot be listed."""
    for folder in _entries(images):
        with suppress(OSError):
            yield from _entries(folder)


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, without the hidden files and the litter that the stage `data` ignores.

    An image that only such a file has is not in the data set.
    """
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and not is_litter(path.name))


def _stamp(path: Path) -> list[int]:
    """Return size, time and inode, which change when a file does. DVC also treats a file with the same as unchanged.

    Anything that is not a file, or cannot be examined, has no stamp.
    """
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ino] if stat.S_ISREG(status.st_mode) else []


def _decode(paths: Sequence[str], channels: int) -> list[str | None]:
    fingerprints = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
        joblib.delayed(_fingerprint)(Path(path), channels) for path in paths
    )
    return list(tqdm(fingerprints, total=len(paths), desc="known images", disable=None))


def _fingerprint(path: Path, channels: int) -> str | None:
    try:
        return fingerprint(decode(path.read_bytes(), channels)).hex()
    except (UnusableImage, OSError):
        return None
