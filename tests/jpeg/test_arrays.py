"""The round trip of arrays is equal to Pillow's, to the bit."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fct.jpeg.arrays import roundtrip

SUBSAMPLINGS = ["4:2:0", "4:2:2", "4:4:4"]
ALL = np.arange(1, 101)
BIG = [96, 224, 127, 251]  # 127 and 251 are primes


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_quality_is_pillows(by_pillow, drawn, kind, channels, subsampling):
    """Pixels are equal for qualities 1 to 100 in one batch, at an odd size."""
    images = drawn(kind, 100, 33, 27, channels)
    np.testing.assert_array_equal(roundtrip(images, ALL, subsampling), by_pillow(images, ALL, subsampling))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_is_pillows(by_pillow, drawn, kind, channels, subsampling):
    """Pixels are equal for heights and widths from 1 to 65, in random pairs and as squares."""
    partners = np.random.default_rng(1).integers(1, 66, (65, 2))
    for size, (height, width) in enumerate(partners, start=1):
        for shape in [(height, size), (size, width), (size, size)]:
            images = drawn(kind, 1, *shape, channels, seed=size)
            quality = 1 + (13 * size) % 100
            np.testing.assert_array_equal(
                roundtrip(images, quality, subsampling), by_pillow(images, quality, subsampling), err_msg=str(shape)
            )


@pytest.mark.parametrize("size", BIG)
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
def test_large_images_are_pillows(by_pillow, drawn, kind, size, subsampling):
    """Pixels are equal at sizes of many blocks, some of which are primes."""
    for quality in (5, 50, 95):
        images = drawn(kind, 1, size, size + 3, 3)
        np.testing.assert_array_equal(roundtrip(images, quality, subsampling), by_pillow(images, quality, subsampling))


@settings(max_examples=300)
@given(
    pixels=st.binary(min_size=1, max_size=400),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    quality=st.integers(1, 100),
    subsampling=st.sampled_from(SUBSAMPLINGS),
)
def test_any_pixels_are_pillows(by_pillow, pixels, height, width, channels, quality, subsampling):
    """Pixels are equal for any pixels, size, quality and subsampling."""
    shape = (1, height, width, channels)
    images = np.resize(np.frombuffer(pixels, np.uint8), shape)
    np.testing.assert_array_equal(roundtrip(images, quality, subsampling), by_pillow(images, quality, subsampling))


def test_real_photographs_are_pillows(by_pillow):
    """Pixels are equal for two photographs, whole and in thumbnails."""
    from sklearn.datasets import load_sample_images

    for photograph in load_sample_images().images:
        pieces = np.stack([photograph[y : y + 61, x : x + 64] for y in range(0, 360, 61) for x in range(0, 576, 64)])
        for subsampling in SUBSAMPLINGS:
            for images in (photograph[None], pieces):
                quality = np.linspace(1, 100, len(images)).astype(int)
                expected = by_pillow(images, quality, subsampling)
                np.testing.assert_array_equal(roundtrip(images, quality, subsampling), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_planes_give_the_same_as_pixels(drawn, channels):
    """[N, C, H, W] is the transposed [N, H, W, C]."""
    images = drawn("noise", 20, 19, 30, channels)
    planes = roundtrip(images.transpose(0, 3, 1, 2), 30, "4:2:0", planar=True)
    np.testing.assert_array_equal(planes, roundtrip(images, 30, "4:2:0").transpose(0, 3, 1, 2))


def test_threads_change_nothing(drawn):
    """Any number of threads gives the same pixels, even more threads than images."""
    images = drawn("noise", 7, 16, 16, 3)
    alone = roundtrip(images, 30, "4:2:0")
    for threads in (2, 3, 20):
        np.testing.assert_array_equal(roundtrip(images, 30, "4:2:0", threads=threads), alone)


def test_simultaneous_calls_are_independent(drawn):
    """Each of many simultaneous calls returns the result of its own images."""
    batches = [drawn("noise", 3, 24, 24, 3, seed=seed) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda batch: roundtrip(batch, 20, "4:2:0", threads=2), batches))
    for batch, result in zip(batches, results, strict=True):
        np.testing.assert_array_equal(result, roundtrip(batch, 20, "4:2:0"))


def test_the_result_is_written_to_out(drawn, tmp_path):
    """`out` can be part of a memory-mapped file, and the rest of the file does not change."""
    images = drawn("noise", 4, 8, 8, 3)
    out = np.lib.format.open_memmap(tmp_path / "views.npy", "w+", np.uint8, (6, 8, 8, 3))
    roundtrip(images, 50, "4:2:0", out=out[1:5])
    np.testing.assert_array_equal(out[1:5], roundtrip(images, 50, "4:2:0"))
    assert not out[0].any()
    assert not out[5].any()


def test_images_stay_as_they_are(drawn):
    """The round trip does not change its input, and leaves it writeable."""
    images = drawn("noise", 2, 8, 8, 3)
    before = images.copy()
    roundtrip(images, 10, "4:2:0")
    np.testing.assert_array_equal(images, before)
    assert images.flags.writeable


def test_no_images_are_no_error():
    """An empty batch gives an empty batch."""
    assert roundtrip(np.empty((0, 8, 8, 3), np.uint8), 50, "4:2:0").shape == (0, 8, 8, 3)


@pytest.mark.parametrize(
    ("shape", "quality", "subsampling", "message"),
    [
        ((1, 8, 8, 2), 50, "4:2:0", r"images have shape \[1, 8, 8, 2\]; in \[N, H, W, C\], C is 1 or 3"),
        ((1, 0, 8, 3), 50, "4:2:0", "H and W are 1 to 65,500"),
        ((1, 65_501, 1, 1), 50, "4:2:0", "H and W are 1 to 65,500"),
        ((8, 8, 3), 50, "4:2:0", r"images have shape \[8, 8, 3\]; a batch is \[N, H, W, C\]"),
        ((1, 8, 8, 3), 0, "4:2:0", "quality is 0; it is an integer from 1 to 100"),
        ((1, 8, 8, 3), 101, "4:2:0", "quality is 101; it is an integer from 1 to 100"),
        ((2, 8, 8, 3), np.array([50, -3]), "4:2:0", "quality is -3; it is an integer from 1 to 100"),
        ((2, 8, 8, 3), np.array([50]), "4:2:0", r"quality has shape \[1\]; .* one for each of 2"),
        ((1, 8, 8, 3), 50.5, "4:2:0", "quality is of type float64; it is an integer"),
        ((1, 8, 8, 3), 50, "4:1:1", "subsampling is '4:1:1'; it is one of 4:2:0, 4:2:2, 4:4:4"),
    ],
)
def test_unsupported_arguments_are_an_error(shape, quality, subsampling, message):
    """The error for an unsupported shape, quality or subsampling has its value."""
    with pytest.raises(ValueError, match=message):
        roundtrip(np.zeros(shape, np.uint8), quality, subsampling)


def test_images_of_another_type_are_refused():
    """Images of floats or wider integers are an error."""
    with pytest.raises(ValueError, match="images are float32; the round trip takes uint8"):
        roundtrip(np.zeros((1, 8, 8, 3), np.float32), 50, "4:2:0")


@pytest.mark.parametrize(
    "out",
    [np.zeros((2, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.int8), np.zeros((1, 8, 8, 6), np.uint8)[..., ::2]],
)
def test_an_out_that_does_not_fit_is_refused(out):
    """An `out` of another shape or type, or with gaps, is an error."""
    with pytest.raises(ValueError, match=r"out is .*; it takes C-contiguous uint8 \[1, 8, 8, 3\]"):
        roundtrip(np.zeros((1, 8, 8, 3), np.uint8), 50, "4:2:0", out=out)


def test_the_round_trip_of_arrays_does_not_import_torch():
    """The round trip of arrays and its compiled kernel never import torch."""
    code = "import sys, numpy as np; from fct.jpeg.arrays import roundtrip; "
    code += "roundtrip(np.zeros((1, 8, 8, 3), np.uint8), 50, '4:2:0'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_threads_give_each_image_its_own_quality(drawn):
    """With several threads, each image is compressed at its own quality."""
    images, quality = drawn("noise", 7, 16, 16, 3), np.array([5, 95, 20, 80, 35, 65, 50])
    alone = roundtrip(images, quality, "4:2:0")
    for threads in (2, 3, 20):
        np.testing.assert_array_equal(roundtrip(images, quality, "4:2:0", threads=threads), alone)
