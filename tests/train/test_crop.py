"""Crops and flips move whole images over a black border; cutout blackens squares."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fct.train.crop import Augmentation, Crops, cutout_mask, draw_boxes
from fct.train.params import ResizedCrop

UNCHANGED = Augmentation(0, flip=False)
SHIFTED = Augmentation(2, flip=True)


def noise(count, size=8, channels=3):
    return np.random.default_rng(0).integers(8, 256, (count, size, size, channels), np.uint8)


def cropped(images, augmentation, seed=0):
    out = np.full_like(images, 7)
    crops = Crops.draw(augmentation, len(images), np.random.default_rng(seed), side=images.shape[1])
    crops.take(images, np.arange(len(images)), out=out)
    return out


@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_a_part_of_the_padded_image_possibly_flipped(channels):
    """Each result is one of the 2 x 25 crops of the padded image, and all shifts and flips occur."""
    images = noise(200, channels=channels)
    choices = set()
    for before, after in zip(images, cropped(images, SHIFTED), strict=True):
        padded = np.pad(before, ((2, 2), (2, 2), (0, 0)))
        crops = {
            (top, left, flip): padded[top : top + 8, left : left + 8][:, :: -1 if flip else 1]
            for top in range(5)
            for left in range(5)
            for flip in (0, 1)
        }
        (match,) = [key for key, crop in crops.items() if (crop == after).all()]
        choices.add(match)
    assert {top for top, _, _ in choices} == {left for _, left, _ in choices} == set(range(5))
    assert {flip for _, _, flip in choices} == {0, 1}


def test_without_padding_and_flip_nothing_moves():
    """Without padding and flip, images stay as they are."""
    images = noise(20)
    np.testing.assert_array_equal(cropped(images, UNCHANGED), images)


def test_a_border_wider_than_the_image_is_black():
    """A crop that is outside the image is black."""
    images = noise(100, size=4)
    crops = cropped(images, Augmentation(9, flip=True))
    assert (crops == 0).all((1, 2, 3)).any()
    assert not (crops == 7).any()


def test_a_crop_of_larger_images_can_lie_anywhere():
    """Of images of 8 pixels, crops of 6 begin in the rows and columns 0 to 2; with a border of 1 pixel, at -1 to 3."""
    for padding, expected in ((0, [0, 1, 2]), (1, [-1, 0, 1, 2, 3])):
        crops = Crops.draw(Augmentation(padding, flip=False, size=6), 500, np.random.default_rng(0), side=8)
        assert np.unique(crops.top).tolist() == np.unique(crops.left).tolist() == expected
        assert take_crops(noise(500), np.arange(500), crops).shape == (500, 6, 6, 3)


RESIZED = Augmentation(0, flip=True, size=8, resized_crop=ResizedCrop(scale=(0.3, 1.0), ratio=(0.5, 2.0)))


def test_boxes_have_the_areas_and_shapes_that_are_asked_for():
    """Areas are spread evenly between the bounds, shapes too on a log scale, and boxes lie anywhere in the image."""
    top, left, height, width = draw_boxes(5000, 100, (0.2, 0.6), (0.8, 1.25), np.random.default_rng(0))
    area, ratio = height * width / 100**2, np.log(width / height)
    assert np.quantile(area, [0.01, 0.5, 0.99]) == pytest.approx([0.204, 0.4, 0.596], abs=0.02)
    assert np.quantile(ratio, [0.01, 0.5, 0.99]) == pytest.approx(np.log([0.8, 1, 1.25]), abs=0.03)
    assert min(top.min(), left.min()) == 0
    assert (top + height).max() == (left + width).max() == 100


def test_a_box_that_never_fits_is_cut_to_the_image():
    """Four times as wide as high, the whole area does not fit: the box has the full width."""
    top, left, height, width = draw_boxes(20, 40, (1.0, 1.0), (4.0, 4.0), np.random.default_rng(0))
    assert (width == 40).all()
    assert (height == 20).all()
    assert (left == 0).all()
    assert top.max() > 0


def test_a_resized_crop_is_a_part_of_the_image_scaled_by_pillow():
    """Each result is the box of its image, scaled with antialiasing as the images themselves were, possibly flipped."""
    images = noise(40, size=20)
    crops = Crops.draw(RESIZED, 40, np.random.default_rng(0), side=20)
    for number, result in enumerate(take_crops(images, np.arange(40), crops)):
        top, left = crops.top[number], crops.left[number]
        box = images[number, top : top + crops.height[number], left : left + crops.width[number]]
        scaled = np.asarray(Image.fromarray(box).resize((8, 8), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(result, scaled[:, ::-1] if crops.flipped[number] else scaled)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_device_scales_as_pillow_does(channels):
    """Whole batches on a device differ by no more than rounding, whether parts are made smaller or larger."""
    images = noise(60, size=20, channels=channels)
    for size in (8, 18):
        crops = Crops.draw(replace(RESIZED, size=size), 60, np.random.default_rng(0), side=20)
        expected = take_crops(images, np.arange(60), crops).astype(int)
        result = crops.take_on(torch.from_numpy(images))
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert np.abs(result.permute(0, 2, 3, 1).numpy() - expected).max() <= 1


def test_images_go_to_their_places():
    """Images are written to the given places of the batch, with the crop of that place."""
    images, rows, places = noise(10), np.array([7, 2, 5]), np.array([3, 0, 1])
    crops = Crops.draw(SHIFTED, 4, np.random.default_rng(3), side=8)
    out = np.zeros((4, 8, 8, 3), np.uint8)
    crops.take(images, rows, out=out, places=places)
    for row, place in zip(rows, places, strict=True):
        expected = np.zeros_like(out)
        crops.take(images, np.array([row] * 4), out=expected)
        np.testing.assert_array_equal(out[place], expected[place])
    assert not out[2].any()


def test_strided_and_mapped_arrays_give_the_same_crops(tmp_path):
    """Every third image of a memory-mapped file gives the same crops as an array in memory."""
    np.save(tmp_path / "images.npy", noise(30))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(cropped(mapped[::3], SHIFTED), cropped(noise(30)[::3].copy(), SHIFTED))


@pytest.mark.parametrize("cutout", [3, 4])
def test_cutout_takes_a_square_anywhere(cutout):
    """Each mask has one black square, cut off at the edges. Every pixel is black in some mask."""
    mask = cutout_mask(Augmentation(0, flip=False, cutout=cutout), (500, 8, 10), np.random.default_rng(0))
    lost = (~mask).sum((1, 2))
    assert mask.shape == (500, 8, 10)
    assert lost.max() == cutout**2
    assert 0 < lost.min() < cutout**2
    assert not mask.all(0).any()
    for square in ~mask:
        height, width = square.any(1).sum(), square.any(0).sum()
        assert square.sum() == height * width


def squares(cutout, height, width):
    """Return, pixel by pixel, the pixels of the square around each pixel of an image."""
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
def test_a_cutout_square_is_centred_on_a_pixel(cutout):
    """The drawn squares are exactly the squares around the pixels of the image, cut off at the edges."""
    mask = cutout_mask(Augmentation(0, flip=False, cutout=cutout), (1500, 5, 6), np.random.default_rng(0))
    assert {frozenset(zip(*np.nonzero(lost), strict=True)) for lost in ~mask} == squares(cutout, 5, 6)


def crop_by_hand(image, top, left, flipped, size):
    """Crop one image [H, W, C] pixel by pixel: black outside, then flipped."""
    height, width, channels = image.shape
    out = np.zeros((size, size, channels), np.uint8)
    for y in range(size):
        for x in range(size):
            from_y, from_x = y + top, x + left
            if 0 <= from_y < height and 0 <= from_x < width:
                out[y, size - 1 - x if flipped else x] = image[from_y, from_x]
    return out


@st.composite
def drawn_crops(draw):
    """Draw images [N, H, W, C], the rows of a batch, and a crop and flip for each place of the batch."""
    count, batch = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    height, width, channels = draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(st.sampled_from([1, 3]))
    images = draw(st.integers(0, 2**32 - 1).map(np.random.default_rng)).integers(
        1, 256, (count, height, width, channels), np.uint8
    )
    shifts = st.lists(st.integers(-8, 8), min_size=batch, max_size=batch).map(np.array)
    flips = st.lists(st.booleans(), min_size=batch, max_size=batch).map(np.array)
    rows = st.lists(st.integers(0, count - 1), min_size=batch, max_size=batch).map(np.array)
    return images, draw(rows), Crops(draw(shifts), draw(shifts), draw(flips), draw(st.integers(1, 7)))


def take_crops(images, rows, crops):
    out = np.full((len(rows), crops.size, crops.size, images.shape[3]), 7, np.uint8)
    crops.take(images, rows, out=out)
    return out


@settings(max_examples=100)
@given(drawn_crops())
def test_crops_are_equal_to_those_by_hand(batch):
    """For any shift, flip and size, both implementations give the pixels of the crop by hand."""
    images, rows, crops = batch
    parameters = zip(rows, crops.top, crops.left, crops.flipped, strict=True)
    expected = np.stack([crop_by_hand(images[row], *where, crops.size) for row, *where in parameters])
    np.testing.assert_array_equal(take_crops(images, rows, crops), expected)
    on_device = crops.take_on(torch.from_numpy(images[rows])).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(on_device.numpy(), expected)


@settings(max_examples=50)
@given(drawn_crops())
def test_flipping_twice_and_shifting_back_give_the_image_again(batch):
    """Two flips cancel. A shift and its opposite cancel, except for pixels lost at the border, which are black."""
    images, rows, crops = batch
    side = min(images.shape[1:3])
    images, every, zeros = images[rows, :side, :side], np.arange(len(rows)), np.zeros(len(rows), np.int64)
    mirror = Crops(zeros, zeros, np.ones(len(rows), np.bool_), side)
    np.testing.assert_array_equal(take_crops(take_crops(images, every, mirror), every, mirror), images)
    shift, back = (Crops(sign * crops.top, sign * crops.left, zeros.astype(np.bool_), side) for sign in (1, -1))
    restored = take_crops(take_crops(images, every, shift), every, back)
    height, width = images.shape[1:3]
    for before, after, top, left in zip(images, restored, crops.top, crops.left, strict=True):
        visible = np.zeros((height, width, 1), np.bool_)
        visible[max(0, top) : max(0, height + min(0, top)), max(0, left) : max(0, width + min(0, left))] = True
        np.testing.assert_array_equal(after, before * visible)


def test_half_of_the_images_are_flipped_and_shifts_are_even():
    """About half of many images are flipped, and all shifts from -2 to 2 are about equally frequent."""
    crops = Crops.draw(SHIFTED, 20_000, np.random.default_rng(0), side=8)
    assert crops.flipped.mean() == pytest.approx(0.5, abs=0.02)
    for shift in (crops.top, crops.left):
        values, counts = np.unique(shift, return_counts=True)
        assert values.tolist() == [-2, -1, 0, 1, 2]
        assert counts / 20_000 == pytest.approx(0.2, abs=0.02)
