"""What deployments do otherwise is what their own libraries do, on real photographs."""

import io

import numpy as np
import pytest
from PIL import Image

from fct.core.errors import FctError
from fct.evaluate.deployment import Jpeg, Resize, Screenshot, chain, last_quality
from fct.evaluate.unseen import UNSEEN, distort, distorted
from fct.images.fit import Fit
from fct.images.tables import UNKNOWN_QUALITY
from fct.jpeg.arrays import roundtrip
from fct.splits.store import Originals, Split

RESIZERS = [name for name, one in UNSEEN.items() if one.kind == "resizer"]
CHAINS = [name for name, one in UNSEEN.items() if one.kind == "chain"]


@pytest.fixture(scope="module")
def photograph():
    from sklearn.datasets import load_sample_image

    return load_sample_image("china.jpg")  # 427 by 640 pixels


@pytest.fixture
def split_of():
    """Return a split whose originals are PNG files of one photograph."""

    def make(image, size, own_fit=None):
        stream = io.BytesIO()
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(stream, "PNG")
        content = np.frombuffer(stream.getvalue(), np.uint8)
        originals = Originals(content, np.array([0]), np.array([len(content)]))
        fitted = (own_fit or Fit(size))(image)[None]
        return Split("gate", fitted, np.zeros(1, np.int64), np.full(1, UNKNOWN_QUALITY), originals, own_fit)

    return make


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int))


@pytest.mark.parametrize("library", ["Pillow", "OpenCV", "simplejpeg"])
@pytest.mark.parametrize("quality", [50, 90])
def test_common_decoders_agree_with_the_training(photograph, library, quality):
    """They share libjpeg-turbo and its defaults. Therefore they are no distortion of their own."""
    import cv2
    import simplejpeg

    stream = io.BytesIO()
    Image.fromarray(photograph).save(stream, "JPEG", quality=quality)
    content = stream.getvalue()
    decoded = {
        "Pillow": lambda: np.asarray(Image.open(stream)),
        "OpenCV": lambda: cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1],
        "simplejpeg": lambda: simplejpeg.decode_jpeg(content),
    }[library]()
    assert np.array_equal(decoded, roundtrip(photograph[None], quality, "4:2:0")[0])


@pytest.mark.parametrize(("name", "most"), [("decode-fast", 6), ("decode-plain", 60), ("decode-jpegli", 60)])
@pytest.mark.parametrize("severity", [1, 2, 3])
def test_another_decoder_gives_nearly_the_same_pixels(photograph, name, most, severity):
    """It reads the same file, compressed at the level's quality: some pixels differ, most of them by little."""
    quality = UNSEEN[name].levels[severity - 1]
    decoded, usual = distort(photograph[None], name, severity), roundtrip(photograph[None], quality, "4:2:0")
    assert 0 < difference(decoded, usual).max() <= most
    assert difference(decoded, usual).mean() < 2.5
    assert UNSEEN[name].quality(quality) == quality


def test_plain_chroma_changes_colours_and_no_brightness(photograph):
    """Only the chroma planes are enlarged otherwise; luma is that of the usual decoder, up to rounding."""
    plain, usual = distort(photograph[None], "decode-plain", 1), roundtrip(photograph[None], 50, "4:2:0")
    inside = ((usual > 40) & (usual < 215)).all(-1)  # where no channel is clipped
    luma = [images[inside] @ [0.299, 0.587, 0.114] for images in (plain, usual)]
    assert np.abs(luma[0] - luma[1]).max() <= 1.1
    assert difference(plain, usual).max() > 10


@pytest.mark.parametrize("name", RESIZERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_resizer_makes_other_pixels_of_the_same_photograph(photograph, split_of, name, channels):
    """The result has the model's size, and looks like the training's."""
    split = split_of(photograph[..., :channels], 64)
    resized = distorted(split, name, 1)
    assert resized.shape == split.images.shape
    assert 0 < difference(resized, split.images).mean() < 30


@pytest.mark.parametrize("name", RESIZERS)
def test_a_resizer_leaves_an_even_image_even(split_of, name):
    """No resizer adds contrast, a border or a gap."""
    grey = np.full((130, 201, 3), 77, np.uint8)
    assert difference(distorted(split_of(grey, 32), name, 1), np.uint8(77)).max() <= 1


@pytest.mark.parametrize("name", RESIZERS)
def test_a_resizer_acts_on_images_that_have_the_models_size(make_split, name):
    """They are enlarged twice first; otherwise there would be nothing to resize."""
    split = make_split(channels=3)
    resized = distorted(split, name, 1)
    assert resized.shape == split.images.shape
    assert not np.array_equal(resized, split.images)


def test_a_resizer_keeps_the_geometry_of_the_models_fit(photograph, split_of):
    """Scaled to a shorter side of 72 and cropped to 64, as OpenCV users do it."""
    import cv2

    split = split_of(photograph, 64, Fit(64, 72))
    whole = cv2.resize(photograph, (72 * 640 // 427, 72), interpolation=cv2.INTER_LINEAR)
    left = round((whole.shape[1] - 64) / 2)
    assert np.array_equal(distorted(split, "resize-opencv", 1)[0], whole[4:68, left : left + 64])


def test_an_image_that_a_resizer_would_make_too_large_is_an_error(split_of):
    """The stage `data` takes it, since the fit of training crops before it scales."""
    with pytest.raises(
        FctError, match=r"evaluate\.unseen: resize-box .* split gate, which is too long and narrow: 1 x "
    ):
        distorted(split_of(np.zeros((65_500, 1, 3), np.uint8), 64), "resize-box", 1)


def test_half_a_pixel_off_is_half_a_pixel_off(split_of):
    """On a ramp of 8 grey levels a pixel of the result, half a pixel is 4 grey levels."""
    ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[None, :, None] * 2, (128, 128, 3)).copy()
    shifted, usual = distorted(split_of(ramp, 32), "resize-shifted", 1)[0], Fit(32)(ramp)
    assert np.abs(shifted[:, 2:-2].astype(int) - usual[:, 2:-2] - 4).max() <= 1


def test_video_levels_read_as_jpegs_and_the_other_way_round():
    """16 and 235 are black and white in video (ITU-R BT.601): expanded they become 0 and 255, washed the reverse."""
    levels = np.array([0, 16, 126, 235, 255], np.uint8).reshape(1, 1, 5, 1)
    assert distort(levels, "range", 1).ravel().tolist() == [0, 0, 128, 255, 255]
    assert distort(levels, "range", 2).ravel().tolist() == [16, 30, 124, 218, 235]
    assert np.array_equal(distort(np.repeat(levels, 3, -1), "range", 1)[..., 0], distort(levels, "range", 1)[..., 0])


def test_colours_that_are_washed_and_expanded_come_back(photograph):
    """The two mistakes undo each other, but for rounding."""
    assert difference(distort(distort(photograph[None], "range", 2), "range", 1), photograph).max() <= 2


def test_bgr_swaps_red_and_blue(photograph):
    """Twice swapped is the image again."""
    swapped = distort(photograph[None], "bgr", 1)
    assert np.array_equal(swapped[..., 0], photograph[None, ..., 2])
    assert np.array_equal(distort(swapped, "bgr", 1)[0], photograph)


def test_a_chain_takes_its_steps_in_order(photograph):
    """Shrunk to 320 pixels, then compressed: what Pillow does, step by step."""
    small = Image.fromarray(photograph).resize((320, 214), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=60)
    assert np.array_equal(chain(photograph[None], [Resize(320), Jpeg(60)])[0], np.asarray(Image.open(stream)))


def test_a_small_image_is_not_shrunk(photograph):
    """A service shrinks what is larger than its limit, and compresses all."""
    assert np.array_equal(chain(photograph[None], [Resize(1600)])[0], photograph)


@pytest.mark.parametrize(("side", "expected"), [(100, 119), (2160, 1076)])
def test_a_screenshot_shows_small_images_larger_and_large_ones_as_large_as_the_screen(side, expected):
    """100 pixels, of which 5 are cut off, at 1.25; 2,160 at half the size."""
    image = np.zeros((1, 8, side, 3), np.uint8)
    assert chain(image, [Screenshot()]).shape[2] == pytest.approx(expected, abs=3)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("severity", [1, 2, 3])
def test_a_chain_ends_at_the_models_size_with_the_quality_of_its_last_file(photograph, split_of, name, severity):
    """A classifier reads the tables of the file that arrives."""
    split = split_of(photograph, 64)
    steps = UNSEEN[name].levels[severity - 1]
    assert distorted(split, name, severity).shape == split.images.shape
    assert last_quality(steps) == steps[-1].quality


def test_every_distortion_is_described():
    """docs/explanation/distortions.md names all of them, and no other, in the first columns of its tables."""
    import re
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs/explanation/distortions.md").read_text()
    named = [
        name for row in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE) for name in re.findall(r"`([\w-]+)`", row)
    ]
    assert sorted(named) == sorted(UNSEEN)
