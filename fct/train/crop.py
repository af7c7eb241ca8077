"""Random crops, flips and cutout of many images, in one pass over their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fct.images.fit import pillow_scale
from fct.jpeg.compiled import compiled
from fct.models.device import move_to
from fct.splits.shards import Images, Shards
from fct.train.params import Policy, ResizedCrop, TrainParams

ATTEMPTS = 10  # boxes that are drawn until one lies inside the image


@dataclass(frozen=True)
class Augmentation:
    """Random shift by up to `padding` pixels over a black border, random horizontal flip, cutout, and more.

    In images that are larger than `size`, a crop can lie anywhere, and up to `padding` pixels beyond an edge.

    Cutout: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017. A square,
    `cutout` pixels wide and high, is black. Its centre is anywhere in the image, so part of it may be outside.
    """

    padding: int
    flip: bool
    cutout: int = 0
    shared: bool = True  # whether both views of an image have the same crop, flip and changes of pixels
    size: int | None = None  # pixels, height and width of a crop; None for those of the images
    resized_crop: ResizedCrop | None = None  # in place of the shift: a crop of random size and shape, scaled to `size`
    colour_jitter: float = 0.0  # strength of random brightness, contrast and saturation
    policy: Policy = "none"
    erasing: float = 0.0  # probability that a random box is black
    mixup: float = 0.0  # alpha of the Beta distribution of the share of another image; 0 for none
    cutmix: float = 0.0  # alpha of the Beta distribution of the area of a square from another image; 0 for none

    @classmethod
    def of(cls, params: TrainParams, size: int) -> Augmentation:
        """Return the augmentation of the section `train` of params.yaml, for a model of images of `size` pixels."""
        return cls(
            params.crop_padding,
            params.flip,
            params.cutout,
            params.crops == "shared",
            size,
            params.resized_crop,
            params.colour_jitter,
            params.policy,
            params.erasing,
            params.mixup,
            params.cutmix,
        )


@dataclass(frozen=True)
class Crops:
    """A random crop and flip for each image of a batch. All views of the image can share it."""

    top: NDArray[np.int64]  # [B], first row of the crop in the image; the border begins at -padding
    left: NDArray[np.int64]  # [B], first column
    flipped: NDArray[np.bool_]  # [B]
    size: int  # pixels, height and width of the result
    height: NDArray[np.int64] | None = None  # [B], of the crop before it is scaled; None: it is not scaled
    width: NDArray[np.int64] | None = None  # [B]

    @classmethod
    def draw(cls, augmentation: Augmentation, count: int, rng: np.random.Generator, *, side: int) -> Crops:
        """Draw crops and flips for `count` images of `side` pixels."""
        reach, size, resized = augmentation.padding, augmentation.size or side, augmentation.resized_crop
        height = width = None
        if resized is None:
            top, left = rng.integers(-reach, side - size + reach + 1, (2, count))
        else:
            top, left, height, width = draw_boxes(count, side, resized.scale, resized.ratio, rng)
        flipped = rng.random(count) < 0.5 if augmentation.flip else np.zeros(count, np.bool_)
        return cls(top, left, flipped, size, height, width)

    def take(
        self,
        images: Images,
        rows: NDArray[np.int64],
        *,
        out: NDArray[np.uint8],
        places: NDArray[np.int64] | None = None,
    ) -> None:
        """Crop and flip some of the images [N, H, W, C], and write them into a batch [B, H, W, C].

        Args:
            images: the source. Of a memory-mapped array only the needed pages are read.
            rows: indices of the images to take, [M].
            out: the batch, C-contiguous, of crops of `size` pixels.
            places: index in the batch of each taken image, [M]; 0 to M - 1 by default. It also selects the crop.
        """
        places = np.arange(len(rows)) if places is None else places
        if isinstance(images, Shards):
            for array, inside, chosen in images.locate(rows):
                self.take(array, inside, out=out, places=places[chosen])
            return
        if self.height is not None and self.width is not None:
            self._take_scaled(images, rows, out, places, self.height, self.width)
            return
        channels = images.shape[3]
        source = _flatten_rows(np.asarray(images))
        source.flags.writeable = False  # the type of memory-mapped arrays: numba compiles for one type only
        _crop(source, rows, _flatten_rows(out), places, self.top, self.left, self.flipped, channels)

    def _take_scaled(  # noqa: PLR0913, PLR0917  # as `take`, and the sizes
        self,
        images: NDArray[np.uint8],
        rows: NDArray[np.int64],
        out: NDArray[np.uint8],
        places: NDArray[np.int64],
        height: NDArray[np.int64],
        width: NDArray[np.int64],
    ) -> None:
        """Scale with Pillow, which also scaled the images. This is faster than batches of matrix products."""
        for row, place in zip(rows, places, strict=True):
            top, left = self.top[place], self.left[place]
            box = images[row, top : top + height[place], left : left + width[place]]
            scaled = pillow_scale(box, (self.size, self.size), "bilinear")
            out[place] = scaled[:, ::-1] if self.flipped[place] else scaled

    def take_on(self, images: Tensor) -> Tensor:
        """Crop and flip images [B, H, W, C] on their device; return [B, C, H, W] in channels-last memory."""
        (count, height, width, _), size = images.shape, self.size
        top, left, flipped = (move_to(values, images.device)[:, None] for values in (self.top, self.left, self.flipped))
        x = torch.arange(size, device=images.device).expand(count, size)
        columns = torch.where(flipped, x.flip(1), x)
        if self.height is not None and self.width is not None:
            lengths = [move_to(values, images.device)[:, None] for values in (self.height, self.width)]
            by_row, by_column = _scaling(top, lengths[0], x, height), _scaling(left, lengths[1], columns, width)
            pixels = by_row[:, None] @ (images.permute(0, 3, 1, 2).float() @ by_column.transpose(1, 2)[:, None])
            return pixels.round().to(torch.uint8).contiguous(memory_format=torch.channels_last)
        rows, columns = top + x, left + columns  # [B, size], in the image; values outside the image are border
        image_index = torch.arange(count, device=images.device)[:, None, None]
        pixels = images[image_index, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
        inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
        return (pixels * inside[..., None]).permute(0, 3, 1, 2)


def _scaling(start: Tensor, length: Tensor, places: Tensor, side: int) -> Tensor:
    """Return the matrices, [B, size, side], that scale a part of each image along one side, bilinear and antialiased.

    Args:
        start: first pixel of the part, [B, 1].
        length: pixels of the part, [B, 1].
        places: places of the result, [B, size].
        side: pixels of the image.
    """
    step = length / places.shape[1]
    centre = (start + (places + 0.5) * step)[:, :, None]  # in the image
    pixels = torch.arange(side, device=start.device) + 0.5
    weights = (1 - (pixels - centre).abs() / step.clamp(min=1)[:, :, None]).clamp(min=0)
    weights = weights * ((pixels > start[:, :, None]) & (pixels < (start + length)[:, :, None]))
    return weights / weights.sum(2, keepdim=True)


def draw_boxes(
    count: int, side: int, scale: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draw a box inside each of `count` images of `side` pixels. Return top, left, height and width, each [count].

    Its area relative to the image is uniform in `scale`, and the logarithm of width / height is uniform between those
    of `ratio`, as in "Going Deeper with Convolutions" (Szegedy et al., 2015). A box that is too long for the image is
    drawn again, and after some attempts it is cut to the image.
    """
    area = side**2 * rng.uniform(*scale, (ATTEMPTS, count))
    shape = np.exp(rng.uniform(np.log(ratio[0]), np.log(ratio[1]), (ATTEMPTS, count)))
    lengths = np.maximum(np.sqrt([area / shape, area * shape]).round().astype(np.int64), 1)  # [2, ATTEMPTS, count]
    first = (lengths <= side).all(0).argmax(0)  # the first that fits, or the first one if none does
    height, width = np.minimum(lengths[:, first, np.arange(count)], side)
    return rng.integers(0, side - height + 1), rng.integers(0, side - width + 1), height, width


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
    source: Any, rows: Any, out: Any, places: Any, top: Any, left: Any, flipped: Any, channels: int
) -> None:
    height, width = source.shape[1], source.shape[2] // channels
    crop_height, crop_width = out.shape[1], out.shape[2] // channels
    for row, place in zip(rows, places):  # noqa: B905  # numba does not support strict
        begin, end = max(0, -left[place]), min(crop_width, width - left[place])  # columns inside the image
        for y in range(crop_height):
            from_y = y + top[place]
            for x in range(crop_width * channels):
                out[place, y, x] = 0
            if 0 <= from_y < height and flipped[place]:
                for x in range(begin, end):
                    for channel in range(channels):
                        to = (crop_width - 1 - x) * channels + channel
                        out[place, y, to] = source[row, from_y, (x + left[place]) * channels + channel]
            elif 0 <= from_y < height:
                shift = left[place] * channels
                for x in range(begin * channels, end * channels):
                    out[place, y, x] = source[row, from_y, x + shift]
