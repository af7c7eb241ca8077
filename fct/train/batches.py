"""Paired batches: each image raw, and compressed at a random quality, under one crop and flip or each its own.

Compressed views have two sources, and with them cropping and compressing have two orders. From the cache, images were
compressed whole, so that the crop shifts JPEG's 8x8 grid; online, the crop comes first, and the grid is aligned with
the image, as it is at test time.

Whole arrays go in and come out; nothing is done image by image in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fct import jpeg
from fct.methods.batch import Batch
from fct.models.device import move_to, to_device
from fct.splits.store import Split, drop_pages
from fct.train.crop import Augmentation, Crops, cutout_mask

Images = NDArray[np.uint8]  # [N, H, W, C]
KEPT = 1 << 30  # bytes of images and views that may stay mapped; the pages of more are let go of after each batch
UPLOADED = 512  # images copied to a GPU at a time


class Draw(NamedTuple):
    """What was drawn for a batch."""

    rows: NDArray[np.int64]  # [B], images of the split
    quality: NDArray[np.int64]  # [B], of the compressed views
    crops: Crops


class Source(Protocol):
    """Where compressed views come from."""

    name: ClassVar[str]  # for people
    order: ClassVar[str]  # of cropping and compressing: what decides the pixels

    @property
    def qualities(self) -> tuple[int, ...]:
        """The trained qualities."""

    def views(self, split: Split, draw: Draw, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the raw and the compressed views of a batch, each uint8 [B, C, H, W] on `device`."""

    def raw_views(self, split: Split, draw: Draw, device: torch.device) -> Tensor:
        """Return the raw views alone."""

    def every(self, step: int) -> Source:
        """Return the source of every `step`-th image of the split. Nothing is read."""


@dataclass(frozen=True)
class Cached:
    """Compressed views from the cache: a uint8 [N, H, W, C] array for each quality."""

    name: ClassVar[str] = "the cache"
    order: ClassVar[str] = "compress, crop"

    cache: Mapping[int, Images]

    @property
    def qualities(self) -> tuple[int, ...]:
        """The trained qualities."""
        return tuple(self.cache)

    def views(self, split: Split, draw: Draw, device: torch.device) -> tuple[Tensor, Tensor]:
        """Read both views of each image: one pass for each quality, not one for each image."""
        raw = _cropped(split, draw)
        compressed = np.empty_like(raw)
        for quality in np.unique(draw.quality):
            places = np.flatnonzero(draw.quality == quality)
            draw.crops.take(self.cache[int(quality)], draw.rows[places], out=compressed, places=places)
        return to_device(raw, device), to_device(compressed, device)

    def raw_views(self, split: Split, draw: Draw, device: torch.device) -> Tensor:
        """Read the raw view of each image."""
        return to_device(_cropped(split, draw), device)

    def every(self, step: int) -> Cached:
        """Return the source of every `step`-th image of the split."""
        return Cached({quality: images[::step] for quality, images in self.cache.items()})


@dataclass(frozen=True)
class Online:
    """Compressed views made from the raw ones, after the crop."""

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
        return to_device(_cropped(split, draw), device)

    def every(self, step: int) -> Online:  # noqa: ARG002  # of the protocol
        """Return the source of every `step`-th image of the split."""
        return self


@dataclass(frozen=True)
class Resident:
    """The cache in the device's own memory, where a batch is gathered without the host."""

    name: ClassVar[str] = "the cache, in the GPU's memory"
    order: ClassVar[str] = Cached.order

    raw: Tensor  # uint8 [N, H, W, C]
    cache: Tensor  # uint8 [Q, N, H, W, C]
    qualities: tuple[int, ...]

    @classmethod
    def upload(cls, split: Split, cached: Cached, device: torch.device) -> Resident:
        """Copy raw images and views to `device`."""
        sources = [split.images, *cached.cache.values()]
        both = torch.empty((len(sources), *split.images.shape), dtype=torch.uint8, device=device)
        for target, images in zip(both, sources, strict=True):
            for start in range(0, len(images), UPLOADED):
                target[start : start + UPLOADED] = torch.from_numpy(np.array(images[start : start + UPLOADED]))
                drop_pages(images)
        return cls(both[0], both[1:], cached.qualities)

    def views(self, split: Split, draw: Draw, device: torch.device) -> tuple[Tensor, Tensor]:
        """Gather both views of each image."""
        rows, which = move_to(draw.rows, device), move_to(np.searchsorted(self.qualities, draw.quality), device)
        return self.raw_views(split, draw, device), _crop_on(self.cache[which, rows], draw.crops)

    def raw_views(self, split: Split, draw: Draw, device: torch.device) -> Tensor:  # noqa: ARG002
        """Gather the raw view of each image."""
        return _crop_on(self.raw[move_to(draw.rows, device)], draw.crops)

    def every(self, step: int) -> Resident:
        """Return the source of every `step`-th image of the split."""
        return Resident(self.raw[::step], self.cache[:, ::step], self.qualities)


def epoch(  # noqa: PLR0913  # each is a choice of its own
    split: Split,
    source: Source,
    augmentation: Augmentation,
    *,
    batch_size: int,
    rng: np.random.Generator,
    device: torch.device,
    probabilities: NDArray[np.float64] | None = None,
) -> Iterator[Batch]:
    """Yield images of `split`, none twice, in random order, beside a view compressed at a random quality.

    Qualities are drawn with `probabilities`, or all alike. Batches are full, but for one that holds a whole split
    smaller than `batch_size`; what remains, fewer images than a batch, has its turn in another epoch.
    """
    batch_size = min(batch_size, len(split))
    order = rng.permutation(len(split))
    maps = [split.images, *(source.cache.values() if isinstance(source, Cached) else ())]
    large = sum(images.nbytes for images in maps) > KEPT
    for start in range(0, len(split) - batch_size + 1, batch_size):
        rows = np.sort(order[start : start + batch_size])  # ascending: memory-mapped pages are read in order
        crops = Crops.draw(augmentation, batch_size, rng)
        draw = Draw(rows, rng.choice(np.array(source.qualities, np.int64), batch_size, p=probabilities), crops)
        reference, compressed = _cut(augmentation, source.views(split, draw, device), rng)
        raw = reference
        if not augmentation.shared:
            own = draw._replace(crops=Crops.draw(augmentation, batch_size, rng))
            (raw,) = _cut(augmentation, [source.raw_views(split, own, device)], rng)
        yield Batch(
            raw=raw,
            raw_quality=move_to(split.quality[rows], device),
            compressed=compressed,
            quality=move_to(draw.quality, device),
            labels=move_to(split.labels[rows], device),
            reference=reference,
        )
        if large:
            drop_pages(*maps)  # a page may be one of 2 MiB: where the system caches files so, one image counts as that


def _cropped(split: Split, draw: Draw) -> Images:
    """Return the raw images of a batch, [B, H, W, C], cropped and flipped."""
    raw = np.empty((len(draw.rows), *split.images.shape[1:]), np.uint8)
    draw.crops.take(split.images, draw.rows, out=raw)
    return raw


def _cut(augmentation: Augmentation, views: Sequence[Tensor], rng: np.random.Generator) -> Sequence[Tensor]:
    """Return views of the same images, uint8 [B, C, H, W], with the same square of each cut out."""
    if not augmentation.cutout:
        return views
    count, _, height, width = views[0].shape
    kept = move_to(cutout_mask(augmentation, (count, height, width), rng), views[0].device)[:, None]
    return [view * kept for view in views]


def _crop_on(images: Tensor, crops: Crops) -> Tensor:
    """Return [B, H, W, C], cropped and flipped where they are, as [B, C, H, W] in channels-last memory."""
    count, height, width, _ = images.shape
    top, left, flipped = (move_to(each, images.device)[:, None] for each in (crops.top, crops.left, crops.flipped))
    x = torch.arange(width, device=images.device).expand(count, width)
    rows = top + torch.arange(height, device=images.device)  # [B, H], of the image; outside it is border
    columns = left + torch.where(flipped, x.flip(1), x)
    which = torch.arange(count, device=images.device)[:, None, None]
    taken = images[which, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    return (taken * inside[..., None]).permute(0, 3, 1, 2)
