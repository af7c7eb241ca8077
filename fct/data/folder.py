"""A user's folder of images: each one examined, divided into splits, and packed with its native-size original.

Two passes, so that memory stays bounded whatever the folder's size: the first decodes each file on all cores and keeps
its pixels at the model's size in a scratch file, the second writes the splits from there and packs the files.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from tqdm import tqdm

from fct.core import files
from fct.core.errors import FctError
from fct.data.division import divide_indices, fingerprint
from fct.data.params import DataParams
from fct.data.scan import SHOWN, Problem, format_problems, scan
from fct.images.decode import UnusableImage, decode, resize
from fct.images.tables import jpeg_quality
from fct.splits.meta import HELD_OUT, Division, describe
from fct.splits.store import NAMES, drop_pages

CHUNK = 32  # files handed to a process at a time


@dataclass(frozen=True)
class Usable:
    """An image that can be used."""

    name: str  # path inside the folder
    label: int
    pixels: bytes  # fingerprint of what it shows
    content: bytes  # digest of the file
    quality: int  # its own, as a JPEG
    row: int  # of its pixels in the scratch file


def build(params: DataParams, splits: Path, originals: Path) -> dict[str, Any]:
    """Write the splits of `params.folder` into two empty folders and return what `<splits>/meta.json` holds.

    Raises:
        FctError: an image cannot be used and `on_error` is fail, it names up to ten; or too little is left.
    """
    root = Path(params.folder.path)
    found = scan(root)
    problems = list(found.problems)
    _stop_at(problems, params, root)
    scratch = splits / ".scratch.npy"
    shape = (len(found.files), params.folder.size, params.folder.size, params.folder.channels)
    pixels = open_memmap(scratch, "w+", np.uint8, shape) if len(found.files) else np.empty(shape, np.uint8)
    images: list[Usable] = []
    enough = SHOWN if params.folder.on_error == "fail" else len(found.files)  # problems before it is given up
    for image in _examine(root, found.files, found.labels, pixels, lambda: len(problems) >= enough):
        if isinstance(image, Problem):
            problems.append(image)
        else:
            images.append(image)
    if len(problems) >= enough:
        _stop_at(problems, params, root)
    images = _different(images, problems)
    images, classes = _enough(images, found.classes, len(NAMES), problems)
    _stop_at(problems, params, root)
    if len(classes) < 2:
        left = f" after {len(problems)} were skipped, such as {problems[0]}" if problems else ""
        raise FctError(f"{root}: fewer than two classes have images that can be used{left}.")

    labels = np.array([image.label for image in images], np.int64)
    marks = [image.pixels for image in images]
    places = divide_indices(marks, labels, classes, fractions=params.fractions.model_dump(), seed=params.seed)
    parts = {name: [images[index] for index in places[name]] for name in NAMES}
    for name, part in parts.items():
        _write(part, pixels, splits / name)
    scratch.unlink()
    for name, part in parts.items():
        _pack(root, part, originals, name)
    files.write_json(originals / "meta.json", {"native": True})
    division = Division(
        classes,
        shape,
        {name: labels[places[name]] for name in NAMES},
        test=HELD_OUT,
        skipped=[(problem.name, problem.what) for problem in problems],
    )
    meta = describe(division, [splits, originals], source=params.source, seed=params.seed)
    files.write_json(splits / "meta.json", meta)
    return meta


def _stop_at(problems: Sequence[Problem], params: DataParams, root: Path) -> None:
    if not problems or params.folder.on_error == "skip":
        return
    more = f"\n         and maybe more: the search stopped at {SHOWN}" if len(problems) >= SHOWN else ""
    raise FctError(
        f"{root}: cannot use{format_problems(problems)}{more}\n"
        "       Put them right, or set params.yaml: data.folder.on_error: skip to go on without them and count them."
    )


def _examine(
    root: Path,
    paths: Sequence[str],
    labels: Sequence[int],
    pixels: NDArray[np.uint8],
    given_up: Callable[[], bool],
) -> Iterator[Usable | Problem]:
    """Decode each file on all cores, put its pixels at the model's size into its row of `pixels`, and yield it.

    No further files are begun once `given_up` is true.
    """
    starts = range(0, len(paths), CHUNK)
    workers = max(1, min(joblib.cpu_count(), len(starts)))
    pending = itertools.takewhile(lambda _: not given_up(), starts)
    jobs = (joblib.delayed(_chunk)(root, paths[start : start + CHUNK], pixels.shape[1:]) for start in pending)
    chunks = joblib.Parallel(workers, return_as="generator")(jobs)
    with tqdm(total=len(paths), desc="images", unit="image", disable=None) as bar:
        for start, results in zip(starts, chunks, strict=False):
            for row, result in enumerate(results, start):
                if isinstance(result, Problem):
                    yield result
                else:
                    small, mark, content, quality = result
                    pixels[row] = small
                    yield Usable(paths[row], labels[row], mark, content, quality, row)
            drop_pages(pixels)
            bar.update(len(results))


def _chunk(
    root: Path, paths: Sequence[str], shape: tuple[int, int, int]
) -> list[Problem | tuple[NDArray[np.uint8], bytes, bytes, int]]:
    return [_one(root, path, shape) for path in paths]


def _one(root: Path, path: str, shape: tuple[int, int, int]) -> Problem | tuple[NDArray[np.uint8], bytes, bytes, int]:
    size, _, channels = shape
    try:
        content = (root / path).read_bytes()
        native = decode(content, channels)
    except UnusableImage as error:
        what, _, detail = str(error).partition(": ")
        return Problem(path, what, detail)
    except OSError as error:
        return Problem(path, "cannot be read", error.strerror or type(error).__name__)
    return resize(native, size), fingerprint(native), _digest(content), jpeg_quality(content)


def _different(images: Sequence[Usable], problems: list[Problem]) -> list[Usable]:
    """Return the first of each set of images with the same pixels; the others become problems."""
    first: dict[bytes, Usable] = {}
    for image in images:
        other = first.setdefault(image.pixels, image)
        if other is not image:
            problems.append(Problem(image.name, "the same pixels as another image", f"{other.name}; remove one"))
    return list(first.values())


def _enough(
    images: Sequence[Usable], classes: Sequence[str], splits: int, problems: list[Problem]
) -> tuple[list[Usable], list[str]]:
    """Return the images of classes that have one for each split, labelled anew, and the names of those classes."""
    kept: list[Usable] = []
    names: list[str] = []
    for label, name in enumerate(classes):
        members = [image for image in images if image.label == label]
        if len(members) >= splits:
            kept += [replace(image, label=len(names)) for image in members]
            names.append(name)
            continue
        why = f"{name} has {len(members)}, and each of the {splits} splits needs one"
        problems += [Problem(image.name, "its class has too few images", why) for image in members]
        if not members:
            problems.append(Problem(f"{name}/", "a class without images", "none of its files can be used"))
    return kept, names


def _write(part: Sequence[Usable], pixels: NDArray[np.uint8], folder: Path) -> None:
    folder.mkdir()
    images = open_memmap(folder / "images.npy", "w+", np.uint8, (len(part), *pixels.shape[1:]))
    for start in range(0, len(part), CHUNK):
        rows = [image.row for image in part[start : start + CHUNK]]
        images[start : start + CHUNK] = pixels[rows]
        drop_pages(images, pixels)
    np.save(folder / "labels.npy", np.array([image.label for image in part], np.int64))
    np.save(folder / "quality.npy", np.array([image.quality for image in part], np.int64))


def _pack(root: Path, part: Sequence[Usable], originals: Path, name: str) -> None:
    starts = [0]
    with (originals / f"{name}.bin").open("wb") as packed:
        for image in part:
            content = (root / image.name).read_bytes()
            if _digest(content) != image.content:
                raise FctError(f"{root / image.name} changed while it was being read. Run it again when it is at rest.")
            packed.write(content)
            starts.append(packed.tell())
    np.save(originals / f"{name}.npy", np.array(starts, np.int64))


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()
