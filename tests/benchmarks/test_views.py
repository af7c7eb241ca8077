"""Test images as they are measured, made once."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.comparison import views


@pytest.fixture(autouse=True)
def one_distortion(monkeypatch):
    monkeypatch.setattr(views, "every", lambda _channels: [("contrast", 1, 100)])


def test_distorted_images_are_made_once(toy, monkeypatch):
    """The second look reads what the first wrote."""
    [(name, first)] = views.unseen_views(toy.split("val"))
    monkeypatch.setattr(views, "distorted", lambda *_: pytest.fail("made again"))
    [(_, again)] = views.unseen_views(toy.split("val"))
    assert name == "contrast/1"
    np.testing.assert_array_equal(again.images, first.images)


def test_compressed_images_are_made_once_for_each_quality_and_number(toy, monkeypatch):
    """Another quality, or fewer of the images, never meets what was written for others."""
    val = toy.split("val")
    first, lower = views.jpeg_views(val, (60, 5), "4:2:0")
    (fewer,) = views.jpeg_views(val.every(2), (60,), "4:2:0")
    monkeypatch.setattr(views, "compress_split", lambda *_: pytest.fail("made again"))
    (again,) = views.jpeg_views(val, (60,), "4:2:0")
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(fewer.images, first.images[::2])
    assert (lower.images != first.images).any()
    assert set(again.quality) == {60}


def test_other_images_are_distorted_anew(toy):
    """A data set that was divided anew never meets the images of the old division."""
    val = toy.split("val")
    [(_, first)] = views.unseen_views(val)
    meta = toy.root / "data/splits/meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"digest": "f00d"}))
    [(_, other)] = views.unseen_views(replace(val, images=255 - np.asarray(val.images)))
    assert (first.images != other.images).any()


def test_images_are_distorted_anew_after_a_change_of_any_code_that_distorts():
    """The JPEG round trip is in a module that the ones named here only use."""
    known = {"/".join(file.parts[-2:]) for file in views.sources()}
    assert {"jpeg/kernel.py", "images/decode.py", "evaluate/codecs.py"} <= known
