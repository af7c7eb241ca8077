"""What a folder of images is like is read from headers, without decoding a pixel."""

import io

import numpy as np
import pytest
from PIL import Image

from fct.core.errors import FctError
from fct.data.survey import survey


def put(root, name, shape=(40, 60, 3), kind=np.uint8, **options):
    """Save an image of noise."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(name)).integers(0, 256, shape, kind)
    Image.fromarray(pixels).save(path, **options)


def test_sides_channels_formats_and_quality(tmp_path):
    """Medians are of images that were looked at; one file that is no image does not count."""
    for number in range(3):
        put(tmp_path, f"cats/{number}.jpg", quality=80)
    put(tmp_path, "dogs/large.png", (200, 100, 3))
    (tmp_path / "dogs/broken.jpg").write_bytes(b"no image")
    found = survey(tmp_path)
    assert (found.images, found.classes) == (5, {"cats": 3, "dogs": 2})
    assert (found.median_side, found.smallest_side) == (40, 40)
    assert found.formats == {"JPEG": 3, "PNG": 1}
    assert (found.jpeg_quality, found.is_grey) == (80, False)
    assert str(found) == (
        "5 files in 2 classes of 2 to 3; 1 of 5 that were looked at cannot be used; JPEG, PNG, JPEG quality 80 "
        "(median); shorter side 40 pixels (median), 40 at least"
    )


def test_all_grey_is_grey(tmp_path):
    """One image with colour makes three channels."""
    put(tmp_path, "a/1.png", (9, 9))
    put(tmp_path, "b/1.png", (9, 9))
    assert survey(tmp_path).is_grey
    put(tmp_path, "b/2.png", (9, 9, 3))
    assert not survey(tmp_path).is_grey


def test_a_folder_without_an_image_is_an_error(tmp_path):
    """There is nothing to propose from."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text("text")
    with pytest.raises(FctError, match="none of 2 files that were looked at is an image"):
        survey(tmp_path)


def test_pixels_are_not_decoded(tmp_path):
    """A file that was cut after its header still tells its size."""
    for name in ("a", "b"):
        put(tmp_path, f"{name}/1.jpg")
    stream = io.BytesIO()
    Image.new("RGB", (300, 200)).save(stream, "JPEG")
    (tmp_path / "a/1.jpg").write_bytes(stream.getvalue()[:700])
    assert survey(tmp_path).smallest_side == 40


def test_a_bomb_is_a_file_that_cannot_be_used(tmp_path, monkeypatch):
    """An image of more pixels than are decoded is told with Pillow's reason, and is no traceback."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    for name in ("a", "b"):
        put(tmp_path, f"{name}/1.png", (9, 9, 3))
    put(tmp_path, "a/huge.png", (60, 60, 3))
    monkeypatch.setattr("fct.data.survey.silence_pillow", lambda: None)
    (problem,) = survey(tmp_path).unusable
    assert str(problem).startswith("a/huge.png: Image size (3600 pixels) exceeds limit")


def test_files_that_cannot_be_used_have_a_printable_name_and_a_reason(tmp_path):
    """A name may have a line feed."""
    for name in ("a", "b"):
        put(tmp_path, f"{name}/1.png", (9, 9, 3))
    (tmp_path / "a/x\n.png").write_bytes(b"no image")
    put(tmp_path, "b/deep.png", (9, 9), np.uint16)
    assert list(map(str, survey(tmp_path).unusable)) == [
        r"a/x\n.png: not a JPEG, PNG, WEBP, AVIF, BMP or TIFF image",
        "b/deep.png: more than 8 bits per channel: convert it to 8",
    ]


def test_classes_without_images_are_named(tmp_path):
    """Images one folder deeper, as in `train/cat`, are not found, and the error says where they belong."""
    for name in ("train", "val"):
        put(tmp_path, f"{name}/cat/1.png", (9, 9, 3))
    with pytest.raises(FctError, match=r"found 0 classes with images.*Put images directly into one sub-folder"):
        survey(tmp_path)
