"""Scale and crop an image of any size to the square that a model takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fct.images.decode import MOST_PIXELS, UnusableImage, resize

Pixels = NDArray[np.uint8]  # [H, W, C], C 1 or 3
Scale = Callable[[Pixels, tuple[int, int]], Pixels]  # scales an image to (height, width)
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]  # Pillow's


@dataclass(frozen=True)
class Fit:
    """How an image of any size becomes a square of `size` pixels.

    By default the centre square is cropped first and then scaled, as this project's models are trained. Most published
    models want the image scaled first, until its shorter side has `shorter` pixels, and then cropped in the centre
    (torchvision: 256, then 224). With `stretch`, both sides are scaled to `size` and nothing is cropped (Keras).
    """

    size: int  # height and width of the result
    shorter: int | None = None  # pixels, at least `size`
    stretch: bool = False
    interpolation: Interpolation = "bilinear"

    def __call__(self, image: Pixels) -> Pixels:
        """Return `image` as uint8 [size, size, C].

        Raises:
            UnusableImage: the image is so long and narrow that, scaled, it would be too large.
        """
        if self == Fit(self.size):
            return resize(image, self.size)
        return self.scale_and_crop(image, lambda pixels, shape: pillow_scale(pixels, shape, self.interpolation))

    def scale_and_crop(self, image: Pixels, scale: Scale) -> Pixels:
        """Return `image` as uint8 [size, size, C]: scaled by the function `scale`, then cropped in its centre.

        Raises:
            UnusableImage: the image is so long and narrow that, scaled, it would be too large.
        """
        height, width = scaled = self._scaled_shape(image)
        if scaled != image.shape[:2]:
            if height * width > MOST_PIXELS:
                raise UnusableImage(
                    f"too long and narrow: {image.shape[1]:,} x {image.shape[0]:,} pixels would be scaled to "
                    f"{width:,} x {height:,}, and then cropped; crop it"
                )
            image = scale(image, scaled)
        top, left = round((height - self.size) / 2), round((width - self.size) / 2)
        return np.ascontiguousarray(image[top : top + self.size, left : left + self.size])

    def _scaled_shape(self, image: Pixels) -> tuple[int, int]:
        """Return the height and width to which the image is scaled before the crop."""
        if self.stretch:
            return self.size, self.size
        height, width = image.shape[:2]
        shorter = self.shorter or self.size
        return max(shorter, shorter * height // width), max(shorter, shorter * width // height)


def pillow_scale(image: Pixels, shape: tuple[int, int], interpolation: Interpolation) -> Pixels:
    """Return `image`, uint8 [H, W, C], scaled to `shape`, (height, width), by Pillow."""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    scaled = picture.resize(shape[::-1], Image.Resampling[interpolation.upper()])
    return np.asarray(scaled).reshape(*shape, image.shape[2])
