"""The comparison's splits and caches, in a folder of their own for each data set: made once, checked at each use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import numpy as np

from benchmarks.comparison.settings import Dataset, Settings, division
from fct.cache import store
from fct.core.errors import FctError
from fct.core.files import atomic_folder, digest, sha256, write_json
from fct.core.paths import ORIGINALS, SPLITS
from fct.data.__main__ import LOADERS
from fct.data.dataset import divide_dataset
from fct.data.download import mirror_folder
from fct.images.tables import UNKNOWN_QUALITY
from fct.splits.meta import HELD_OUT, OFFICIAL
from fct.splits.store import open_split, read_meta, write_split

ROOT = Path(".fct/benchmarks").resolve()  # nothing of it is in git


@contextmanager
def standing_in(settings: Settings, name: str) -> Iterator[Path]:
    """Stand in the folder of the data set `name`, with its splits and caches, as the library expects a project's."""
    dataset = settings.datasets[name]
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    with chdir(folder):
        if not (SPLITS / "meta.json").exists() or read_meta()["division"] != division(dataset):
            _divide(dataset)
        source = read_meta()["digest"]
        splits = [open_split(each) for each in store.SPLITS]
        for quality in settings.cache.qualities:
            try:
                store.open_views(splits[0], [quality], settings.jpeg.subsampling, source_digest=source)
            except FctError:
                store.build_cache(splits, quality, settings.jpeg.subsampling, source_digest=source)
        yield folder


def _divide(dataset: Dataset) -> None:
    """Write train, val and test. There is no gate split: nothing is promoted here."""
    stock = LOADERS[dataset.source](mirror_folder(dataset.mirror))
    parts, _ = divide_dataset(stock, {"val": dataset.val, "test": dataset.test}, dataset.seed)
    with atomic_folder(SPLITS) as splits, atomic_folder(ORIGINALS) as originals:
        for name, part in parts.items():
            write_split(splits / name, part.images, part.labels, np.full(len(part), UNKNOWN_QUALITY, np.int64))
        write_json(originals / "meta.json", {"native": False})
        meta = {
            "division": division(dataset),
            "source": dataset.source,
            "test": OFFICIAL if stock.test else HELD_OUT,
            "images": {name: len(part) for name, part in parts.items()},
            "classes": list(stock.classes),
            "channels": stock.pool.images.shape[-1],
            "size": stock.pool.images.shape[1],
            "digest": digest({name: sha256(splits / name / "images.npy") for name in parts}),
        }
        write_json(splits / "meta.json", meta)
