"""The metadata of splits, `meta.json`: content only, no time, host or path of this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.core import files
from fct.core.errors import FctError
from fct.splits.store import NAMES, read_meta

OFFICIAL = "official"
HELD_OUT = "held out of train"


@dataclass(frozen=True)
class Division:
    """A division of images into splits."""

    classes: Sequence[str]  # in the order of the labels
    shape: tuple[int, ...]  # [any, size, size, C] of the images
    labels: Mapping[str, NDArray[np.int64]]  # of each split
    test: str  # source of the test split, `OFFICIAL` or `HELD_OUT`
    skipped: Sequence[tuple[str, str]]  # (name, reason) of each skipped image or class


def describe(division: Division, written: Sequence[Path], *, source: str, seed: int) -> dict[str, Any]:
    """Return the content of `<splits>/meta.json`.

    Its digest covers all files in the folders `written` and their metadata, except for skipped images: the same images
    are the same data, whatever was skipped.
    """
    classes, labels, skipped = division.classes, division.labels, division.skipped
    content = {
        "source": source,
        "classes": list(classes),
        "size": division.shape[1],
        "channels": division.shape[3],
        "test": division.test,
        "seed": seed,
        "counts": {name: len(labels[name]) for name in NAMES},
        "class_counts": {
            name: {label: int((labels[name] == index).sum()) for index, label in enumerate(classes)} for name in NAMES
        },
    }
    skipped_summary = {
        "count": len(skipped),
        "reasons": dict(sorted(Counter(reason for _, reason in skipped).items())),
        "items": dict(skipped),
    }
    return content | {"skipped": skipped_summary, "digest": files.digest([content, *_checksums(written)])}


def verify(splits: Path, originals: Path) -> None:
    """Read every byte of the splits and originals.

    Raises:
        FctError: the files have changed since they were written.
    """
    meta = read_meta(splits)
    content = {key: value for key, value in meta.items() if key not in ("skipped", "digest")}
    checksums = [[name, checksum] for name, checksum in _checksums([splits]) if name != "meta.json"]
    if files.digest([content, *checksums, *_checksums([originals])]) != meta.get("digest"):
        raise FctError(
            f"{splits} or {originals} is damaged (their checksum is not that of {splits / 'meta.json'}). "
            "Rebuild them with `dvc repro --force --single-item data`."
        )


def format_meta(meta: Mapping[str, Any]) -> str:
    """Return a short summary as text: the images of each split, and the skipped ones."""
    lines = [f"{meta['source']}: {len(meta['classes'])} classes, {meta['size']} x {meta['size']} x {meta['channels']}"]
    for name in NAMES:
        count = meta["counts"][name]
        smallest = min(meta["class_counts"][name].values())
        largest = max(meta["class_counts"][name].values())
        note = f", {meta['test']}" if name == "test" else ""
        lines.append(f"  {name:<5} {count:>8,} images  ({smallest:,} to {largest:,} per class{note})")
    lines += [f"  skipped {count:,}: {reason}" for reason, count in meta["skipped"]["reasons"].items()]
    return "\n".join(lines)


def _checksums(folders: Sequence[Path]) -> list[list[str]]:
    return [
        [str(path.relative_to(folder)), files.sha256(path)]
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
