"""Compressed views are equal to Pillow's, for arrays and for files."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from fct.jpeg.arrays import roundtrip
from fct.splits.store import Originals, Split
from fct.splits.views import compress_split


def scene(seed, height, width, channels):
    """Return an image with parts of photographs: a flat area, an edge, a gradient and some noise."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width)[None, :, None] * np.linspace(1, 0.3, channels)
    image = np.broadcast_to(ramp, (height, width, channels)) + rng.normal(0, 6, (height, width, channels))
    image[height // 3 :, width // 2 :] = rng.integers(0, 256, channels)
    return np.clip(image, 0, 255).astype(np.uint8)


def picture(image):
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def by_pillow(image, quality):
    buffer = io.BytesIO()
    picture(image).save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def of_arrays(images):
    count = len(images)
    return Split("train", images, np.zeros(count, np.int64), np.full(count, 100), None)


def of_files(files, size, channels):
    """Return a split whose originals are encoded files. Its images are black, so that a test would notice their use."""
    bounds = np.cumsum([0, *map(len, files)])
    packed = Originals(np.frombuffer(b"".join(files), np.uint8), bounds[:-1], bounds[1:])
    count = len(files)
    black = np.zeros((count, size, size, channels), np.uint8)
    return Split("train", black, np.zeros(count, np.int64), np.full(count, 100), packed)


def png(image):
    buffer = io.BytesIO()
    picture(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [1, 30, 95])
def test_array_sources_are_compressed_as_pillow_does(channels, quality):
    """Images of array sources get the pixels of Pillow's `save(quality=...)`."""
    images = np.stack([scene(seed, 28, 28, channels) for seed in range(5)])
    expected = [np.asarray(by_pillow(image, quality)).reshape(image.shape) for image in images]
    np.testing.assert_array_equal(compress_split(of_arrays(images), quality, "4:2:0"), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_originals_are_compressed_at_their_native_size_and_then_resized(channels):
    """Files of many sizes are compressed, then resized to the model's size, with Pillow's pixels."""
    natives = [scene(seed, 40 + 7 * seed, 61 - 5 * seed, channels) for seed in range(6)]
    fitted = (ImageOps.fit(by_pillow(native, 25), (16, 16), Image.Resampling.BILINEAR) for native in natives)
    expected = [np.asarray(image).reshape(16, 16, channels) for image in fitted]
    split = of_files([png(native) for native in natives], 16, channels)
    np.testing.assert_array_equal(compress_split(split, 25, "4:2:0"), expected)


def test_subsampling_changes_what_colours_become():
    """4:4:4 keeps colours that 4:2:0 averages."""
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    coarse, fine = (compress_split(of_arrays(images), 90, subsampling) for subsampling in ("4:2:0", "4:4:4"))
    lost = [np.abs(views.astype(int) - images).mean() for views in (coarse, fine)]
    assert lost[0] > 2 * lost[1]


def test_views_are_written_to_out():
    """`out` is filled and returned, without another array for the result."""
    images = scene(0, 16, 16, 3)[None]
    out = np.zeros_like(images)
    assert compress_split(of_arrays(images), 10, "4:2:0", out=out) is out
    np.testing.assert_array_equal(out, compress_split(of_arrays(images), 10, "4:2:0"))


@pytest.fixture(scope="module")
def sources():
    """A split of arrays and a split of files, both of several chunks."""
    many = np.random.default_rng(0).integers(0, 256, (3000, 28, 28, 1), np.uint8)
    files = [png(scene(seed, 24 + seed % 9, 30, 3)) for seed in range(130)]
    return of_arrays(many), of_files(files, 16, 3)


def test_one_core_and_two_give_the_same_views(sources, monkeypatch):
    """The number of cores does not change the views or their order, for arrays and for files."""
    monkeypatch.setattr("fct.splits.views.CHUNK_BYTES", 1_000_000)
    for split in sources:
        views = []
        for cores in ("1", "2"):
            monkeypatch.setenv("LOKY_MAX_CPU_COUNT", cores)
            views.append(compress_split(split, 40, "4:2:0"))
        np.testing.assert_array_equal(*views)
        if split.originals is None:
            np.testing.assert_array_equal(views[0], roundtrip(split.images, 40, "4:2:0"))
        last = split.every(len(split) - 1)
        np.testing.assert_array_equal(compress_split(last, 40, "4:2:0"), views[0][:: len(split) - 1])
