"""Corruptions as in CIFAR-10-C (Hendrycks and Dietterich, ICLR 2019), with its five severities."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from fct.evaluate.codecs import Images, map_images


def noise(images: Images, deviation: float) -> Images:
    """Add Gaussian noise; its deviation is on the scale 0..1. Its seed comes from the pixels."""
    noisy = np.empty(images.shape, np.uint8)
    for index, image in enumerate(images):
        values = np.random.default_rng(zlib.crc32(image.tobytes())).normal(size=image.shape) * deviation
        noisy[index] = _to_pixels(image / 255 + values)
    return noisy


def blur(images: Images, deviation: float) -> Images:
    """Blur by a Gaussian; its deviation is in pixels."""
    from scipy.ndimage import gaussian_filter

    return _to_pixels(gaussian_filter(images / 255, (0, deviation, deviation, 0), mode="nearest", truncate=4))


def contrast(images: Images, factor: float) -> Images:
    """Multiply the differences from each image's mean colour by `factor`."""
    scaled = images / 255
    mean = scaled.mean((1, 2), keepdims=True)
    return _to_pixels((scaled - mean) * factor + mean)


def pixelate(images: Images, scale: float) -> Images:
    """Scale down by the factor `scale`, and up again to squares of one colour."""
    from PIL import Image

    def distort_one(image: Images) -> Images:
        height, width, channels = image.shape
        whole = Image.fromarray(image[..., 0] if channels == 1 else image)
        small = whole.resize((max(1, int(width * scale)), max(1, int(height * scale))), Image.Resampling.BOX)
        return np.asarray(small.resize((width, height), Image.Resampling.NEAREST)).reshape(image.shape)

    return map_images(distort_one, images)


def _to_pixels(values: NDArray[np.float64]) -> Images:
    """Return values on the scale 0..1 as uint8 pixels."""
    return np.asarray(np.clip(values, 0, 1) * 255 + 0.5, np.uint8)
