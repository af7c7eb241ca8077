"""Published data sets: arrays of images of one size, divide_dataset into splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core import files
from fct.data.division import divide_indices, fingerprint, first_copies
from fct.data.params import DataParams
from fct.images.tables import NO_TABLES
from fct.splits.meta import HELD_OUT, OFFICIAL, Division, describe
from fct.splits.store import write_split


@dataclass(frozen=True)
class LabelledImages:
    """Images of one size and their classes."""

    images: NDArray[np.uint8]  # [N, H, W, C]
    labels: NDArray[np.int64]  # [N], index into the classes

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, indices: NDArray[np.int64]) -> LabelledImages:
        """Return those images."""
        return LabelledImages(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """A published data set."""

    classes: tuple[str, ...]
    pool: LabelledImages  # what is divide_dataset into splits
    test: LabelledImages | None  # the official test set, where it is here


def build(stock: Dataset, params: DataParams, splits: Path, originals: Path) -> dict[str, Any]:
    """Write the splits of `stock` into two empty folders and return what `<splits>/meta.json` holds.

    Of images with the same pixels the first is kept, the official test set's before any other: what is tested was
    never trained on, and the others are counted as skipped.
    """
    parts, skipped = divide_dataset(stock, params.fractions.model_dump(), params.seed)
    for name, part in parts.items():
        write_split(splits / name, part.images, part.labels, np.full(len(part), NO_TABLES, np.int64))
    files.write_json(originals / "meta.json", {"native": False})
    division = Division(
        stock.classes,
        stock.pool.images.shape,
        {name: part.labels for name, part in parts.items()},
        test=OFFICIAL if stock.test else HELD_OUT,
        skipped=skipped,
    )
    meta = describe(division, [splits, originals], source=params.source, seed=params.seed)
    files.write_json(splits / "meta.json", meta)
    return meta


def divide_dataset(
    stock: Dataset, fractions: Mapping[str, float], seed: int
) -> tuple[dict[str, LabelledImages], list[tuple[str, str]]]:
    """Divide `stock` into train and one split for each of `fractions`.

    Where there is an official test set it is the split test, and the fraction of that name is not taken.

    Returns:
        The splits, and what was left out, each with the reason.
    """
    test_marks: list[bytes] = []
    parts: dict[str, LabelledImages] = {}
    skipped: list[tuple[str, str]] = []
    if stock.test is not None:
        fractions = {name: fraction for name, fraction in fractions.items() if name != "test"}
        test_marks = [fingerprint(image) for image in stock.test.images]
        kept = first_copies(test_marks)
        parts["test"] = stock.test[kept]
        skipped += _left_out("test", len(stock.test), kept)
    marks = [fingerprint(image) for image in stock.pool.images]
    kept = first_copies(marks, frozenset(test_marks))
    skipped += _left_out("train", len(stock.pool), kept)
    pool = stock.pool[kept]
    marks = [marks[index] for index in kept]
    places = divide_indices(marks, pool.labels, stock.classes, fractions=fractions, seed=seed)
    return {**{name: pool[indices] for name, indices in places.items()}, **parts}, skipped


def _left_out(part: str, images: int, kept: NDArray[np.int64]) -> Sequence[tuple[str, str]]:
    gone = np.setdiff1d(np.arange(images), kept)
    return [(f"{part} image {index}", "same pixels as another image") for index in gone]
