"""Several arrays that read like one."""

import numpy as np
import pytest

from fct.splits.shards import Shards
from fct.splits.store import drop_pages

WHOLE = np.random.default_rng(0).integers(0, 256, (37, 2, 3, 1), np.uint8)


@pytest.fixture
def shards():
    return Shards(tuple(np.split(WHOLE, [5, 6, 20])))


def test_they_have_the_shape_of_the_whole(shards):
    """Shape, type, length and bytes are those of one array."""
    assert (shards.shape, shards.dtype, len(shards), shards.nbytes) == (WHOLE.shape, WHOLE.dtype, 37, WHOLE.nbytes)
    np.testing.assert_array_equal(np.array(shards), WHOLE)


@pytest.mark.parametrize("start", [None, 0, 3, 5, 19, 36, -4])
@pytest.mark.parametrize("stop", [None, 0, 4, 20, 22, 99, -2])
@pytest.mark.parametrize("step", [1, 2, 7, 40])
def test_a_slice_has_the_images_of_a_slice_of_the_whole(shards, start, stop, step):
    """Slices across the borders of arrays, and slices of slices, have the same images and copy none."""
    part = shards[start:stop:step]
    np.testing.assert_array_equal(np.array(part), WHOLE[start:stop:step])
    np.testing.assert_array_equal(np.array(part[::2]), WHOLE[start:stop:step][::2])
    assert len(part) == 0 or np.shares_memory(part.arrays[0], WHOLE)


def test_images_are_found_by_index(shards):
    """One index gives one image, an array of them gives copies in their order."""
    np.testing.assert_array_equal(shards[-1], WHOLE[-1])
    np.testing.assert_array_equal(shards[np.int64(5)], WHOLE[5])
    rows = np.array([3, 36, 5, 5, 19, 20])
    np.testing.assert_array_equal(shards[rows], WHOLE[rows])


@pytest.mark.parametrize("index", [37, -38, np.array([0, 37]), np.array([-1])])
def test_an_image_that_is_not_there_is_an_error(shards, index):
    """An index beyond the end is refused, and so is a negative one in an array."""
    with pytest.raises(IndexError):
        shards[index]


def test_a_slice_needs_a_positive_step(shards):
    """Images backwards are refused."""
    with pytest.raises(IndexError, match="positive step"):
        shards[::-1]


def test_pages_of_all_arrays_are_dropped(tmp_path):
    """After it, the images are read from their files again."""
    for number, part in enumerate(np.split(WHOLE, [20])):
        np.save(tmp_path / f"{number}.npy", part)
    mapped = Shards(tuple(np.load(tmp_path / f"{number}.npy", mmap_mode="r") for number in range(2)))
    drop_pages(mapped)
    np.testing.assert_array_equal(np.array(mapped), WHOLE)
