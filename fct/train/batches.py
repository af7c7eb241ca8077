"""Paired batches: whole arrays in, whole arrays out, nothing done image by image in Python.

Two orders of cropping and compressing exist. From the cache, images are compressed whole and the crop shifts JPEG's 8x8
grid; online, the crop comes first, and the grid is aligned with the image as it is at test time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from fct.data.store import Split
from fct.jpeg.codec import roundtrip
from fct.methods.batch import Batch

Images = NDArray[np.uint8]  # [B, H, W, C]


@dataclass(frozen=True)
class Cached:
    """Compressed views from the cache: a uint8 [N, H, W, C] array for each quality."""

    views: Mapping[int, Images]


@dataclass(frozen=True)
class Online:
    """Compressed views made while training runs, after the crop."""

    qualities: tuple[int, ...]
    subsampling: str


@dataclass(frozen=True)
class Augmentation:
    """Random shift by up to `padding` pixels over a black border, and random horizontal flip."""

    padding: int
    flip: bool


@dataclass(frozen=True)
class Transform:
    """One drawn crop and flip for each image of a batch, applied alike to all its views."""

    rows: NDArray[np.intp]  # [B, H], which row of the padded image each row comes from
    columns: NDArray[np.intp]  # [B, W]
    padding: int

    @classmethod
    def draw(cls, augmentation: Augmentation, shape: tuple[int, ...], rng: np.random.Generator) -> Transform:
        """Draw for a batch of shape [B, H, W, C]."""
        count, height, width, _ = shape
        top, left = rng.integers(0, 2 * augmentation.padding + 1, (2, count, 1))
        columns = left + np.arange(width)
        if augmentation.flip:
            columns = np.where(rng.random((count, 1)) < 0.5, columns[:, ::-1], columns)
        return cls(top + np.arange(height), columns, augmentation.padding)

    def __call__(self, images: Images) -> Images:
        """Return the cropped and flipped images, in the shape they came in."""
        border = (self.padding, self.padding)
        padded = np.pad(images, ((0, 0), border, border, (0, 0)))
        which = np.arange(len(images))[:, None, None]
        cropped: Images = padded[which, self.rows[:, :, None], self.columns[:, None, :]]
        return cropped


def epoch(  # noqa: PLR0913  # each is a choice of its own
    split: Split,
    source: Cached | Online,
    augmentation: Augmentation,
    *,
    batch_size: int,
    rng: np.random.Generator,
    device: torch.device,
) -> Iterator[Batch]:
    """Yield every image of `split` once, in random order, beside a view compressed at a random quality.

    Batches are full, but for one that holds a whole split smaller than `batch_size`.
    """
    order = rng.permutation(len(split))
    batch_size = min(batch_size, len(split))
    for start in range(0, len(split) - batch_size + 1, batch_size):
        chosen = np.sort(order[start : start + batch_size])  # ascending: memory-mapped pages are read in order
        raw = split.images[chosen]
        transform = Transform.draw(augmentation, raw.shape, rng)
        quality = rng.choice(_qualities(source), len(chosen))
        cropped = transform(raw)
        compressed = (
            transform(_gather(source.views, chosen, quality))
            if isinstance(source, Cached)
            else _compress(cropped, quality, source.subsampling)
        )
        yield Batch(
            raw=to_device(cropped, device),
            raw_quality=torch.from_numpy(split.quality[chosen]).to(device),
            compressed=to_device(compressed, device),
            quality=torch.from_numpy(quality).to(device),
            labels=torch.from_numpy(split.labels[chosen]).to(device),
        )


def to_device(images: Images, device: torch.device) -> torch.Tensor:
    """Return uint8 [B, H, W, C] pixels as a tensor [B, C, H, W] in channels-last memory: no byte moves on a CPU."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).to(device, non_blocking=True)


def _qualities(source: Cached | Online) -> NDArray[np.int64]:
    return np.array(list(source.views) if isinstance(source, Cached) else source.qualities, np.int64)


def _gather(views: Mapping[int, Images], chosen: NDArray[np.intp], quality: NDArray[np.int64]) -> Images:
    """Return for each chosen image its view at its quality: one read for each quality, not for each image."""
    first = next(iter(views.values()))
    gathered = np.empty((len(chosen), *first.shape[1:]), np.uint8)
    for value in np.unique(quality):
        here = np.flatnonzero(quality == value)
        gathered[here] = views[int(value)][chosen[here]]
    return gathered


def _compress(images: Images, quality: NDArray[np.int64], subsampling: str) -> Images:
    """Compress each image at its own quality; the codec works outside the interpreter lock."""
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(partial(roundtrip, subsampling=subsampling), images, quality.tolist())))
