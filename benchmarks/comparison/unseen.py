"""Test images under distortions that no training has shown, made once for each data set."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fct.core.files import digest, sha256, write_bytes
from fct.evaluate import codecs, corruptions, deployment, unseen
from fct.evaluate.unseen import UNSEEN, distorted, every
from fct.jpeg import arrays
from fct.splits.store import Split, read_meta

FOLDER = Path("unseen")  # in the data set's folder
KINDS = ("codec", "corruption")  # of the distortions that are compared where none are named
CODE = (unseen, codecs, corruptions, deployment, arrays)  # modules that decide how images are distorted


def unseen_views(test: Split, names: Sequence[str] | None = None) -> Iterator[tuple[str, Split]]:
    """Yield each distortion's name and severity, such as webp/1, and the test split distorted so.

    Args:
        test: the test split.
        names: of the distortions; None for all codecs and corruptions.
    """
    chosen = {name for name, each in UNSEEN.items() if (each.kind in KINDS if names is None else name in names)}
    of = [read_meta()["digest"], *(sha256(Path(module.__file__)) for module in CODE)]
    for name, severity, quality in every(test.images.shape[-1]):
        if name not in chosen:
            continue
        path = FOLDER / f"{name}-{digest([*of, name, UNSEEN[name].levels[severity - 1]])}.npy"
        if not path.exists():
            stream = io.BytesIO()
            np.save(stream, distorted(test, name, severity), allow_pickle=False)
            write_bytes(path, stream.getvalue())
        images = np.load(path, mmap_mode="r")
        yield f"{name}/{severity}", replace(test, images=images, quality=np.full(len(test), quality, np.int64))
