"""Splits on disk are opened, or the error has the command that makes them."""

from contextlib import suppress

import numpy as np
import pytest

from fct.core.errors import FctError
from fct.splits import store

AGAIN = r"is damaged.*Make it again with `dvc repro --force --single-item data`"


def test_missing_splits_are_an_error(tmp_path):
    """The error for missing splits has the missing file and the command that makes it."""
    with pytest.raises(FctError, match=r"images\.npy is not here\. Make it with `dvc repro data`"):
        store.open_split("train", tmp_path, tmp_path)
    with pytest.raises(FctError, match=r"meta\.json is not here\. Make it with `dvc repro data`"):
        store.read_meta(tmp_path)


@pytest.fixture
def written(tmp_path, make_split):
    """Write a split of six images and their original files; return the two folders."""
    splits, originals = tmp_path / "splits", tmp_path / "originals"
    split = make_split()
    splits.mkdir()
    store.write_split(splits / "train", split.images, split.labels, split.quality)
    originals.mkdir()
    (originals / "meta.json").write_text('{"native": true}')
    (originals / "train.bin").write_bytes(b"abcdefghijkl")
    np.save(originals / "train.npy", np.arange(0, 13, 2))
    return splits, originals


def test_what_was_written_is_opened(written):
    """Each image has its label, its quality and its original file."""
    split = store.open_split("train", *written)
    assert len(split) == len(split.images) == len(split.quality) == len(split.originals) == 6
    assert split.originals[5] == b"kl"


@pytest.mark.parametrize("part", ["images", "labels", "quality"])
@pytest.mark.parametrize("left", [0, 20, -1])
def test_a_truncated_array_is_an_error(written, part, left):
    """A file without content, a part of its header, or all but its last byte."""
    splits, originals = written
    path = splits / f"train/{part}.npy"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(FctError, match=rf"splits/train {AGAIN}"):
        store.open_split("train", splits, originals)


@pytest.mark.filterwarnings("ignore:Data type alias:DeprecationWarning")  # one flipped bit makes an old name of a type
@pytest.mark.parametrize("part", ["splits/train/labels", "originals/train"])
def test_no_flipped_bit_of_a_header_is_a_traceback(written, flipped_bits, part):
    """numpy parses headers as Python."""
    path = written[0].parent / f"{part}.npy"
    for _ in flipped_bits(path):
        with suppress(FctError):
            assert len(store.open_split("train", *written).images) == 6


@pytest.mark.parametrize(("part", "told"), [("images", "5 images"), ("labels", "5 labels"), ("quality", "5 qualities")])
def test_arrays_of_different_lengths_are_an_error(written, part, told):
    """The error has the length of each."""
    splits, originals = written
    path = splits / f"train/{part}.npy"
    np.save(path, np.load(path)[:5])
    with pytest.raises(FctError, match=rf"splits/train is damaged \(.*{told}.*Make it again"):
        store.open_split("train", splits, originals)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_damaged_metadata_of_originals_is_an_error(written, content):
    """The error for half a file, or another file, has the command that makes it again."""
    (written[1] / "meta.json").write_text(content)
    with pytest.raises(FctError, match=rf"originals {AGAIN}"):
        store.open_split("train", *written)


@pytest.mark.parametrize("damage", ["fewer files", "no bytes", "fewer bytes"])
def test_originals_that_do_not_fit_the_images_are_an_error(written, damage):
    """Every image has its file, and the files fill the pack."""
    splits, originals = written
    if damage == "fewer files":
        np.save(originals / "train.npy", np.arange(0, 13, 3))
    else:
        (originals / "train.bin").write_bytes(b"" if damage == "no bytes" else b"abcdefghijk")
    with pytest.raises(FctError, match=rf"originals {AGAIN}"):
        store.open_split("train", splits, originals)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_damaged_metadata_is_an_error(tmp_path, content):
    """The error for half a file, or another file, has the command that makes it again."""
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(FctError, match=r"meta\.json is damaged\. Make it again with `dvc repro --force .* data`"):
        store.read_meta(tmp_path)
