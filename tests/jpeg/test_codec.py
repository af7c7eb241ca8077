"""The codec gives what Pillow gives, to the bit."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fct.core.errors import FctError
from fct.jpeg.codec import encode, roundtrip

PILLOW_SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def by_pillow(image, quality, subsampling):
    buffer = io.BytesIO()
    pixels = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    pixels.save(buffer, "JPEG", quality=quality, subsampling=PILLOW_SUBSAMPLING[subsampling])
    return np.asarray(Image.open(buffer)).reshape(image.shape)


def scene(seed, height, width, channels):
    """A gradient with noise: both flat and busy blocks."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, height * width * channels).reshape(height, width, channels)
    return np.clip(ramp + rng.normal(0, 40, ramp.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_quality_is_pillows(channels):
    """Qualities 1 to 100 give Pillow's pixels at an odd size."""
    image = scene(0, 33, 27, channels)
    differing = [q for q in range(1, 101) if (roundtrip(image, q, "4:2:0") != by_pillow(image, q, "4:2:0")).any()]
    assert differing == []


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 1000),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.sampled_from([1, 3]),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from(sorted(PILLOW_SUBSAMPLING)),
)
def test_every_size_and_subsampling_is_pillows(seed, height, width, channels, quality, subsampling):
    """Any size, channel count and subsampling gives Pillow's pixels."""
    image = scene(seed, height, width, channels)
    np.testing.assert_array_equal(
        roundtrip(image, quality, subsampling), by_pillow(image, quality, subsampling), strict=True
    )


def test_an_encoded_file_is_a_jpeg_that_others_read():
    """What `encode` returns opens in Pillow as a JPEG of the same size."""
    assert Image.open(io.BytesIO(encode(scene(0, 20, 30, 3), 50, "4:2:0"))).size == (30, 20)


@pytest.mark.parametrize("shape", [(8, 8, 2), (0, 8, 3), (8, 0, 1), (65_501, 1, 1)])
def test_shapes_that_no_jpeg_holds_are_refused(shape):
    """Two channels, an empty side or a side beyond libjpeg's limit is an error that shows the shape."""
    with pytest.raises(FctError, match="does not fit a JPEG"):
        encode(np.zeros(shape, np.uint8), 50, "4:2:0")
