"""Random crops, flips and blackened squares of many images, in one pass over their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fct.jpeg.compiled import compiled


@dataclass(frozen=True)
class Augmentation:
    """Random shift by up to `padding` pixels over a black border, random horizontal flip, and a square cut out.

    The square is that of DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout",
    2017: `cutout` pixels wide and high, its centre anywhere in the image, so that it may lie partly outside.
    """

    padding: int
    flip: bool
    cutout: int = 0
    shared: bool = True  # whether both views of an image have the same


@dataclass(frozen=True)
class Crops:
    """One drawn crop and flip for each image of a batch, applied alike to all its views."""

    top: NDArray[np.int64]  # [B], of the crop in the image, whose border begins at -padding
    left: NDArray[np.int64]  # [B]
    flipped: NDArray[np.bool_]  # [B]

    @classmethod
    def draw(cls, augmentation: Augmentation, count: int, rng: np.random.Generator) -> Crops:
        """Draw for `count` images."""
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
        """Put images of [N, H, W, C] into a batch [B, H, W, C], each with the crop and flip of its place there.

        Args:
            images: to take from; memory-mapped ones are read where they are needed.
            rows: which of them, [M].
            out: the batch, C-contiguous.
            places: where in it each goes, [M]; in order where absent.
        """
        places = np.arange(len(rows)) if places is None else places
        *_, width, channels = images.shape
        source = _in_lines(np.asarray(images))
        source.flags.writeable = False  # as memory-mapped ones are: one type, one compilation
        _crop(source, rows, _in_lines(out), places, self.top, self.left, self.flipped, width, channels)


def cutout_mask(augmentation: Augmentation, shape: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a square for each of B images; return where they are kept, [B, H, W] of that shape."""
    count, *lengths = shape
    inside = []
    for length in lengths:
        first = rng.integers(0, length, (count, 1)) - augmentation.cutout // 2
        inside.append((first <= np.arange(length)) & (np.arange(length) < first + augmentation.cutout))
    kept: NDArray[np.bool_] = ~(inside[0][:, :, None] & inside[1][:, None, :])
    return kept


def _in_lines(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return [N, H, W C], a view."""
    lines: NDArray[np.uint8] = images.reshape(*images.shape[:2], -1)
    return lines


@compiled
def _crop(  # noqa: PLR0913, PLR0917  # compiled: arrays and numbers alone
    source: Any, rows: Any, out: Any, places: Any, top: Any, left: Any, flipped: Any, width: int, channels: int
) -> None:
    height = source.shape[1]
    for row, place in zip(rows, places):  # noqa: B905  # numba knows no strict
        begin, end = max(0, -left[place]), min(width, width - left[place])  # columns that are not border
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
