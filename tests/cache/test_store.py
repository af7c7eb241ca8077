"""A cache is used only if it fits params and data."""

import hashlib
import json
import shutil
from contextlib import suppress

import numpy as np
import pytest

from fct.cache import store
from fct.core.errors import FctError
from fct.jpeg.arrays import VERSION
from fct.splits.views import compress_split


def edit(path, **changed):
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.mark.parametrize("name", store.SPLITS)
def test_views_are_the_splits_images_compressed(toy, name):
    """Row k of quality q is the split's image k, compressed at q."""
    views = toy.views(name)
    assert list(views) == [20, 60]
    for quality, view in views.items():
        np.testing.assert_array_equal(view, compress_split(toy.split(name), quality, toy.subsampling))


def test_the_manifest_lists_the_inputs_of_the_cache(toy):
    """It has codec and version, subsampling, quality, source, counts and checksums, but no time or host."""
    here = toy.root / "data/cache/q20"
    assert json.loads((here / "manifest.json").read_text()) == {
        "codec": VERSION,
        "subsampling": "4:2:0",
        "quality": 20,
        "source": toy.digest,
        "shard": 256,
        "images": {"train": 96, "val": 48},
        "sha256": {
            name: [hashlib.sha256((here / f"{name}-00000.npy").read_bytes()).hexdigest()] for name in store.SPLITS
        },
    }


def test_the_same_splits_give_the_same_bytes(toy):
    """A cache that is built again has the same files, byte for byte."""
    here = store.cache_folder(20, toy.root / "data/cache")
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    toy.build_cache(20)
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_a_build_that_fails_leaves_the_old_cache(toy):
    """An error during compression leaves the old cache, and no temporary folder."""
    before = toy.views()[20].copy()
    names = sorted(path.name for path in (toy.root / "data/cache").iterdir())
    with pytest.raises(ValueError, match="subsampling is '4:2:7'"):
        toy.build_cache(20, subsampling="4:2:7", source_digest="other")
    np.testing.assert_array_equal(toy.views()[20], before)
    assert sorted(path.name for path in (toy.root / "data/cache").iterdir()) == names


def test_only_the_given_qualities_are_opened(toy):
    """A cache of another quality is not among the views."""
    assert list(toy.views(qualities=(60,))) == [60]


def test_a_changed_subsampling_is_an_error(toy):
    """The error for views of another subsampling has both values."""
    with pytest.raises(FctError, match=r"q20/manifest\.json: subsampling is '4:2:0', not '4:4:4'\. Rebuild it with"):
        toy.views(subsampling="4:4:4")


def test_other_source_images_are_an_error(toy):
    """The error for views of other splits has both digests."""
    with pytest.raises(FctError, match=r"q20/manifest\.json: source is '0123456789abcdef', not 'f00d'"):
        toy.views(source_digest="f00d")


def test_views_of_another_codec_are_an_error(toy):
    """The error for views of another codec has the command that rebuilds them."""
    edit(toy.root / "data/cache/q60/manifest.json", codec="another 1.0")
    with pytest.raises(FctError, match=r"q60/manifest\.json: codec is 'another 1\.0', not .*cache@60"):
        toy.views()


def test_a_cache_in_the_folder_of_another_quality_is_an_error(toy):
    """The manifest of a copied or renamed folder has the wrong quality."""
    shutil.copytree(toy.root / "data/cache/q60", toy.root / "data/cache/q80")
    with pytest.raises(FctError, match=r"q80/manifest\.json: quality is 60, not 80"):
        toy.views(qualities=(60, 80))


def test_a_missing_quality_is_an_error(toy):
    """The error for a quality without a cache has the missing file and the command that makes it."""
    with pytest.raises(FctError, match=r"q30/manifest\.json is not here\. Rebuild it with `dvc repro .*cache@30`"):
        toy.views(qualities=(20, 30))


@pytest.mark.parametrize("length", [0, 60, -1])
def test_a_truncated_array_is_an_error(toy, length):
    """A file without content, a complete header or its last byte is reported as damaged."""
    path = toy.root / "data/cache/q20/train-00000.npy"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FctError, match=r"q20 is damaged \(.*Rebuild it with `dvc repro --force .*cache@20`"):
        toy.views()


def test_no_flipped_bit_of_a_header_is_a_traceback(toy, flipped_bits):
    """numpy parses headers as Python. Any flipped bit gives the views or an FctError."""
    path = toy.root / "data/cache/q20/train-00000.npy"
    for _ in flipped_bits(path):
        with suppress(FctError):
            assert toy.views()[20].shape == (96, 16, 16, 3)


@pytest.mark.parametrize("text", ['{"codec": ', "[1]", "null"])
def test_a_manifest_of_other_content_is_an_error(toy, text):
    """Half a manifest, or other JSON, is reported as damaged."""
    (toy.root / "data/cache/q60/manifest.json").write_text(text)
    with pytest.raises(FctError, match=r"q60 is damaged"):
        toy.views()


@pytest.mark.parametrize("array", [np.zeros((95, 16, 16, 3), np.uint8), np.zeros((96, 16, 16, 3), np.float32)])
def test_an_array_of_another_shape_or_type_is_an_error(toy, array):
    """The error has the actual and the expected shape and type."""
    np.save(toy.root / "data/cache/q20/train-00000.npy", array)
    with pytest.raises(FctError, match=r"q20: train is .*, not uint8 \(96, 16, 16, 3\)"):
        toy.views()


def test_views_are_memory_mapped(toy):
    """Views are memory maps of their files, not copies."""
    assert toy.views()[20].filename.name == "train-00000.npy"


def test_stale_folders_are_found(toy):
    """Folders of other qualities are found, even if a name is the start of another."""
    cache = toy.root / "data/cache"
    (cache / "q6").mkdir()
    assert store.stale_folders([60], cache) == ["q20", "q6"]
