"""Images as the comparison measures them, compressed or distorted: made once for each data set."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct import images, jpeg
from fct.core.files import digest, sha256, write_bytes
from fct.evaluate import codecs, corruptions, deployment, unseen
from fct.evaluate.unseen import UNSEEN, distorted, every
from fct.splits import views
from fct.splits.store import Split, read_meta
from fct.splits.views import compress_split

FOLDER = Path("views")  # in the data set's folder
KINDS = ("codec", "corruption")  # of the distortions that are compared where none are named
PACKAGES, MODULES = (images, jpeg), (unseen, codecs, corruptions, deployment, views)  # decide how images are distorted


def jpeg_views(split: Split, qualities: Sequence[int], subsampling: str) -> Iterator[Split]:
    """Yield a split at each JPEG quality, compressed with `subsampling`."""
    for quality in qualities:
        make = partial(compress_split, split, quality, subsampling)
        yield _view(split, f"q{quality}", (subsampling,), make, quality)


def unseen_views(test: Split, names: Sequence[str] | None = None) -> Iterator[tuple[str, Split]]:
    """Yield each distortion's name and severity, such as webp/1, and the test split distorted so.

    Args:
        test: the test split.
        names: of the distortions; None for all codecs and corruptions.
    """
    chosen = {name for name, each in UNSEEN.items() if (each.kind in KINDS if names is None else name in names)}
    for name, severity, quality in every(test.images.shape[-1]):
        if name in chosen:
            level = UNSEEN[name].levels[severity - 1]
            yield f"{name}/{severity}", _view(test, name, (level,), partial(distorted, test, name, severity), quality)


def _view(split: Split, name: str, of: Sequence[Any], make: Callable[[], NDArray[np.uint8]], quality: int) -> Split:
    """Return the split with the images that `make` returns, or returned once for the same images and values."""
    path = FOLDER / f"{name}-{digest([read_meta()['digest'], split.name, len(split), *_code(), name, *of])}.npy"
    if not path.exists():
        stream = io.BytesIO()
        np.save(stream, make(), allow_pickle=False)
        write_bytes(path, stream.getvalue())
    stored = np.load(path, mmap_mode="r")
    return replace(split, images=stored, quality=np.full(len(split), quality, np.int64))


def sources() -> list[Path]:
    """Return the files of code that decide how images are distorted."""
    files = [file for package in PACKAGES for file in sorted(Path(str(package.__file__)).parent.rglob("*.py"))]
    return [*files, *(Path(str(module.__file__)) for module in MODULES)]


@cache
def _code() -> tuple[str, ...]:
    return tuple(map(sha256, sources()))
