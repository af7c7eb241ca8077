"""Remembers the fingerprint of each image of the data set, so that intake decodes only what is new."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from fct.images.decode import UnusableImage, decode

Memory = dict[str, list[Any]]  # by path: size, time of the last change, inode, and the fingerprint or None


def find_known(images: Path, channels: int) -> dict[bytes, str]:
    """Return the path of each image of the data set by its fingerprint.

    Only an image whose file changed since the last call is decoded. The stage `data` reports those that cannot be.
    """
    version = _version(channels)
    memory = _recall(version)
    paths = [path for folder in sorted(images.iterdir()) if folder.is_dir() for path in sorted(folder.iterdir())]
    stamps = [_stamp(path) for path in paths]
    new = [p for p, stamp in zip(paths, stamps, strict=True) if not stamp or memory.get(str(p), [])[:-1] != stamp]
    fingerprints = dict(zip(map(str, new), _decode(new, channels), strict=True))
    known: Memory = {
        str(path): [*stamp, fingerprints[str(path)] if str(path) in fingerprints else memory[str(path)][-1]]
        for path, stamp in zip(paths, stamps, strict=True)
    }
    with suppress(OSError):  # then the next call decodes them again
        files.write_json(KNOWN_IMAGES, {"version": version, "images": known})
    return {bytes.fromhex(pixels): Path(path).as_posix() for path, (*_, pixels) in known.items() if pixels}


def _version(channels: int) -> str:
    """Return what decides the pixels of a given file: the code that decodes it, and Pillow."""
    sources = sorted(Path(decoder.__path__[0]).glob("*.py"))
    return files.digest([channels, PIL.__version__, *map(files.sha256, sources)])


def _recall(version: str) -> Mapping[str, list[Any]]:
    try:
        memory = json.loads(KNOWN_IMAGES.read_bytes())
        images = memory["images"] if memory["version"] == version else {}
        return {str(path): list(entry) for path, entry in images.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none yet, or damaged: every image is decoded
        return {}


def _stamp(path: Path) -> list[int]:
    """Return what changes when a file does. DVC too takes a file with the same three for unchanged."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _decode(paths: Sequence[Path], channels: int) -> list[str | None]:
    fingerprints = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
        joblib.delayed(_fingerprint)(path, channels) for path in paths
    )
    return list(tqdm(fingerprints, total=len(paths), desc="known images", disable=None))


def _fingerprint(path: Path, channels: int) -> str | None:
    try:
        return fingerprint(decode(path.read_bytes(), channels)).hex()
    except (UnusableImage, OSError):
        return None
