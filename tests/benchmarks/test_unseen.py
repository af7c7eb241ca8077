"""Test images under distortions, made once."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.comparison import unseen


@pytest.fixture(autouse=True)
def one_distortion(monkeypatch):
    monkeypatch.setattr(unseen, "every", lambda _channels: [("contrast", 1, 100)])


def test_distorted_images_are_made_once(toy, monkeypatch):
    """The second look reads what the first wrote."""
    [(name, first)] = unseen.unseen_views(toy.split("val"))
    monkeypatch.setattr(unseen, "distorted", None)
    [(_, again)] = unseen.unseen_views(toy.split("val"))
    assert name == "contrast/1"
    np.testing.assert_array_equal(again.images, first.images)


def test_other_images_are_distorted_anew(toy):
    """A data set that was divided anew never meets the images of the old division."""
    val = toy.split("val")
    [(_, first)] = unseen.unseen_views(val)
    meta = toy.root / "data/splits/meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"digest": "f00d"}))
    [(_, other)] = unseen.unseen_views(replace(val, images=255 - np.asarray(val.images)))
    assert (first.images != other.images).any()
