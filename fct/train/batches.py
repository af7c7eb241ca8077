"""Paired batches: each image raw and compressed at a random quality, with the same crop and flip or its own per view.

Compressed views have two sources. The cache compresses whole images, and the crop comes after: it shifts JPEG's 8x8
grid. Online, the crop comes first: the grid is aligned with the image, as at test time.

All operations take and return whole arrays. A Python loop runs over images only where crops are scaled on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fct import jpeg
from fct.methods.batch import Batch
from fct.models.device import move_to, to_device
from fct.splits.shards import Images
from fct.splits.store import Split, drop_pages
from fct.train.crop import Augmentation, Crops
from fct.train.pixels import Mix, change

MAPPED_LIMIT = 1 << 30  # bytes of images and views; above it, memory-mapped pages are dropped after each batch
UPLOAD_CHUNK = 512  # images copied to a GPU at a time


class Draw(NamedTuple):
    """The random choices of a batch."""

    rows: NDArray[np.int64]  # [B], of the images in the split
    quality: NDArray[np.int64]  # [B], of the compressed views
    crops: Crops


class Source(Protocol):
    """A source of compressed views."""

    name: ClassVar[str]  # for messages
    order: ClassVar[str]  # of crop and compression; it decides the pixels

    @property
    def qualities(self) -> tuple[int, ...]:
        """The trained qualities."""

    def views(self, split: Split, draw: Draw, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the raw and the compressed views of a batch, each uint8 [B, C, H, W] on `device`."""

    def raw_views(self, split: Split, draw: Draw, device: torch.device) -> Tensor:
        """Return the raw views alone."""

    def every(self, step: int) -> Source:
        """Return the source of every `step`-th image of the split, without reading any."""


@dataclass(frozen=True)
class Cached:
    """Compressed views from the cache: uint8 [N, H, W, C] for each quality."""

    name: ClassVar[str] = "the cache"
    order: ClassVar[str] = "compress, crop"

    cache: Mapping[int, Images]

    @property
    def qualities(self) -> tuple[int, ...]:
        """The trained qualities."""
        return tuple(self.cache)

    def views(self, split: Split, draw: Draw, device: torch.device) -> tuple[Tensor, Tensor]:
        """Read both views of each image, in one pass for each quality."""
        raw = _crop_raw(split, draw)
        compressed = np.empty_like(raw)
        for quality in np.unique(draw.quality):
            places = np.flatnonzero(draw.quality == quality)
            draw.crops.take(self.cache[int(quality)], draw.rows[places], out=compressed, places=places)
        return to_device(raw, device), to_device(compressed, device)

    def raw_views(self, split: Split, draw: Draw, device: torch.device) -> Tensor:
        """Read the raw view of each image."""
        return to_device(_crop_raw(split, draw), device)

    def every(self, step: int) -> Cached:
        """Return the source of every `step`-th image of the split."""
        return Cached({quality: images[::step] for quality, images in self.cache.items()})


@dataclass(frozen=True)
class Online:
    """Compressed views, made from the raw views after the crop."""

    name: ClassVar[str] = "online"
    order: ClassVar[str] = "crop, compress"

    qualities: tuple[int, ...]
    subsampling: str

    def views(self, split: Split, draw: Draw, device: torch.device) -> tuple[Tensor, Tensor]:
        """Read the raw view of each image and compress it on the device."""
        raw = self.raw_views(split, draw, device)
        return raw, jpeg.roundtrip(raw, torch.from_numpy(draw.quality), subsampling=self.subsampling)

    def raw_views(self, split: Split, draw: Draw, device: torch.device) -> Tensor:
        """Read the raw view of each image."""
        return to_device(_crop_raw(split, draw), device)

    def every(self, step: int) -> Online:  # noqa: ARG002  # required by Source
        """Return the source of every `step`-th image of the split."""
        return self


@dataclass(frozen=True)
class Resident:
    """The cache in the device's memory. The device gathers batches without the host."""

    name: ClassVar[str] = "the cache, in the GPU's memory"
    order: ClassVar[str] = Cached.order

    raw: Tensor  # uint8 [N, H, W, C]
    cache: Tensor  # uint8 [Q, N, H, W, C]
    qualities: tuple[int, ...]

    @classmethod
    def upload(cls, split: Split, cached: Cached, device: torch.device) -> Resident:
        """Copy raw images and views to `device`."""
        sources: list[Images] = [split.images, *cached.cache.values()]
        uploaded = torch.empty((len(sources), *split.images.shape), dtype=torch.uint8, device=device)
        for target, images in zip(uploaded, sources, strict=True):
            for start in range(0, len(images), UPLOAD_CHUNK):
                target[start : start + UPLOAD_CHUNK] = torch.from_numpy(np.array(images[start : start + UPLOAD_CHUNK]))
                drop_pages(images)
        return cls(uploaded[0], uploaded[1:], cached.qualities)

    def views(self, split: Split, draw: Draw, device: torch.device) -> tuple[Tensor, Tensor]:
        """Gather both views of each image."""
        rows = move_to(draw.rows, device)
        quality_index = move_to(np.searchsorted(self.qualities, draw.quality), device)
        return self.raw_views(split, draw, device), draw.crops.take_on(self.cache[quality_index, rows])

    def raw_views(self, split: Split, draw: Draw, device: torch.device) -> Tensor:  # noqa: ARG002
        """Gather the raw view of each image."""
        return draw.crops.take_on(self.raw[move_to(draw.rows, device)])

    def every(self, step: int) -> Resident:
        """Return the source of every `step`-th image of the split."""
        return Resident(self.raw[::step], self.cache[:, ::step], self.qualities)


def epoch(  # noqa: PLR0913  # independent choices
    split: Split,
    source: Source,
    augmentation: Augmentation,
    *,
    batch_size: int,
    rng: np.random.Generator,
    device: torch.device,
    weights: NDArray[np.float64] | None = None,
    probabilities: NDArray[np.float64] | None = None,
) -> Iterator[Batch]:
    """Yield batches of the images of `split` in random order, raw and compressed at a random quality.

    Each image appears once, or, with `weights` [N], as often as its weight makes likely. Qualities are drawn with
    `probabilities`, or uniformly without them. All batches are full; the remaining images are left out of this epoch. A
    split smaller than `batch_size` is one batch.
    """
    batch_size, side = min(batch_size, len(split)), split.images.shape[1]
    order = rng.permutation(len(split)) if weights is None else rng.choice(len(split), len(split), p=weights)
    arrays: list[Images] = [split.images, *(source.cache.values() if isinstance(source, Cached) else ())]
    is_large = sum(images.nbytes for images in arrays) > MAPPED_LIMIT
    for start in range(0, len(split) - batch_size + 1, batch_size):
        rows = np.sort(order[start : start + batch_size])  # ascending: memory-mapped pages are read in order
        crops = Crops.draw(augmentation, batch_size, rng, side=side)
        quality = rng.choice(np.array(source.qualities, np.int64), batch_size, p=probabilities)
        mix = Mix.draw(augmentation, batch_size, crops.size, rng)
        draw = Draw(rows, quality if mix is None else mix.share_quality(quality), crops)
        reference, compressed = change(augmentation, source.views(split, draw, device), rng)
        raw = reference
        if not augmentation.shared:
            own = draw._replace(crops=Crops.draw(augmentation, batch_size, rng, side=side))
            (raw,) = change(augmentation, [source.raw_views(split, own, device)], rng)
        batch = Batch(
            raw=raw,
            raw_quality=move_to(split.quality[rows], device),
            compressed=compressed,
            quality=move_to(draw.quality, device),
            labels=move_to(split.labels[rows], device),
            reference=reference,
        )
        yield batch if mix is None else mix.apply(batch)
        if is_large:
            drop_pages(*arrays)  # some systems map files in pages of 2 MiB, so one image keeps 2 MiB


def _crop_raw(split: Split, draw: Draw) -> NDArray[np.uint8]:
    """Return the raw images of a batch, [B, H, W, C], cropped and flipped."""
    size, channels = draw.crops.size, split.images.shape[3]
    raw = np.empty((len(draw.rows), size, size, channels), np.uint8)
    draw.crops.take(split.images, draw.rows, out=raw)
    return raw
