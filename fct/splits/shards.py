"""Images in several arrays: the shards of a cache, each a memory-mapped file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class Shards:
    """Images [N, H, W, C] in several arrays, one after the other.

    It reads like an array: `images[3]`, `images[::2]`, `images[rows]`, `np.array(images)`.
    """

    arrays: tuple[NDArray[np.uint8], ...]  # each [n, H, W, C]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Index of the first image of each array, and of the end, [number of arrays + 1]."""
        return np.cumsum([0, *map(len, self.arrays)])

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, H, W, C]."""
        return (len(self), *self.arrays[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """The type of a pixel."""
        return self.arrays[0].dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels."""
        return sum(array.nbytes for array in self.arrays)

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self.starts[-1])

    @overload
    def __getitem__(self, index: slice) -> Shards: ...
    @overload
    def __getitem__(self, index: int | np.integer | NDArray[np.integer]) -> NDArray[np.uint8]: ...
    def __getitem__(self, index: slice | int | np.integer | NDArray[np.integer]) -> Shards | NDArray[np.uint8]:
        """Return one image or a slice of them without reading any, or a copy of the images at indices."""
        if isinstance(index, slice):
            return self._slice(range(len(self))[index])
        if isinstance(index, int | np.integer):
            place = range(len(self))[int(index)]  # counts from the end if it is negative
            shard = int(np.searchsorted(self.starts, place, "right")) - 1
            image: NDArray[np.uint8] = self.arrays[shard][place - self.starts[shard]]
            return image
        images = np.empty((len(index), *self.shape[1:]), np.uint8)
        for array, rows, places in self.locate(index):
            images[places] = array[rows]
        return images

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[np.uint8]:  # noqa: FBT001  # numpy's
        """Return a copy of all images as one array."""
        if copy is False:
            raise ValueError("images in several shards are one array only as a copy.")
        return np.concatenate(self.arrays).astype(dtype or np.uint8, copy=False)

    def locate(
        self, rows: NDArray[np.integer]
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]]:
        """Yield each array that has some of the images `rows`, their indices in it, and their indices in `rows`.

        Raises:
            IndexError: there is no such image.
        """
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"there are images 0 to {len(self) - 1}, not {rows.min()} to {rows.max()}.")
        shards = np.searchsorted(self.starts, rows, "right") - 1
        for shard in np.unique(shards):
            places = np.flatnonzero(shards == shard)
            yield self.arrays[shard], np.asarray(rows)[places] - self.starts[shard], places

    def _slice(self, rows: range) -> Shards:
        if rows.step < 1:
            raise IndexError("a slice of shards needs a positive step.")
        parts = []
        for array, start in zip(self.arrays, self.starts.tolist(), strict=False):
            first = max(rows.start, start + (rows.start - start) % rows.step)
            parts.append(array[max(0, first - start) : max(0, rows.stop - start) : rows.step])
        return Shards(tuple(part for part in parts if len(part)) or (self.arrays[0][:0],))


Images = NDArray[np.uint8] | Shards  # [N, H, W, C]
