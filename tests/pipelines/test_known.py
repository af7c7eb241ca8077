"""Known images are decoded once."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fct.core.paths import KNOWN_IMAGES
from pipelines import known
from pipelines.known import find_known


def put(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 24, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    Path(path).write_bytes(stream.getvalue())


@pytest.fixture
def decoded(tmp_path, monkeypatch):
    """Work beside a data set of two images; return the names of the files that were decoded."""
    monkeypatch.chdir(tmp_path)
    Path("images/cat").mkdir(parents=True)
    put("images/cat/one.png", 1)
    put("images/cat/two.png", 2)
    names = []
    real = known._fingerprint

    def spy(path, channels):
        names.append(path.name)
        return real(path, channels)

    monkeypatch.setattr(known, "_fingerprint", spy)
    return names


def test_an_unchanged_image_is_decoded_once(decoded):
    """A second call decodes only what is new or changed, and knows all."""
    first = find_known(Path("images"), 3)
    put("images/cat/three.png", 3)
    put("images/cat/two.png", 4)
    os.utime("images/cat/two.png", (1, 1))
    second = find_known(Path("images"), 3)
    assert sorted(decoded) == ["one.png", "three.png", "two.png", "two.png"]
    assert sorted(second.values()) == ["images/cat/one.png", "images/cat/three.png", "images/cat/two.png"]
    assert len(first.keys() & second.keys()) == 1


def test_other_pixels_of_the_same_file_are_decoded_anew(decoded):
    """Another number of channels, or another way of decoding, gives other fingerprints."""
    colour = find_known(Path("images"), 3)
    grey = find_known(Path("images"), 1)
    assert len(decoded) == 4
    assert not colour.keys() & grey.keys()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1}'])
def test_a_damaged_memory_is_no_memory(decoded, damage):
    """Every image is decoded again, and the memory is written anew."""
    before = find_known(Path("images"), 3)
    KNOWN_IMAGES.write_text(damage)
    assert find_known(Path("images"), 3) == before
    assert len(decoded) == 4


@pytest.mark.usefixtures("decoded")
def test_an_image_that_cannot_be_read_is_not_known():
    """A broken link, a pipe, and a file that is no image have no pixels, and are no error."""
    os.mkfifo("images/cat/pipe.png")
    Path("images/cat/broken.png").symlink_to("nowhere")
    Path("images/cat/text.png").write_text("no image")
    for _ in range(2):
        assert sorted(find_known(Path("images"), 3).values()) == ["images/cat/one.png", "images/cat/two.png"]


@pytest.mark.parametrize("name", ["cat/.hidden.png", ".trash/old.png", "@eaDir/thumbnail.png"])
@pytest.mark.usefixtures("decoded")
def test_what_the_stage_data_ignores_is_not_known(name):
    """Hidden files and what systems leave beside images are in no split, so a new image may have their pixels."""
    before = find_known(Path("images"), 3)
    Path("images", name).parent.mkdir(exist_ok=True)
    put(f"images/{name}", 3)
    assert find_known(Path("images"), 3) == before
