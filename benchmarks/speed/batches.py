"""Batches alone, without a network: layouts of the cache, views made online, and a DataLoader."""

from __future__ import annotations

import itertools
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.speed.measure import Row, compare
from benchmarks.speed.plain import BATCH, WORKERS, Pairs
from benchmarks.speed.step import QUALITIES, SIZE, data
from fct.splits.store import Split
from fct.train.batches import Cached, Online, Source, epoch
from fct.train.crop import Augmentation, Crops

MOVED = Augmentation(2, flip=True)
SOME = 16  # batches that the DataLoader is asked for at a time, of one that never ends


def rows() -> list[Row]:
    """Measure an epoch of batches each time."""
    with tempfile.TemporaryDirectory() as folder:
        split, mapped = data(Path(folder))
        memory = Cached({quality: np.array(views) for quality, views in mapped.cache.items()})
        together = np.lib.format.open_memmap(
            Path(folder) / "all.npy", "w+", np.uint8, (len(split), len(QUALITIES), *split.images.shape[1:])
        )
        for place, views in enumerate(mapped.cache.values()):
            together[:, place] = views
        loader = DataLoader(Pairs(np.array(split.images), split.labels, "torchvision"), BATCH, num_workers=WORKERS)
        endless = itertools.chain.from_iterable(itertools.repeat(loader))
        ways: dict[str, Callable[[], object]] = {
            "DataLoader, v2.JPEG": lambda: _use(itertools.islice(endless, SOME)),
            "a mapped array for each quality (the cache)": lambda: _epoch(split, mapped),
            "the same in memory": lambda: _epoch(split, memory),
            "one mapped array, an image's qualities together": lambda: _together(split, together),
            "online": lambda: _epoch(split, Online(QUALITIES, "4:2:0")),
        }
        images = dict.fromkeys(ways, len(split)) | {"DataLoader, v2.JPEG": SOME * BATCH}
        return compare("batches of pairs", SIZE, ways, images, threads=torch.get_num_threads())


def _use(batches: Iterable[object]) -> None:
    deque(batches, maxlen=0)


def _epoch(split: Split, source: Source) -> None:
    rng = np.random.default_rng(0)
    _use(epoch(split, source, MOVED, batch_size=BATCH, rng=rng, device=torch.device("cpu")))


def _together(split: Split, views: np.ndarray) -> None:
    """Gather from [N, Q, H, W, C] as from one array of N Q images."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(split))
    flat = views.reshape(-1, *views.shape[2:])
    for start in range(0, len(split), BATCH):
        chosen = np.sort(order[start : start + BATCH])
        crops = Crops.draw(MOVED, len(chosen), rng, side=views.shape[2])
        raw, compressed = (np.empty((len(chosen), *views.shape[2:]), np.uint8) for _ in range(2))
        crops.take(split.images, chosen, out=raw)
        crops.take(flat, chosen * len(QUALITIES) + rng.integers(0, len(QUALITIES), len(chosen)), out=compressed)
