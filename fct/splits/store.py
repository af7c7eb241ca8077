"""Splits on disk. The data stage writes these files, and all later stages read them.

    <splits>/<name>/images.npy    uint8 [N, H, W, C]   at the model's size; those of train may be larger, for crops
                    labels.npy    int64 [N]            index into classes
                    quality.npy   int64 [N]            JPEG quality of each image's file, 0 without JPEG tables
    <splits>/meta.json            classes, source, counts, skipped images, source of the test images

    <originals>/meta.json         whether the source has images of other sizes
    <originals>/<name>.bin        the user's files, one after the other (folder sources only)
    <originals>/<name>.npy        int64 [N + 1]        start of each file in <name>.bin, and the end

An image is compressed at its native size and then resized to the model's size, as in a deployment. Images of array
sources (Fashion-MNIST, CIFAR) already have the model's size, so they need no originals.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError, translate_damage
from fct.core.paths import ORIGINALS, SPLITS
from fct.images.fit import Fit
from fct.splits.shards import Shards

MISSING = "Make it with `dvc repro data`."
DAMAGED = "Make it again with `dvc repro --force --single-item data`."
NAMES = ("train", "val", "gate", "test")  # val is for choices, gate for promotions, test only for reports


@dataclass(frozen=True)
class Split:
    """One split. Its arrays are memory-mapped, so pixels are read at their first use."""

    name: str
    images: NDArray[np.uint8]  # [N, H, W, C]
    labels: NDArray[np.int64]  # [N]
    quality: NDArray[np.int64]  # [N]
    originals: Originals | None  # None if `images` are the originals
    own_fit: Fit | None = None  # from the originals to `images`; None for the fit of this project's models

    @property
    def fit(self) -> Fit:
        """How an image of any size becomes one of the model's size."""
        return self.own_fit or Fit(self.images.shape[1])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def step(self, images: int) -> int:
        """Return the step that selects at least `images` evenly spaced images, and fewer than twice as many."""
        return max(1, len(self) // images)

    def every(self, step: int) -> Split:
        """Return every `step`-th image, without reading any."""
        return Split(
            self.name,
            self.images[::step],
            self.labels[::step],
            self.quality[::step],
            self.originals and self.originals[::step],
            self.own_fit,
        )


@dataclass(frozen=True)
class Originals:
    """The encoded files of one split at their native size, packed into one file."""

    files: NDArray[np.uint8]  # [total bytes]
    starts: NDArray[np.int64]  # [N]
    stops: NDArray[np.int64]  # [N]

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Originals: ...
    def __getitem__(self, index: int | slice) -> bytes | Originals:
        """Return one encoded file, or a slice of them."""
        if isinstance(index, slice):
            return Originals(self.files, self.starts[index], self.stops[index])
        return self.files[self.starts[index] : self.stops[index]].tobytes()


def read_meta(splits: Path = SPLITS) -> dict[str, Any]:
    """Return the metadata of the splits in the folder `splits`.

    Raises:
        FctError: the metadata are missing or damaged.
    """
    path = splits / "meta.json"
    try:
        meta = json.loads(path.read_text())
    except FileNotFoundError:
        raise FctError(f"{path} is not here. {MISSING}") from None
    except ValueError:
        meta = None
    if not isinstance(meta, dict) or "digest" not in meta:
        raise FctError(f"{path} is damaged. {DAMAGED}")
    return meta


def open_split(name: str, splits: Path = SPLITS, originals: Path = ORIGINALS) -> Split:
    """Open the split `name`, one of `NAMES`, without reading its pixels.

    Raises:
        FctError: the split or its originals are missing or damaged, as far as that shows without reading them.
    """
    folder = splits / name
    with translate_damage(folder, DAMAGED, missing=MISSING):
        images, labels, quality = (
            np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("images", "labels", "quality")
        )
        if not len(images) == len(labels) == len(quality):
            raise ValueError(f"{len(images):,} images, {len(labels):,} labels, {len(quality):,} qualities")
    with translate_damage(originals, DAMAGED, missing=MISSING):
        packed = None
        if json.loads((originals / "meta.json").read_text())["native"]:
            bounds = np.load(originals / f"{name}.npy")
            files = np.memmap(originals / f"{name}.bin", np.uint8, mode="r")
            if len(bounds) != len(images) + 1 or bounds[-1] != len(files):
                raise ValueError(f"{name}.npy is not about {len(images):,} files of {len(files):,} bytes together")
            packed = Originals(files, bounds[:-1], bounds[1:])
    return Split(name, images, labels, quality, packed)


def write_split(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], quality: NDArray[np.int64]) -> None:
    """Create `folder` and write the arrays of one split into it."""
    folder.mkdir()
    for name, array in (("images", images), ("labels", labels), ("quality", quality)):
        np.save(folder / f"{name}.npy", array, allow_pickle=False)


def drop_pages(*arrays: NDArray[Any] | Shards) -> None:
    """Drop the pages of memory-mapped arrays from this process's memory. They are read again at their next use.

    Changes are not lost: they are in the system's page cache, and later in the file. Other arrays are ignored.
    """
    for array in arrays:
        for part in array.arrays if isinstance(array, Shards) else (array,):
            base: Any = part
            while isinstance(base, np.ndarray):
                base = base.base
            if isinstance(base, mmap.mmap):
                base.madvise(mmap.MADV_DONTNEED)
