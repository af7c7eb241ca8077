"""Equal images have equal fingerprints, others have not, and the fingerprints say what two models have in common."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fct.core.errors import FctError
from fct.registry import training_images
from fct.splits.store import Originals, Split

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3]))


def split(images, files=None):
    """Return a split of these images, or of these files."""
    zeros = np.zeros(len(images), np.int64)
    originals = None
    if files is not None:
        bounds = np.cumsum([0, *map(len, files)])
        originals = Originals(np.frombuffer(b"".join(files) or b"-", np.uint8), bounds[:-1], bounds[1:])
    return Split("gate", images, zeros, zeros, originals)


def images_of(shape):
    return st.lists(st.binary(min_size=int(np.prod(shape)), max_size=int(np.prod(shape))), min_size=1, max_size=8).map(
        lambda rows: np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), *shape)
    )


@given(SHAPES.flatmap(images_of), st.randoms(use_true_random=False))
def test_pixels_alone_decide_a_fingerprint(images, random):
    """In any order and any array, two images have one fingerprint if and only if they have the same pixels."""
    order = random.choices(range(len(images)), k=len(images))
    first, other = training_images.fingerprints(split(images)), training_images.fingerprints(split(images[order]))
    assert (other == first[order]).all()
    assert len(set(first.tolist())) == len({image.tobytes() for image in images})


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=8))
def test_of_originals_the_files_decide(files):
    """The bytes of an image's own file count, and not its pixels at the model's size."""
    images = np.zeros((len(files), 2, 2, 1), np.uint8)
    result = training_images.fingerprints(split(images, files))
    assert result.dtype == np.uint64
    assert [[a == b for a in files] for b in files] == (result[:, None] == result).tolist()


def test_a_shape_is_part_of_an_image():
    """The same bytes in another shape are another image."""
    flat, tall = np.zeros((1, 2, 8, 1), np.uint8), np.zeros((1, 8, 2, 1), np.uint8)
    assert training_images.fingerprints(split(flat)) != training_images.fingerprints(split(tall))


@pytest.mark.parametrize(("both", "refused"), [(50, False), (51, True)])
def test_more_than_half_of_the_gate_split_is_too_much(both, refused):
    """Images that either model has seen are left out, up to one half of the split; an image of both counts once."""
    images, seen = np.arange(100, dtype=np.uint64), np.arange(both, dtype=np.uint64)
    seen_by = {"the candidate": seen[:10], "version 1 of toy": seen}
    if not refused:
        unseen = training_images._unseen(images, seen_by)
        assert np.flatnonzero(unseen).tolist() == list(range(both, 100))
        return
    message = "of the 100 images of the gate split, 10 are training images of the candidate and 51 are training images"
    with pytest.raises(FctError, match=message):
        training_images._unseen(images, seen_by)
