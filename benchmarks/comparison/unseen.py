"""Test images under distortions that no training has shown, made once for each data set."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fct.core.files import digest, sha256, write_bytes
from fct.evaluate import codecs, corruptions, unseen
from fct.evaluate.unseen import UNSEEN, distort, every
from fct.jpeg import arrays
from fct.splits.store import Split, read_meta

FOLDER = Path("unseen")  # in the data set's folder
KINDS = ("codec", "corruption")  # of the distortions that are compared


def unseen_views(test: Split) -> Iterator[tuple[str, Split]]:
    """Yield each distortion's name and severity, such as webp/1, and the test split distorted so."""
    # the images, and how they are distorted
    of = [read_meta()["digest"], *(sha256(Path(module.__file__)) for module in (unseen, codecs, corruptions, arrays))]
    for name, severity, quality in every(test.images.shape[-1]):
        if UNSEEN[name].kind not in KINDS:
            continue
        path = FOLDER / f"{name}-{digest([*of, name, UNSEEN[name].levels[severity - 1]])}.npy"
        if not path.exists():
            stream = io.BytesIO()
            np.save(stream, distort(np.asarray(test.images), name, severity), allow_pickle=False)
            write_bytes(path, stream.getvalue())
        images = np.load(path, mmap_mode="r")
        yield f"{name}/{severity}", replace(test, images=images, quality=np.full(len(test), quality, np.int64))
