"""Published data sets: arrays of images of one size, divided into splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core import files
from fct.data.division import describe_duplicate, divide_indices, fingerprint, first_copies
from fct.data.params import DataParams
from fct.images.tables import UNKNOWN_QUALITY
from fct.splits.meta import HELD_OUT, OFFICIAL, Division, describe
from fct.splits.store import write_split


@dataclass(frozen=True)
class LabelledImages:
    """Images of one size, and their labels."""

    images: NDArray[np.uint8]  # [N, H, W, C]
    labels: NDArray[np.int64]  # [N], index into the classes

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, indices: NDArray[np.int64]) -> LabelledImages:
        """Return the images at `indices`."""
        return LabelledImages(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Dataset:
    """A published data set."""

    classes: tuple[str, ...]
    pool: LabelledImages  # divided into splits
    test: LabelledImages | None  # the official test set; None if it is missing


def build(dataset: Dataset, params: DataParams, splits: Path, originals: Path) -> dict[str, Any]:
    """Write the splits of `dataset` into two empty folders. Return the content of `<splits>/meta.json`.

    Only the first of several images with the same pixels is used; the others count as skipped. Images of the official
    test set come first, so no test image is trained on.
    """
    parts, skipped = divide_dataset(dataset, params.fractions.model_dump(), params.seed)
    for name, part in parts.items():
        write_split(splits / name, part.images, part.labels, np.full(len(part), UNKNOWN_QUALITY, np.int64))
    files.write_json(originals / "meta.json", {"native": False})
    division = Division(
        dataset.classes,
        dataset.pool.images.shape,
        {name: part.labels for name, part in parts.items()},
        test=OFFICIAL if dataset.test else HELD_OUT,
        skipped=skipped,
    )
    meta = describe(division, [splits, originals], source=params.source, seed=params.seed)
    files.write_json(splits / "meta.json", meta)
    return meta


def divide_dataset(
    dataset: Dataset, fractions: Mapping[str, float], seed: int
) -> tuple[dict[str, LabelledImages], list[tuple[str, str]]]:
    """Divide `dataset` into train and one split for each of `fractions`.

    An official test set becomes the split test. Then the fraction named test is not used.

    Returns:
        The splits, and the skipped images: the name of each, and the reason.
    """
    test_fingerprints: list[bytes] = []
    parts: dict[str, LabelledImages] = {}
    skipped: list[tuple[str, str]] = []
    first: dict[bytes, int] = {}  # the label of the first image with these pixels
    if dataset.test is not None:
        fractions = {name: fraction for name, fraction in fractions.items() if name != "test"}
        test_fingerprints = [fingerprint(image) for image in dataset.test.images]
        parts["test"] = dataset.test[first_copies(test_fingerprints)]
        skipped += _duplicates("test", test_fingerprints, dataset.test.labels, dataset.classes, first)
    fingerprints = [fingerprint(image) for image in dataset.pool.images]
    unique = first_copies(fingerprints, frozenset(test_fingerprints))
    skipped += _duplicates("train", fingerprints, dataset.pool.labels, dataset.classes, first)
    pool = dataset.pool[unique]
    indices = divide_indices(
        [fingerprints[index] for index in unique], pool.labels, dataset.classes, fractions=fractions, seed=seed
    )
    return {**{name: pool[members] for name, members in indices.items()}, **parts}, skipped


def _duplicates(
    part: str, fingerprints: Sequence[bytes], labels: NDArray[np.int64], classes: Sequence[str], first: dict[bytes, int]
) -> Iterator[tuple[str, str]]:
    """Yield each image that has the same pixels as an earlier one, and the reason. Add other labels to `first`."""
    for index, (pixels, label) in enumerate(zip(fingerprints, labels.tolist(), strict=True)):
        if pixels in first:
            yield f"{part} image {index}", describe_duplicate(classes[label], classes[first[pixels]])
        first.setdefault(pixels, label)
