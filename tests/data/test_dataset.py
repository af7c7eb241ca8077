"""Published data sets become splits."""

import numpy as np
import pytest

from fct.core.errors import FctError
from fct.core.files import atomic_folder
from fct.data.dataset import Dataset, LabelledImages, build
from fct.data.division import fingerprint
from fct.data.params import DataParams
from fct.images.tables import UNKNOWN_QUALITY
from fct.splits import store
from fct.splits.meta import format_meta

PARAMS = DataParams.model_validate(
    {
        "source": "cifar-10",
        "mirror": None,
        "seed": 0,
        "fractions": {"val": 0.1, "gate": 0.1, "test": 0.2},
        "folder": {"path": "images", "pixels": 32, "keep": 1.0, "channels": 3, "on_error": "fail"},
    }
)


def random_images(seed, count):
    images = np.random.default_rng(seed).integers(0, 256, (count, 9, 9, 3), np.uint8)
    return LabelledImages(images, np.arange(count) % 2)


@pytest.fixture
def make_splits(tmp_path):
    def build_and_open(pool, test=None, params=PARAMS):
        splits, originals = tmp_path / "splits", tmp_path / "originals"
        with atomic_folder(splits) as s, atomic_folder(originals) as o:
            meta = build(Dataset(("cat", "dog"), pool, test), params, s, o)
        return meta, {name: store.open_split(name, splits, originals) for name in store.NAMES}

    return build_and_open


def test_an_official_test_set_is_the_test_split(make_splits):
    """The official test set is kept whole and in order, and the rest is divided into the other splits."""
    test = random_images(1, 20)
    meta, splits = make_splits(random_images(0, 100), test)
    assert meta["test"] == "official"
    assert meta["counts"] == {"train": 80, "val": 10, "gate": 10, "test": 20}
    assert np.array_equal(splits["test"].images, test.images)
    assert np.array_equal(splits["test"].labels, test.labels)


def test_without_an_official_test_set_test_is_held_out_of_train(make_splits):
    """Without an official test set, the test split is held out of train. Meta and the summary both say so."""
    meta, _ = make_splits(random_images(0, 100))
    assert meta["test"] == "held out of train"
    assert meta["counts"] == {"train": 60, "val": 10, "gate": 10, "test": 20}
    assert "held out of train" in format_meta(meta)


def test_labels_stay_with_their_images(make_splits):
    """Each image of each split has the label it came with."""
    pool = random_images(0, 100)
    label = {fingerprint(image): label for image, label in zip(pool.images, pool.labels, strict=True)}
    _, splits = make_splits(pool)
    for split in splits.values():
        assert [label[fingerprint(image)] for image in split.images] == split.labels.tolist()


def test_the_same_pixels_are_in_one_split_only(make_splits):
    """A repeated image is used once, from the official test set if it is there. The other copies are counted."""
    pool, test = random_images(0, 100), random_images(1, 20)
    pool.images[7] = test.images[3]
    pool.images[50] = pool.images[40]
    test.images[19] = test.images[0]
    meta, splits = make_splits(pool, test)
    fingerprints = [fingerprint(image) for split in splits.values() for image in split.images]
    assert len(set(fingerprints)) == len(fingerprints) == 117
    assert meta["skipped"]["reasons"] == {
        "same pixels as another image": 2,
        "same pixels in two classes, 'cat' and 'dog'": 1,
    }
    assert set(meta["skipped"]["items"]) == {"train image 7", "train image 50", "test image 19"}
    assert "skipped 2: same pixels" in format_meta(meta)


def test_images_of_a_published_data_set_have_no_jpeg_tables_and_no_originals(make_splits):
    """Their quality is `UNKNOWN_QUALITY`, and there are no originals of another size."""
    _, splits = make_splits(random_images(0, 100))
    assert {int(q) for split in splits.values() for q in split.quality} == {UNKNOWN_QUALITY}
    assert all(split.originals is None for split in splits.values())


def test_the_digest_follows_content(make_splits):
    """The same images and seed give the same meta. A changed pixel or another seed gives another digest."""
    first, _ = make_splits(random_images(0, 100))
    again, _ = make_splits(random_images(0, 100))
    changed = random_images(0, 100)
    changed.images[0, 0, 0, 0] ^= 1
    assert first == again
    digests = {first["digest"], make_splits(changed)[0]["digest"]}
    digests.add(make_splits(random_images(0, 100), params=PARAMS.model_copy(update={"seed": 1}))[0]["digest"])
    assert len(digests) == 3


def test_a_class_that_is_too_small_is_named(make_splits):
    """A class with fewer images than splits is an error that names the class."""
    with pytest.raises(FctError, match="class 'cat' has 3 images"):
        make_splits(random_images(0, 6))
