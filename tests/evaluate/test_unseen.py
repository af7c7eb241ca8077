"""Distortions that training never shows: real codecs, steady results, severities in order."""

from typing import get_args

import numpy as np
import pytest

from fct.core.errors import FctError
from fct.evaluate.params import Unseen
from fct.evaluate.unseen import UNSEEN, distort, every
from fct.images.tables import UNKNOWN_QUALITY, estimate_quality
from fct.jpeg.arrays import roundtrip

FROM_MILD = ("noise", "blur", "contrast", "pixelate")  # their first severity is the mildest, as in CIFAR-10-C
IN_PLACE = [name for name, one in UNSEEN.items() if one.kind in ("codec", "corruption", "decoder", "colour")]
ORDERED = [name for name in IN_PLACE if name not in ("range", "bgr")]


@pytest.fixture(scope="module")
def images():
    """Six pieces of a photograph, 40 by 33 pixels."""
    from sklearn.datasets import load_sample_image

    photograph = load_sample_image("china.jpg")
    return np.stack([photograph[y : y + 40, x : x + 33] for y, x in [(0, 0), (100, 50), (150, 300)] for _ in range(2)])


def psnr(one, other):
    return 10 * np.log10(255**2 / ((one.astype(float) - other) ** 2).mean())


@pytest.mark.parametrize(
    ("name", "channels"),
    [*((name, 3) for name in IN_PLACE), *((name, 1) for name in IN_PLACE if not UNSEEN[name].colour)],
)
def test_shape_and_type_stay(images, name, channels):
    """RGB and grey images of odd sizes come back as they went in, changed."""
    given = images[..., :channels]
    done = distort(given, name, 1)
    assert (done.shape, done.dtype) == (given.shape, np.uint8)
    assert not np.array_equal(done, given)


@pytest.mark.parametrize("name", UNSEEN)
def test_an_image_comes_out_alike_whatever_lies_beside_it(images, name):
    """Distorting a part gives that part of the whole distorted, and twice the same."""
    severity = len(UNSEEN[name].levels)
    whole = distort(images, name, severity)
    assert np.array_equal(distort(images[2:5], name, severity), whole[2:5])


@pytest.mark.parametrize("name", ORDERED)
def test_severities_are_in_order(images, name):
    """Codecs lose less from level to level, corruptions take more."""
    losses = [psnr(distort(images, name, severity + 1), images) for severity in range(len(UNSEEN[name].levels))]
    assert losses == sorted(losses, reverse=name in FROM_MILD)


@pytest.mark.parametrize(
    ("codec", "magic"),
    [("webp", b"RIFF"), ("jpeg2k", b"\0\0\0\x0cjP  "), ("avif", b"\0\0\0 ftypavif"), ("jpegxl", b"\xff\x0a")],
)
def test_the_codec_is_the_one_it_says(images, monkeypatch, codec, magic):
    """What the decoder is given begins as a file of that format does."""
    import imagecodecs

    seen, decode = [], getattr(imagecodecs, f"{codec}_decode")
    monkeypatch.setattr(imagecodecs, f"{codec}_decode", lambda data: seen.append(bytes(data[:12])) or decode(data))
    distort(images[:1], {"jpeg2k": "jpeg2000"}.get(codec, codec), 1)
    assert seen[0].startswith(magic)


def test_an_off_grid_jpeg_has_its_blocks_elsewhere(images):
    """Its pixels differ from the plain JPEG's of the same quality, and lose about as much."""
    plain, shifted = roundtrip(images, 20, "4:2:0"), distort(images, "off-grid", 2)
    assert not np.array_equal(plain, shifted)
    assert psnr(shifted, images) == pytest.approx(psnr(plain, images), abs=1)


def test_4_4_4_keeps_colours_that_4_2_0_averages(images):
    """The chroma planes are not downsampled."""
    assert psnr(distort(images, "444", 1), images) > psnr(roundtrip(images, 10, "4:2:0"), images)


def test_contrast_moves_pixels_to_the_mean(images):
    """At level 0.5 each pixel lies half way between itself and its channel's mean."""
    done = distort(images, "contrast", 2)
    expected = images.mean((1, 2), keepdims=True) / 2 + images / 2
    assert np.abs(done - expected).max() <= 0.51


def test_noise_has_its_deviation():
    """On an even grey, severity 5 has a deviation of 0.10 of the range."""
    grey = np.full((2, 64, 64, 3), 128, np.uint8)
    assert distort(grey, "noise", 5).astype(float).std() == pytest.approx(25.5, rel=0.03)


def test_an_even_image_has_nothing_to_pixelate_or_blur():
    """Averages of equal pixels are those pixels."""
    grey = np.full((1, 32, 32, 3), 77, np.uint8)
    assert np.array_equal(distort(grey, "pixelate", 5), grey)
    assert np.array_equal(distort(grey, "blur", 5), grey)


def test_what_is_an_ordinary_jpeg_in_grey_is_left_out_there():
    """A grey image has no chroma: 4:4:4 and 4:2:0 are one."""
    assert {name for name, _, _ in every(3)} - {name for name, _, _ in every(1)} == {"444", "decode-plain", "bgr"}


def test_a_classifier_is_told_the_quality_of_the_last_jpeg():
    """Tables of the file say it: of a double JPEG the second's; what is no JPEG has none."""
    told = {(name, severity): quality for name, severity, quality in every(3)}
    assert (told["double", 1], told["444", 2], told["webp", 1], told["off-grid", 1]) == (
        50,
        20,
        UNKNOWN_QUALITY,
        UNKNOWN_QUALITY,
    )


@pytest.mark.parametrize(("name", "severity"), [("web", 1), ("webp", 0), ("webp", 4)])
def test_what_there_is_not_is_refused(images, name, severity):
    """Unknown distortions and severities are named, beside those there are."""
    with pytest.raises(FctError, match=r"Choose one of webp|severities 1 to 3"):
        distort(images, name, severity)


def test_every_distortion_can_be_asked_for():
    """params.yaml's evaluate.unseen takes exactly the distortions that there are."""
    assert get_args(Unseen) == tuple(UNSEEN)


@pytest.mark.parametrize("size", [32, 64])
def test_a_classifier_is_told_what_it_would_read_from_a_jpegli_file(size):
    """The quality of each level is the one that its tables are nearest to."""
    import pyjpegli
    from sklearn.datasets import load_sample_image

    image = load_sample_image("china.jpg")[:size, :size]
    distortion = UNSEEN["jpegli"]
    read = [estimate_quality(pyjpegli.encode(image.tobytes(), size, size, level)) for level in distortion.levels]
    assert read == [distortion.quality(level) for level in distortion.levels]
