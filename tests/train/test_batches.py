"""Batches pair each image with its compressed view under one crop and flip, whole epochs at a time."""

import numpy as np
import pytest
import torch

from fct.data.store import Split
from fct.jpeg.codec import roundtrip
from fct.train.batches import Augmentation, Cached, Online, Transform, epoch, to_device

CPU = torch.device("cpu")
STILL = Augmentation(0, flip=False)
MOVED = Augmentation(2, flip=True)


def numbered(count=50, size=8):
    """Noise whose middle pixel is the image's number, so that it is known in any batch that does not crop."""
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    images[:, size // 2, size // 2] = np.arange(count)[:, None]
    return Split("train", images, np.arange(count) % 3, np.where(np.arange(count) % 4, 100, 75), None)


def take(split, source, augmentation=STILL, *, batch_size=10, seed=0):
    rng = np.random.default_rng(seed)
    return list(epoch(split, source, augmentation, batch_size=batch_size, rng=rng, device=CPU))


def rows(images):
    return images.permute(0, 2, 3, 1).numpy()


def numbers(batch):
    return batch.raw[:, 0, 4, 4].numpy()


def test_every_image_comes_once_with_its_label_and_own_quality():
    """An epoch is a permutation; labels and the qualities that images came with stay theirs."""
    split = numbered()
    batches = take(split, Cached({50: split.images}))
    assert [len(batch.labels) for batch in batches] == [10] * 5
    order = np.concatenate([numbers(batch) for batch in batches])
    assert sorted(order) == list(range(50))
    assert (order != np.arange(50)).any()
    np.testing.assert_array_equal(torch.cat([batch.labels for batch in batches]), split.labels[order])
    np.testing.assert_array_equal(torch.cat([batch.raw_quality for batch in batches]), split.quality[order])
    np.testing.assert_array_equal(np.concatenate([rows(batch.raw) for batch in batches]), split.images[order])


def test_batches_are_full():
    """What does not fill a batch waits for the next epoch; a split smaller than a batch is one batch."""
    split = numbered()
    assert [len(batch.labels) for batch in take(split, Cached({50: split.images}), batch_size=20)] == [20, 20]
    assert [len(batch.labels) for batch in take(split, Cached({50: split.images}), batch_size=64)] == [50]


def test_both_views_are_cropped_and_flipped_alike():
    """Where the views are the raw images themselves, both halves of every batch are equal, and moved."""
    split = numbered()
    batches = take(split, Cached({50: split.images}), MOVED)
    assert all(torch.equal(batch.raw, batch.compressed) for batch in batches)
    still = take(split, Cached({50: split.images}))
    assert not all(torch.equal(a.raw, b.raw) for a, b in zip(batches, still, strict=True))


def test_each_view_is_of_the_quality_it_is_said_to_be():
    """Of several qualities each image gets one, its own row of that quality's views, and all are drawn."""
    split = numbered()
    views = {q: (split.images // 8 + q).astype(np.uint8) for q in (20, 60, 90)}
    drawn = set()
    for batch in take(split, Cached(views)):
        for image, number, quality in zip(rows(batch.compressed), numbers(batch), batch.quality.tolist(), strict=True):
            np.testing.assert_array_equal(image, views[quality][number])
            drawn.add(quality)
    assert drawn == {20, 60, 90}


def test_online_crops_first_and_then_compresses():
    """The online view is the codec's own result on the cropped and flipped raw image, at the quality said."""
    split = numbered(size=16)
    for batch in take(split, Online((20, 60), "4:4:4"), MOVED):
        expected = [roundtrip(i, q, "4:4:4") for i, q in zip(rows(batch.raw), batch.quality.tolist(), strict=True)]
        np.testing.assert_array_equal(rows(batch.compressed), expected)


@pytest.mark.parametrize("online", [False, True])
def test_an_epoch_follows_from_its_generator(online):
    """The same seed gives the same batches, another seed others."""
    split = numbered()
    source = Online((20, 60), "4:2:0") if online else Cached({20: split.images, 60: 255 - split.images})
    one, same, other = (take(split, source, MOVED, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in vars(a))
    assert not all(torch.equal(a.compressed, b.compressed) for a, b in zip(one, other, strict=True))


def test_a_transform_is_a_crop_of_the_bordered_image_maybe_flipped():
    """Each image is one of the 2 x 25 crops of itself with two black pixels around; shifts and flips are drawn."""
    images = numbered().images
    moved = Transform.draw(MOVED, images.shape, np.random.default_rng(0))(images)
    found = set()
    for before, after in zip(images, moved, strict=True):
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
    images = numbered().images
    np.testing.assert_array_equal(Transform.draw(STILL, images.shape, np.random.default_rng(0))(images), images)


def test_tensors_are_channels_last_views_of_the_pixels():
    """[B, H, W, C] bytes become [B, C, H, W] in channels-last memory without a copy."""
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    tensor = to_device(images, CPU)
    assert tensor.shape == (2, 3, 4, 4)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert tensor.data_ptr() == images.ctypes.data
