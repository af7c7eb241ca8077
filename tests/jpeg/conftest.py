"""Pillow's round trip as the reference, and images that are difficult for JPEG."""

import io

import numpy as np
import pytest
from PIL import Image

PILLOWS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


@pytest.fixture(scope="session")
def by_pillow():
    """Return a function that saves and opens each image of [N, H, W, C] as a JPEG."""

    def roundtrip(images, quality, subsampling):
        qualities = np.broadcast_to(quality, len(images)).tolist()
        return np.stack([_one(image, q, subsampling) for image, q in zip(images, qualities, strict=True)])

    return roundtrip


def _one(image, quality, subsampling):
    buffer = io.BytesIO()
    pixels = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    pixels.save(buffer, "JPEG", quality=quality, subsampling=PILLOWS[subsampling])
    return np.asarray(Image.open(buffer)).reshape(image.shape)


def _noise(rng, shape):
    return rng.integers(0, 256, shape)


def _extremes(rng, shape):
    return rng.integers(0, 2, shape) * 255


def _flat(rng, shape):
    return np.broadcast_to(rng.integers(0, 256, shape[2]), shape)


def _gradient(rng, shape):
    return np.linspace(0, 255, int(np.prod(shape))).reshape(shape) + rng.normal(0, 1, shape)


def _edges(rng, shape):
    """Saturated areas with borders inside blocks."""
    image = np.zeros(shape)
    for _ in range(3):
        top, left = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        image[top:, left:] = rng.choice([0, 255], shape[2])
    return image


KINDS = {"noise": _noise, "extremes": _extremes, "flat": _flat, "gradient": _gradient, "edges": _edges}


@pytest.fixture(scope="session")
def drawn():
    """Return a function that draws images [N, H, W, C] of a kind."""

    def draw(kind, count, height, width, channels, seed=0):
        rng = np.random.default_rng(seed)
        images = [KINDS[kind](rng, (height, width, channels)) for _ in range(count)]
        return np.clip(images, 0, 255).astype(np.uint8)

    return draw


@pytest.fixture(params=KINDS)
def kind(request):
    """Return each kind of image in turn."""
    return request.param
