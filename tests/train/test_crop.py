"""Crops and flips move whole images, over a black border; squares are cut out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fct.train.batches import _crop_on
from fct.train.crop import Augmentation, Crops, cutout_mask

STILL = Augmentation(0, flip=False)
MOVED = Augmentation(2, flip=True)


def noise(count, size=8, channels=3):
    return np.random.default_rng(0).integers(8, 256, (count, size, size, channels), np.uint8)


def cropped(images, augmentation, seed=0):
    out = np.full_like(images, 7)
    Crops.draw(augmentation, len(images), np.random.default_rng(seed)).take(images, np.arange(len(images)), out=out)
    return out


@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_a_piece_of_the_bordered_image_maybe_flipped(channels):
    """Each image is one of the 2 x 25 crops of itself with two black pixels around; shifts and flips are drawn."""
    images = noise(200, channels=channels)
    found = set()
    for before, after in zip(images, cropped(images, MOVED), strict=True):
        padded = np.pad(before, ((2, 2), (2, 2), (0, 0)))
        crops = {
            (top, left, flip): padded[top : top + 8, left : left + 8][:, :: -1 if flip else 1]
            for top in range(5)
            for left in range(5)
            for flip in (0, 1)
        }
        (match,) = [key for key, crop in crops.items() if (crop == after).all()]
        found.add(match)
    assert {top for top, _, _ in found} == {left for _, left, _ in found} == set(range(5))
    assert {flip for _, _, flip in found} == {0, 1}


def test_without_padding_and_flip_nothing_moves():
    """No border and no flip: images pass as they are."""
    images = noise(20)
    np.testing.assert_array_equal(cropped(images, STILL), images)


def test_a_border_wider_than_the_image_is_black():
    """A crop may lie outside the image altogether."""
    images = noise(100, size=4)
    found = cropped(images, Augmentation(9, flip=True))
    assert (found == 0).all((1, 2, 3)).any()
    assert not (found == 7).any()


def test_images_go_to_their_places():
    """Rows of the source come in any order, and go where they are told, with the crop of that place."""
    images, rows, places = noise(10), np.array([7, 2, 5]), np.array([3, 0, 1])
    crops = Crops.draw(MOVED, 4, np.random.default_rng(3))
    out = np.zeros((4, 8, 8, 3), np.uint8)
    crops.take(images, rows, out=out, places=places)
    for row, place in zip(rows, places, strict=True):
        alone = np.zeros_like(out)
        crops.take(images, np.array([row] * 4), out=alone)
        np.testing.assert_array_equal(out[place], alone[place])
    assert not out[2].any()


def test_every_third_image_of_a_mapped_file_is_read_as_it_is(tmp_path):
    """Mapped files and strided parts of them give the same as arrays in memory."""
    np.save(tmp_path / "images.npy", noise(30))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(cropped(mapped[::3], MOVED), cropped(noise(30)[::3].copy(), MOVED))


@pytest.mark.parametrize("cutout", [3, 4])
def test_a_square_of_its_size_is_cut_out_anywhere(cutout):
    """Each mask lacks a square, whole where it lies inside, less at an edge; every pixel is lost in some mask."""
    kept = cutout_mask(Augmentation(0, flip=False, cutout=cutout), (500, 8, 10), np.random.default_rng(0))
    lost = (~kept).sum((1, 2))
    assert kept.shape == (500, 8, 10)
    assert lost.max() == cutout**2
    assert 0 < lost.min() < cutout**2
    assert not kept.all(0).any()
    for mask in ~kept:
        height, width = mask.any(1).sum(), mask.any(0).sum()
        assert mask.sum() == height * width


def squares(cutout, height, width):
    """Return, pixel by pixel, which pixels a square around each pixel of an image takes."""
    before, after = cutout // 2, (cutout - 1) // 2  # an even square reaches one pixel further up and left
    return {
        frozenset(
            (y, x)
            for y in range(height)
            for x in range(width)
            if -before <= y - centre_y <= after and -before <= x - centre_x <= after
        )
        for centre_y in range(height)
        for centre_x in range(width)
    }


@pytest.mark.parametrize("cutout", [1, 3, 4])
def test_a_square_lies_around_its_centre(cutout):
    """The squares that are drawn are exactly those around the pixels of the image, each cut off at its edges."""
    kept = cutout_mask(Augmentation(0, flip=False, cutout=cutout), (1500, 5, 6), np.random.default_rng(0))
    assert {frozenset(zip(*np.nonzero(lost), strict=True)) for lost in ~kept} == squares(cutout, 5, 6)


def by_hand(image, top, left, flipped):
    """Return a crop of one image [H, W, C], pixel by pixel: black outside, then mirrored."""
    height, width, _ = image.shape
    out = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            from_y, from_x = y + top, x + left
            if 0 <= from_y < height and 0 <= from_x < width:
                out[y, width - 1 - x if flipped else x] = image[from_y, from_x]
    return out


@st.composite
def drawn_crops(draw):
    """Draw images [N, H, W, C], which of them make a batch, and a crop and flip for each place of the batch."""
    count, batch = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    height, width, channels = draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(st.sampled_from([1, 3]))
    images = draw(st.integers(0, 2**32 - 1).map(np.random.default_rng)).integers(
        1, 256, (count, height, width, channels), np.uint8
    )
    shifts = st.lists(st.integers(-8, 8), min_size=batch, max_size=batch).map(np.array)
    flips = st.lists(st.booleans(), min_size=batch, max_size=batch).map(np.array)
    rows = st.lists(st.integers(0, count - 1), min_size=batch, max_size=batch).map(np.array)
    return images, draw(rows), Crops(draw(shifts), draw(shifts), draw(flips))


def taken(images, rows, crops):
    out = np.full((len(rows), *images.shape[1:]), 7, np.uint8)
    crops.take(images, rows, out=out)
    return out


@settings(max_examples=100, deadline=None)
@given(drawn_crops())
def test_crops_are_those_that_one_would_make_by_hand(batch):
    """Any shift, flip and size: from mapped pixels and on the device alike, each pixel is the one by hand."""
    images, rows, crops = batch
    each = zip(rows, crops.top, crops.left, crops.flipped, strict=True)
    expected = np.stack([by_hand(images[row], top, left, flipped) for row, top, left, flipped in each])
    np.testing.assert_array_equal(taken(images, rows, crops), expected)
    on_device = _crop_on(torch.from_numpy(images[rows]), crops).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(on_device.numpy(), expected)


@settings(max_examples=50, deadline=None)
@given(drawn_crops())
def test_flipping_twice_and_shifting_back_give_the_image_again(batch):
    """Two flips are none; a shift and its opposite leave what was not lost at the border, and black."""
    images, rows, crops = batch
    images, every, still = images[rows], np.arange(len(rows)), np.zeros(len(rows), np.int64)
    mirror = Crops(still, still, np.ones(len(rows), np.bool_))
    np.testing.assert_array_equal(taken(taken(images, every, mirror), every, mirror), images)
    there, back = (Crops(sign * crops.top, sign * crops.left, still.astype(np.bool_)) for sign in (1, -1))
    again = taken(taken(images, every, there), every, back)
    height, width = images.shape[1:3]
    for before, after, top, left in zip(images, again, crops.top, crops.left, strict=True):
        kept = np.zeros((height, width, 1), np.bool_)
        kept[max(0, top) : max(0, height + min(0, top)), max(0, left) : max(0, width + min(0, left))] = True
        np.testing.assert_array_equal(after, before * kept)


def test_half_of_the_images_are_flipped_and_shifts_are_even():
    """Of many draws half are mirrored, and each shift from -2 to 2 comes as often as the others."""
    crops = Crops.draw(MOVED, 20_000, np.random.default_rng(0))
    assert crops.flipped.mean() == pytest.approx(0.5, abs=0.02)
    for shift in (crops.top, crops.left):
        found, counts = np.unique(shift, return_counts=True)
        assert found.tolist() == [-2, -1, 0, 1, 2]
        assert counts / 20_000 == pytest.approx(0.2, abs=0.02)
