"""The division into train, val, gate and test: stratified, seeded, disjoint, and stable as a data set grows.

The pixels of an image and the seed alone decide its split. A renamed file therefore stays in its split. A new image
moves at most one image of its class across each border between splits, and no image of another class. So the images
that trained the champion stay out of the gate split that judges its challenger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError

FINGERPRINT = 16  # bytes


def fingerprint(image: NDArray[np.uint8]) -> bytes:
    """Return 16 bytes: equal for images, uint8 [H, W, C], of the same shape and pixels; different for all others."""
    shape = np.array(image.shape, np.int64).tobytes()
    return blake2b(np.ascontiguousarray(image).data, digest_size=FINGERPRINT, key=shape).digest()


def first_copies(fingerprints: Sequence[bytes], known: frozenset[bytes] = frozenset()) -> NDArray[np.int64]:
    """Return the indices of the fingerprints that are neither in `known` nor earlier in the sequence, ascending."""
    seen = set(known)
    unique = []
    for index, digest in enumerate(fingerprints):
        if digest not in seen:
            seen.add(digest)
            unique.append(index)
    return np.array(unique, np.int64)


def describe_duplicate(one: str, other: str) -> str:
    """Return what is wrong with an image of the class `one` that has the same pixels as an image of the class `other`.

    If the classes differ, one of the labels is wrong, and no program can know which.
    """
    if one == other:
        return "same pixels as another image"
    return "same pixels in two classes, {!r} and {!r}".format(*sorted((one, other)))


def divide_indices(
    fingerprints: Sequence[bytes],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    fractions: Mapping[str, float],
    seed: int,
) -> dict[str, NDArray[np.int64]]:
    """Divide images into `train` and the splits that `fractions` names, each class by the same fractions.

    Args:
        fingerprints: fingerprints of N different images.
        labels: index of each image's class, [N].
        classes: names of the classes.
        fractions: share of each class that a split gets, by the split's name. Train gets the rest. Each split gets at
            least one image of each class.
        seed: another seed gives another division.

    Returns:
        The indices of each split, ascending.

    Raises:
        FctError: a class has fewer images than there are splits.
    """
    key = seed.to_bytes(8, "little")
    order = np.array([_number(blake2b(pixels, digest_size=8, key=key).digest()) for pixels in fingerprints], np.uint64)
    parts: dict[str, list[NDArray[np.int64]]] = {name: [] for name in ("train", *fractions)}
    for label, name in enumerate(classes):
        members = np.flatnonzero(labels == label)
        if len(members) < len(parts):
            raise FctError(f"class {name!r} has {len(members)} images, but each of the {len(parts)} splits needs one.")
        members = members[np.argsort(order[members], kind="stable")]
        start = 0
        for split, count in split_sizes(len(members), fractions).items():
            parts[split].append(members[start : start + count])
            start += count
    return {name: np.sort(np.concatenate(part)) for name, part in parts.items()}


def split_sizes(images: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """Return how many of a class's `images` each split gets: about its fraction, and at least one. Train gets the rest.

    The borders between splits are rounded, not the sizes: so one more image moves no border by more than one.
    There must be at least as many images as splits.
    """
    counts, border, share = {}, 0, 0.0
    for index, (name, fraction) in enumerate(fractions.items()):
        share += fraction
        most = images - (len(fractions) - index)  # one image for each later split, and one for train
        end = min(max(border + 1, math.floor(images * share + 0.5)), most)
        counts[name], border = end - border, end
    return {**counts, "train": images - border}


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "little")
