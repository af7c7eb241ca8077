"""The images that a registered version was made of: no comparison uses images that one of the models has seen.

A version carries the sorted fingerprints of the images in its splits train and val, as one array. It was trained on
train and chosen on val. A comparison with it uses the images of the gate split that neither model has seen. As a folder
of images grows, a few images move between val and gate. With another `data.seed`, most gate images were trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from fct.core.errors import FctError
from fct.core.files import CHUNK
from fct.data.division import FINGERPRINT, fingerprint
from fct.registry.versions import Version, Versions
from fct.splits.store import Split, drop_pages, open_split

FILE = "training-images.npy"  # uint64 [N], sorted; beside model.onnx in the registered model
TAG = "fct.training_images"  # sha256 of the file
USED = ("train", "val")
LARGEST_SHARE = 0.5  # of the gate split that may be left out; a growing folder moves far fewer, another seed far more
REMEDY = (
    "Restore data.seed and data.fractions in params.yaml and run `dvc repro`, or give the new division its own "
    "registry.name."
)
BYTES = 8  # of a fingerprint. Among 10^6 images, two share one with a probability of 3e-8


def fingerprints(split: Split) -> NDArray[np.uint64]:
    """Return a fingerprint of each image, uint64 [N]: of its file if the split has originals, else of its pixels.

    The memory does not depend on the number of images. An image that was saved again as another file counts as another.
    """
    digests = _of_pixels(split.images) if split.originals is None else _of_files(split)
    return np.fromiter((int.from_bytes(digest[:BYTES], "little") for digest in digests), np.uint64, len(split))


def training_fingerprints() -> NDArray[np.uint64]:
    """Return the fingerprints of the images in data/splits that a model is made of, train and val, sorted."""
    return np.unique(np.concatenate([fingerprints(open_split(name)) for name in USED]))


def write(images: NDArray[np.uint64], folder: Path) -> Path:
    """Write the fingerprints into `folder`. Return the path of the file."""
    path = folder / FILE
    np.save(path, images, allow_pickle=False)
    return path


def download(versions: Versions, version: Version) -> NDArray[np.uint64] | None:
    """Return the fingerprints of the images that made a version, sorted; None if it has none.

    Raises:
        FctError: the file is missing, or is not the one that was registered.
    """
    if TAG not in version.tags:
        return None
    with TemporaryDirectory() as folder:
        path = versions.download(version, Path(folder), file=FILE, digest_tag=TAG)
        images: NDArray[np.uint64] = np.load(path, allow_pickle=False)
    return images


def unseen_by_both(
    split: Split, digest: str, own: NDArray[np.uint64], versions: Versions, rival: Version
) -> NDArray[np.bool_]:
    """Return which images of the gate split neither the candidate nor a registered version has seen, [N].

    Args:
        split: The gate split, of N images.
        digest: The digest of this split.
        own: Fingerprints of the images that made the candidate.
        versions: The registered model.
        rival: The version to compare the candidate with.

    Raises:
        FctError: one of the two has seen most images of the split, or it is not known what the version has seen.
    """
    seen_by = {"the candidate": own}
    name = f"version {rival.number} of {versions.name}"
    of_rival = download(versions, rival)
    if of_rival is not None:
        seen_by[name] = of_rival
    elif rival.tags.get("fct.gate_digest") != digest:
        raise FctError(
            f"{name} does not name the images that it was trained on, and it was judged on another gate split. So it "
            f"cannot be compared with the candidate on this one. {REMEDY}"
        )
    images = fingerprints(split)
    return _unseen(images, seen_by)


def _unseen(images: NDArray[np.uint64], seen_by: Mapping[str, NDArray[np.uint64]]) -> NDArray[np.bool_]:
    seen = {name: np.isin(images, of_model) for name, of_model in seen_by.items()}
    unseen: NDArray[np.bool_] = ~np.logical_or.reduce(list(seen.values()))
    if 1 - unseen.mean() > LARGEST_SHARE:
        counts = " and ".join(
            f"{rows.sum():,} are training images of {name}" for name, rows in seen.items() if rows.any()
        )
        raise FctError(
            f"data/splits: of the {len(images):,} images of the gate split, {counts}. So a "
            f"comparison on this split would say nothing. {REMEDY}"
        )
    return unseen


def _of_pixels(images: NDArray[np.uint8]) -> Iterator[bytes]:
    rows = max(1, CHUNK // max(1, images[:1].nbytes))
    for start in range(0, len(images), rows):
        yield from map(fingerprint, np.asarray(images[start : start + rows]))
        drop_pages(images)


def _of_files(split: Split) -> Iterator[bytes]:
    assert split.originals is not None
    size = 0
    for index in range(len(split)):
        content = split.originals[index]
        yield blake2b(content, digest_size=FINGERPRINT).digest()
        size += len(content)
        if size > CHUNK:
            drop_pages(split.originals.files)
            size = 0
