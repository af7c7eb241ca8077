"""A cache is used if, and only if, it is what params and data say."""

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
    """Row k at quality q is the split's image k compressed at q."""
    views = toy.views(name)
    assert list(views) == [20, 60]
    for quality, view in views.items():
        np.testing.assert_array_equal(view, compress_split(toy.split(name), quality, toy.subsampling))


def test_the_manifest_says_what_the_cache_was_made_from(toy):
    """Codec with its version, subsampling, quality, source, counts and checksums, and no time or host."""
    here = toy.root / "data/cache/q20"
    assert json.loads((here / "manifest.json").read_text()) == {
        "codec": VERSION,
        "subsampling": "4:2:0",
        "quality": 20,
        "source": toy.digest,
        "images": {"train": 96, "val": 48},
        "sha256": {name: hashlib.sha256((here / f"{name}.npy").read_bytes()).hexdigest() for name in store.SPLITS},
    }


def test_the_same_splits_give_the_same_bytes(toy):
    """A cache that is built again has the same files, byte for byte."""
    here = store.cache_folder(20, toy.root / "data/cache")
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    splits = [toy.split(name) for name in store.SPLITS]
    store.build_cache(splits, 20, toy.subsampling, source_digest=toy.digest, cache=here.parent)
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_a_build_that_fails_leaves_the_old_cache(toy):
    """An error while compressing leaves neither a half cache nor a temporary folder."""
    before = toy.views()[20].copy()
    names = sorted(path.name for path in (toy.root / "data/cache").iterdir())
    with pytest.raises(ValueError, match="subsampling is '4:2:7'"):
        store.build_cache([toy.split("train")], 20, "4:2:7", source_digest="other", cache=toy.root / "data/cache")
    np.testing.assert_array_equal(toy.views()[20], before)
    assert sorted(path.name for path in (toy.root / "data/cache").iterdir()) == names


def test_exactly_the_named_qualities_are_read(toy):
    """A cache that params do not name any more is not among the views."""
    assert list(toy.views(qualities=(60,))) == [60]


def test_a_changed_subsampling_is_refused(toy):
    """Views of another subsampling are never trained on."""
    with pytest.raises(FctError, match=r"q20/manifest\.json: subsampling is '4:2:0', not '4:4:4'\. Rebuild it with"):
        toy.views(subsampling="4:4:4")


def test_other_source_images_are_refused(toy):
    """Views of other splits are never trained on."""
    with pytest.raises(FctError, match=r"q20/manifest\.json: source is '0123456789abcdef', not 'f00d'"):
        toy.views(source_digest="f00d")


def test_the_views_of_another_codec_are_refused(toy):
    """Each quality must have been made by the codec of today; the command rebuilds one that was not."""
    edit(toy.root / "data/cache/q60/manifest.json", codec="another 1.0")
    with pytest.raises(FctError, match=r"q60/manifest\.json: codec is 'another 1\.0', not .*cache@60"):
        toy.views()


def test_a_cache_under_another_quality_s_name_is_refused(toy):
    """A folder that was copied or renamed does not pass for another quality."""
    shutil.copytree(toy.root / "data/cache/q60", toy.root / "data/cache/q80")
    with pytest.raises(FctError, match=r"q80/manifest\.json: quality is 60, not 80"):
        toy.views(qualities=(60, 80))


def test_a_missing_quality_names_the_command_that_makes_it(toy):
    """A quality without a cache says which file is missing and how to make it."""
    with pytest.raises(FctError, match=r"q30/manifest\.json is not here\. Rebuild it with `dvc repro .*cache@30`"):
        toy.views(qualities=(20, 30))


@pytest.mark.parametrize("kept", [0, 60, -1])
def test_an_array_that_was_cut_short_is_refused(toy, kept):
    """A file without content, without a whole header or without its last byte is damaged, and said to be."""
    path = toy.root / "data/cache/q20/train.npy"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FctError, match=r"q20 is damaged \(.*Rebuild it with `dvc repro --force .*cache@20`"):
        toy.views()


def test_no_flipped_bit_of_a_header_is_a_traceback(toy):
    """numpy reads headers as Python; whatever it makes of one bit, the answer is the views or an error for people."""
    path = toy.root / "data/cache/q20/train.npy"
    whole = path.read_bytes()
    for bit in range(128 * 8):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with suppress(FctError):
            assert toy.views()[20].shape == (96, 16, 16, 3)


@pytest.mark.parametrize("text", ['{"codec": ', "[1]", "null"])
def test_a_manifest_that_is_no_manifest_is_refused(toy, text):
    """Half a manifest, or JSON of another kind, is damaged, and said to be."""
    (toy.root / "data/cache/q60/manifest.json").write_text(text)
    with pytest.raises(FctError, match=r"q60 is damaged"):
        toy.views()


@pytest.mark.parametrize("array", [np.zeros((95, 16, 16, 3), np.uint8), np.zeros((96, 16, 16, 3), np.float32)])
def test_an_array_of_another_shape_or_type_is_refused(toy, array):
    """Rows must pair with the split's images, pixel for pixel."""
    np.save(toy.root / "data/cache/q20/train.npy", array)
    with pytest.raises(FctError, match=r"q20: train is .*, not uint8 \(96, 16, 16, 3\)"):
        toy.views()


def test_views_are_read_when_touched(toy):
    """Views are maps of their files, not copies in memory."""
    assert toy.views()[20].filename.name == "train.npy"


def test_folders_of_no_named_quality_are_found(toy):
    """What DVC leaves behind is told from what is named, also where one name begins with the other."""
    cache = toy.root / "data/cache"
    (cache / "q6").mkdir()
    assert store.stale_folders([60], cache) == ["q20", "q6"]
