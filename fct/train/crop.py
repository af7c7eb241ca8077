"""Random crops, flips and cutout of many images, in one pass over their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.jpeg.compiled import compiled


@dataclass(frozen=True)
class Augmentation:
    """Random shift by up to `padding` pixels over a black border, random horizontal flip, and cutout.

    Cutout: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017. A square,
    `cutout` pixels wide and high, is black. Its centre is anywhere in the image, so part of it may be outside.
    """

    padding: int
    flip: bool
    cutout: int = 0
    shared: bool = True  # whether both views of an image have the same crop, flip and square


@dataclass(frozen=True)
class Crops:
    """A random crop and flip for each image of a batch. All views of the image can share it."""

    top: NDArray[np.int64]  # [B], first row of the crop in the image; the border begins at -padding
    left: NDArray[np.int64]  # [B], first column
    flipped: NDArray[np.bool_]  # [B]

    @classmethod
    def draw(cls, augmentation: Augmentation, count: int, rng: np.random.Generator) -> Crops:
        """Draw crops and flips for `count` images."""
        reach = augmentation.padding
        top, left = rng.integers(-reach, reach + 1, (2, count))
        return cls(top, left, rng.random(count) < 0.5 if augmentation.flip else np.zeros(count, np.bool_))

    def take(
        self,
        images: NDArray[np.uint8],
        rows: NDArray[np.int64],
        *,
        out: NDArray[np.uint8],
        places: NDArray[np.int64] | None = None,
    ) -> None:
        """Crop and flip some of the images [N, H, W, C], and write them into a batch [B, H, W, C].

        Args:
            images: the source. Of a memory-mapped array only the needed pages are read.
            rows: indices of the images to take, [M].
            out: the batch, C-contiguous.
            places: index in the batch of each taken image, [M]; 0 to M - 1 by default. It also selects the crop.
        """
        places = np.arange(len(rows)) if places is None else places
        *_, width, channels = images.shape
        source = _flatten_rows(np.asarray(images))
        source.flags.writeable = False  # the type of memory-mapped arrays: numba compiles for one type only
        _crop(source, rows, _flatten_rows(out), places, self.top, self.left, self.flipped, width, channels)


def cutout_mask(augmentation: Augmentation, shape: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a square for each of B images. Return a mask of `shape`, [B, H, W]: false inside the square."""
    count, *lengths = shape
    inside = []
    for length in lengths:
        first = rng.integers(0, length, (count, 1)) - augmentation.cutout // 2
        inside.append((first <= np.arange(length)) & (np.arange(length) < first + augmentation.cutout))
    mask: NDArray[np.bool_] = ~(inside[0][:, :, None] & inside[1][:, None, :])
    return mask


def _flatten_rows(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images [N, H, W, C] as [N, H, W * C], without a copy."""
    rows: NDArray[np.uint8] = images.reshape(*images.shape[:2], -1)
    return rows


@compiled
def _crop(  # noqa: PLR0913, PLR0917  # compiled code takes only arrays and numbers
    source: Any, rows: Any, out: Any, places: Any, top: Any, left: Any, flipped: Any, width: int, channels: int
) -> None:
    height = source.shape[1]
    for row, place in zip(rows, places):  # noqa: B905  # numba does not support strict
        begin, end = max(0, -left[place]), min(width, width - left[place])  # columns inside the image
        for y in range(height):
            from_y = y + top[place]
            for x in range(width * channels):
                out[place, y, x] = 0
            if 0 <= from_y < height and flipped[place]:
                for x in range(begin, end):
                    for channel in range(channels):
                        to = (width - 1 - x) * channels + channel
                        out[place, y, to] = source[row, from_y, (x + left[place]) * channels + channel]
            elif 0 <= from_y < height:
                shift = left[place] * channels
                for x in range(begin * channels, end * channels):
                    out[place, y, x] = source[row, from_y, x + shift]
