"""Batches pair each image with its compressed view under one crop and flip, whole epochs at a time."""

import numpy as np
import pytest
import torch

from fct.jpeg.arrays import roundtrip
from fct.models.device import to_device
from fct.splits.store import Split
from fct.train.batches import Cached, Online, Resident, epoch
from fct.train.crop import Augmentation

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


def test_with_own_crops_the_reference_lies_under_the_compressed_view():
    """The raw view is cropped apart; the reference is the raw image where the compressed view is."""
    split = numbered(size=16)
    own = Augmentation(2, flip=True, shared=False)
    for batch in take(split, Online((20, 60), "4:4:4"), own):
        expected = roundtrip(rows(batch.reference), batch.quality.numpy(), "4:4:4")
        np.testing.assert_array_equal(rows(batch.compressed), expected)
        assert not torch.equal(batch.raw, batch.reference)


def test_with_shared_crops_the_reference_is_the_raw_view():
    """There is one raw view, and a teacher's pass over it can be shared."""
    split = numbered()
    assert all(batch.reference is batch.raw for batch in take(split, Cached({50: split.images}), MOVED))


def test_views_lose_the_same_square():
    """Cut out is the same place of both views of an image, and nothing else changes."""
    split = numbered()
    source = Cached({50: 255 - split.images})
    cut = take(split, source, Augmentation(0, flip=False, cutout=3))
    for batch in cut:
        lost = ((batch.raw == 0) & (batch.compressed == 0)).all(1)  # of white and black, one is never 0
        assert (lost.sum((1, 2)) > 0).all()
        assert (batch.raw.permute(0, 2, 3, 1)[~lost] + batch.compressed.permute(0, 2, 3, 1)[~lost] == 255).all()


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
        expected = roundtrip(rows(batch.raw), batch.quality.numpy(), "4:4:4")
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


@pytest.mark.parametrize("augmentation", [STILL, MOVED, Augmentation(2, flip=True, cutout=3, shared=False)])
def test_a_resident_cache_gives_the_batches_of_the_mapped_one(augmentation):
    """Gathered and cropped on the device, batches are the same, to the bit, of a part of the images too."""
    split = numbered()
    cached = Cached({20: split.images, 60: 255 - split.images})
    resident = Resident.upload(split, cached, CPU)
    for step in (1, 3):
        part = split.every(step)
        one, other = (take(part, source.every(step), augmentation) for source in (cached, resident))
        assert len(one) == len(other) > 0
        for a, b in zip(one, other, strict=True):
            assert all(torch.equal(getattr(a, name), getattr(b, name)) for name in vars(a))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("kind", ["cache", "resident", "online"])
def test_a_gpu_gets_the_batches_of_the_cpu(kind):
    """Pinned and copied, gathered there, or compressed there: the same pixels."""
    split, gpu = numbered(size=16), torch.device("cuda")
    cached = Cached({20: split.images, 60: 255 - split.images})
    source = Online((20, 60), "4:2:0") if kind == "online" else cached
    there = Resident.upload(split, cached, gpu) if kind == "resident" else source
    expected = take(split, source, MOVED)
    rng = np.random.default_rng(0)
    found = list(epoch(split, there, MOVED, batch_size=10, rng=rng, device=gpu))
    for a, b in zip(expected, found, strict=True):
        assert all(torch.equal(getattr(a, name), getattr(b, name).cpu()) for name in vars(a))


def test_pages_are_let_go_of_between_batches(tmp_path, monkeypatch):
    """However much of a mapped file an epoch reads, little of it stays in this process's memory."""
    import psutil

    count, side = 400, 128
    np.save(tmp_path / "images.npy", np.zeros((count, side, side, 3), np.uint8))
    monkeypatch.setattr("fct.train.batches.KEPT", 0)
    take(numbered(), Cached({50: numbered().images}), batch_size=8)  # what is loaded once is loaded now
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    split = Split("train", images, np.zeros(count, np.int64), np.full(count, 100), None)
    before = psutil.Process().memory_info().rss
    for _ in epoch(split, Cached({50: images}), STILL, batch_size=8, rng=np.random.default_rng(0), device=CPU):
        pass
    assert psutil.Process().memory_info().rss - before < images.nbytes / 2


def test_tensors_are_channels_last_views_of_the_pixels():
    """[B, H, W, C] bytes become [B, C, H, W] in channels-last memory without a copy."""
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    tensor = to_device(images, CPU)
    assert tensor.shape == (2, 3, 4, 4)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert tensor.data_ptr() == images.ctypes.data
