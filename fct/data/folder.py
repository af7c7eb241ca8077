"""A user's folder of images: check each image, divide them into splits, and pack the original files.

Two passes keep the use of memory bounded. The first pass decodes all files, on all cores or a Ray cluster, and writes
their pixels, at the model's size, into a scratch file. The second pass writes the splits from the scratch file and
packs the files.

With `data.folder.keep` above 1, the images of train are larger than the model's, which leaves room for random crops. A
second scratch file has that size, since the images of train are known only after the first pass.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from fct.core import files
from fct.core.errors import FctError
from fct.data.division import describe_duplicate, divide_indices, fingerprint
from fct.data.params import DataParams, FolderParams
from fct.data.scan import Problem, Scan, format_problems, scan
from fct.engine.base import Engine
from fct.engine.open import open_engine
from fct.engine.params import ComputeParams
from fct.images.decode import UnusableImage, decode, resize
from fct.images.tables import estimate_quality
from fct.splits.meta import HELD_OUT, Division, describe
from fct.splits.store import NAMES, drop_pages

CHUNK = 32  # files per task
MOST_UNREADABLE = 100  # files that cannot be decoded, after which the check stops


@dataclass(frozen=True)
class UsableImage:
    """An image that can be used."""

    name: str  # path inside the folder
    label: int
    fingerprint: bytes  # of the pixels
    content_digest: bytes  # of the file
    quality: int  # of the JPEG file, from its tables
    row: int  # in the scratch file


@dataclass(frozen=True)
class Pool:
    """The usable images of a folder, without duplicates, and the problems with the others."""

    images: Sequence[UsableImage]
    classes: Sequence[str]  # in the order of the labels
    pixels: Sequence[
        NDArray[np.uint8]
    ]  # [files, size, size, C]: the scratch files of the model's size and the kept one
    problems: Sequence[Problem]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Index of each image's class, [N]."""
        return np.array([image.label for image in self.images], np.int64)

    @property
    def fingerprints(self) -> list[bytes]:
        """Fingerprint of each image's pixels at native size."""
        return [image.fingerprint for image in self.images]


def build(params: DataParams, splits: Path, originals: Path, *, compute: ComputeParams | None = None) -> dict[str, Any]:
    """Write the splits of `params.folder` into two empty folders. Return the content of `<splits>/meta.json`.

    `compute` says where files are decoded; None for threads.

    Raises:
        FctError: `on_error` is fail and images cannot be used (the message names up to ten, of every kind), or too few
            images remain.
    """
    root = Path(params.folder.path)
    pool = read_images(root, scan(root), params.folder, splits, splits=len(NAMES), compute=compute)
    indices = divide_indices(
        pool.fingerprints, pool.labels, pool.classes, fractions=params.fractions.model_dump(), seed=params.seed
    )
    parts = {name: indices[name] for name in NAMES}
    write_parts(root, pool, parts, splits, originals)
    division = Division(
        pool.classes,
        pool.pixels[0].shape,
        {name: pool.labels[part] for name, part in parts.items()},
        test=HELD_OUT,
        skipped=[(problem.name, problem.what) for problem in pool.problems],
    )
    meta = describe(division, [splits, originals], source=params.source, seed=params.seed)
    files.write_json(splits / "meta.json", meta)
    return meta


def read_images(  # noqa: PLR0913  # all that decides
    root: Path,
    listing: Scan,
    params: FolderParams,
    folder: Path,
    *,
    splits: int,
    compute: ComputeParams | None = None,
) -> Pool:
    """Decode every file of `listing`, and write its pixels at each size into a scratch file in `folder`.

    If several images have the same pixels, the first one in the listing is used. A class with fewer images than
    `splits`, the number of splits to make, is left out.

    Raises:
        FctError: `on_error` is fail and images cannot be used (the message names up to ten, of every kind), or too few
            images remain.
    """
    sides = sorted({params.pixels, params.kept_pixels})
    shapes = [(len(listing.files), side, side, params.channels) for side in sides]
    pixels = [
        open_memmap(path, "w+", np.uint8, shape) if len(listing.files) else np.empty(shape, np.uint8)
        for path, shape in zip(_scratch(folder, sides), shapes, strict=True)
    ]
    images: list[UsableImage] = []
    unreadable: list[Problem] = []
    limit = MOST_UNREADABLE if params.on_error == "fail" else math.inf
    with open_engine(compute, reads=[root], writes=folder) as engine:
        for image in _examine(engine, root, listing, pixels, lambda: len(unreadable) >= limit):
            if isinstance(image, Problem):
                unreadable.append(image)
            else:
                images.append(image)
    problems = [*listing.problems, *unreadable]
    if len(unreadable) >= limit:
        _check_problems(problems, params, root, stopped=True)
    images = _drop_duplicates(images, listing.classes, problems)
    images, classes = _drop_small_classes(images, listing.classes, splits, problems)
    _check_problems(problems, params, root)
    if len(classes) < 2:
        reason = f"; {len(problems)} were skipped, for example {problems[0]}" if problems else ""
        raise FctError(f"{root}: fewer than two classes have enough usable images{reason}.")
    return Pool(images, classes, pixels, problems)


def write_parts(
    root: Path, pool: Pool, indices: Mapping[str, NDArray[np.int64]], splits: Path, originals: Path
) -> None:
    """Write the splits of `pool` and their original files into two folders, and remove the scratch files.

    Args:
        root: the folder of images.
        pool: what `read_images` returned; its scratch files are in `splits`.
        indices: the indices of the images of each split.
        splits: gets a folder for each split.
        originals: gets the packed files.
    """
    parts = {name: [pool.images[index] for index in members] for name, members in indices.items()}
    for name, part in parts.items():
        _write_arrays(part, pool.pixels[-1 if name == "train" else 0], splits / name)
    for path in _scratch(splits, [pixels.shape[1] for pixels in pool.pixels]):
        path.unlink()
    for name, part in parts.items():
        _pack_originals(root, part, originals, name)
    files.write_json(originals / "meta.json", {"native": True})


def _scratch(folder: Path, sides: Sequence[int]) -> list[Path]:
    return [folder / f".scratch-{side}.npy" for side in sides]


def _check_problems(problems: Sequence[Problem], params: FolderParams, root: Path, *, stopped: bool = False) -> None:
    """Raise FctError if there are problems and `on_error` is fail. `stopped` says that not all files were read."""
    if not problems or params.on_error == "skip":
        return
    more = f"\n         There may be others: the check stopped after {MOST_UNREADABLE}." if stopped else ""
    raise FctError(
        f"{root}: cannot use{format_problems(problems)}{more}\n"
        "       Repair or remove them. Or set params.yaml: data.folder.on_error: skip to train without them."
    )


def _examine(
    engine: Engine, root: Path, listing: Scan, pixels: Sequence[NDArray[np.uint8]], stop: Callable[[], bool]
) -> Iterator[UsableImage | Problem]:
    """Decode the files. Write the pixels of each into its row of each array of `pixels`, at its size.

    No further chunk of files is started once `stop()` is true.

    Yields:
        Each image that can be used, or the problem with it.
    """
    starts = range(0, len(listing.files), CHUNK)
    pending = itertools.takewhile(lambda _: not stop(), starts)
    read = partial(_read_chunk, root, [array.shape[1] for array in pixels], pixels[0].shape[-1])
    chunks = engine.map(read, (listing.files[start : start + CHUNK] for start in pending))
    with closing(chunks), tqdm(total=len(listing.files), desc="images", unit="image", disable=None) as bar:
        for start, results in zip(starts, chunks, strict=False):
            for row, result in enumerate(results, start):
                if isinstance(result, Problem):
                    yield result
                else:
                    resized, pixels_digest, content_digest, quality = result
                    for array, image in zip(pixels, resized, strict=True):
                        array[row] = image
                    yield UsableImage(
                        listing.files[row], listing.labels[row], pixels_digest, content_digest, quality, row
                    )
            drop_pages(*pixels)
            bar.update(len(results))


def _read_chunk(
    root: Path, sides: Sequence[int], channels: int, paths: Sequence[str]
) -> list[Problem | tuple[list[NDArray[np.uint8]], bytes, bytes, int]]:
    return [_read_image(root, path, sides, channels) for path in paths]


def _read_image(
    root: Path, path: str, sides: Sequence[int], channels: int
) -> Problem | tuple[list[NDArray[np.uint8]], bytes, bytes, int]:
    try:
        content = (root / path).read_bytes()
        native = decode(content, channels)
    except (UnusableImage, OSError) as error:
        return Problem.of(path, error)
    return [resize(native, side) for side in sides], fingerprint(native), _digest(content), estimate_quality(content)


def _drop_duplicates(
    images: Sequence[UsableImage], classes: Sequence[str], problems: list[Problem]
) -> list[UsableImage]:
    """Return the first image of each set with the same pixels. Append the others to `problems`."""
    first: dict[bytes, UsableImage] = {}
    for image in images:
        original = first.setdefault(image.fingerprint, image)
        if original is not image:
            what = describe_duplicate(classes[image.label], classes[original.label])
            problems.append(Problem(image.name, what, f"{original.name}; remove one"))
    return list(first.values())


def _drop_small_classes(
    images: Sequence[UsableImage], classes: Sequence[str], splits: int, problems: list[Problem]
) -> tuple[list[UsableImage], list[str]]:
    """Drop classes with fewer images than `splits`, and append their images to `problems`.

    Returns:
        The remaining images with renumbered labels, and the names of the remaining classes.
    """
    remaining: list[UsableImage] = []
    names: list[str] = []
    for label, name in enumerate(classes):
        members = [image for image in images if image.label == label]
        if len(members) >= splits:
            remaining += [replace(image, label=len(names)) for image in members]
            names.append(name)
            continue
        reason = f"{name} has {len(members)}, but each of the {splits} splits needs one"
        problems += [Problem(image.name, "its class has too few images", reason) for image in members]
        if not members:
            problems.append(Problem(f"{name}/", "a class without images", "none of its files can be used"))
    return remaining, names


def _write_arrays(part: Sequence[UsableImage], pixels: NDArray[np.uint8], folder: Path) -> None:
    folder.mkdir()
    images = open_memmap(folder / "images.npy", "w+", np.uint8, (len(part), *pixels.shape[1:]))
    for start in range(0, len(part), CHUNK):
        rows = [image.row for image in part[start : start + CHUNK]]
        images[start : start + CHUNK] = pixels[rows]
        drop_pages(images, pixels)
    np.save(folder / "labels.npy", np.array([image.label for image in part], np.int64))
    np.save(folder / "quality.npy", np.array([image.quality for image in part], np.int64))


def _pack_originals(root: Path, part: Sequence[UsableImage], originals: Path, name: str) -> None:
    starts = [0]
    with (originals / f"{name}.bin").open("wb") as packed:
        for image in part:
            content = (root / image.name).read_bytes()
            if _digest(content) != image.content_digest:
                raise FctError(f"{root / image.name} changed while it was read. Run again when it is at rest.")
            packed.write(content)
            starts.append(packed.tell())
    np.save(originals / f"{name}.npy", np.array(starts, np.int64))


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()
