"""Batches pair each image with its compressed view, with the same crop and flip."""

import numpy as np
import pytest
import torch

from fct.jpeg.arrays import roundtrip
from fct.models.device import to_device
from fct.splits.store import Split
from fct.train.batches import Cached, Online, Resident, epoch
from fct.train.crop import Augmentation
from fct.train.group import Group
from fct.train.params import ResizedCrop

CPU = torch.device("cpu")
UNCHANGED = Augmentation(0, flip=False)
SHIFTED = Augmentation(2, flip=True)
RESIZED = Augmentation(0, flip=True, resized_crop=ResizedCrop(scale=(0.4, 1.0), ratio=(0.8, 1.25)))
MIXED = Augmentation(2, flip=True, cutmix=1.0, erasing=0.5)
SMALLER = Augmentation(1, flip=True, size=6)  # crops of images that are kept larger


def numbered(count=50, size=8):
    """Return images of noise. The middle pixel is the image's number, which identifies it in an uncropped batch."""
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    images[:, size // 2, size // 2] = np.arange(count)[:, None]
    return Split("train", images, np.arange(count) % 3, np.where(np.arange(count) % 4, 100, 75), None)


def make_batches(split, source, augmentation=UNCHANGED, *, batch_size=10, seed=0):
    rng = np.random.default_rng(seed)
    return list(epoch(split, source, augmentation, batch_size=batch_size, rng=rng, device=CPU))


def rows(images):
    return images.permute(0, 2, 3, 1).numpy()


def numbers(batch):
    return batch.raw[:, 0, 4, 4].numpy()


def are_equal(first, second):
    """Whether all tensors of two batches are, on whatever devices."""

    def tensors(batch):
        parts = vars(batch) | {"partners": None}
        return [value.cpu() for value in [*parts.values(), *(batch.partners or ())] if value is not None]

    return all(map(torch.equal, tensors(first), tensors(second)))


def test_an_epoch_has_each_image_once_with_its_label_and_quality():
    """An epoch is a permutation of the images, with their labels and the qualities of their files."""
    split = numbered()
    batches = make_batches(split, Cached({50: split.images}))
    assert [len(batch.labels) for batch in batches] == [10] * 5
    order = np.concatenate([numbers(batch) for batch in batches])
    assert sorted(order) == list(range(50))
    assert (order != np.arange(50)).any()
    np.testing.assert_array_equal(torch.cat([batch.labels for batch in batches]), split.labels[order])
    np.testing.assert_array_equal(torch.cat([batch.raw_quality for batch in batches]), split.quality[order])
    np.testing.assert_array_equal(np.concatenate([rows(batch.raw) for batch in batches]), split.images[order])


def test_batches_are_full():
    """Images that do not fill a batch are left out. A split smaller than a batch is one batch."""
    split = numbered()
    assert [len(batch.labels) for batch in make_batches(split, Cached({50: split.images}), batch_size=20)] == [20, 20]
    assert [len(batch.labels) for batch in make_batches(split, Cached({50: split.images}), batch_size=64)] == [50]


@pytest.mark.parametrize("augmentation", [SHIFTED, RESIZED])
def test_both_views_are_cropped_and_flipped_alike(augmentation):
    """Where the views are the raw images themselves, both halves of every batch are equal, and moved."""
    split = numbered()
    batches = make_batches(split, Cached({50: split.images}), augmentation)
    assert all(torch.equal(batch.raw, batch.compressed) for batch in batches)
    still = make_batches(split, Cached({50: split.images}))
    assert not all(torch.equal(a.raw, b.raw) for a, b in zip(batches, still, strict=True))


def test_with_own_crops_the_reference_has_the_compressed_views_crop():
    """The raw view has another crop. The reference is the raw image in the crop of the compressed view."""
    split = numbered(size=16)
    own = Augmentation(2, flip=True, shared=False)
    for batch in make_batches(split, Online((20, 60), "4:4:4"), own):
        expected = roundtrip(rows(batch.reference), batch.quality.numpy(), "4:4:4")
        np.testing.assert_array_equal(rows(batch.compressed), expected)
        assert not torch.equal(batch.raw, batch.reference)


def test_with_shared_crops_the_reference_is_the_raw_view():
    """The reference is the same tensor, so that a teacher can share the pass over it."""
    split = numbered()
    assert all(batch.reference is batch.raw for batch in make_batches(split, Cached({50: split.images}), SHIFTED))


def test_cutout_is_the_same_in_both_views():
    """The same square of both views of an image is black, and no other pixel changes."""
    split = numbered()
    source = Cached({50: 255 - split.images})
    cut = make_batches(split, source, Augmentation(0, flip=False, cutout=3))
    for batch in cut:
        black = ((batch.raw == 0) & (batch.compressed == 0)).all(1)  # in inverse views, only the square is 0 in both
        assert (black.sum((1, 2)) > 0).all()
        assert (batch.raw.permute(0, 2, 3, 1)[~black] + batch.compressed.permute(0, 2, 3, 1)[~black] == 255).all()


def test_each_compressed_view_has_the_quality_of_the_batch():
    """Each image gets its own view at one of the qualities, and all qualities are drawn."""
    split = numbered()
    views = {q: (split.images // 8 + q).astype(np.uint8) for q in (20, 60, 90)}
    drawn = set()
    for batch in make_batches(split, Cached(views)):
        for image, number, quality in zip(rows(batch.compressed), numbers(batch), batch.quality.tolist(), strict=True):
            np.testing.assert_array_equal(image, views[quality][number])
            drawn.add(quality)
    assert drawn == {20, 60, 90}


@pytest.mark.parametrize("augmentation", [SHIFTED, RESIZED])
def test_online_crops_first_and_then_compresses(augmentation):
    """The online view is the codec's result for the cropped and flipped raw image, at the quality of the batch."""
    split = numbered(size=16)
    for batch in make_batches(split, Online((20, 60), "4:4:4"), augmentation):
        expected = roundtrip(rows(batch.raw), batch.quality.numpy(), "4:4:4")
        np.testing.assert_array_equal(rows(batch.compressed), expected)


@pytest.mark.parametrize("online", [False, True])
def test_an_epoch_follows_from_its_generator(online):
    """The same seed gives the same batches, and another seed gives others."""
    split = numbered()
    source = Online((20, 60), "4:2:0") if online else Cached({20: split.images, 60: 255 - split.images})
    first, same, other = (make_batches(split, source, SHIFTED, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(first, same, strict=True):
        assert are_equal(a, b)
    assert not all(torch.equal(a.compressed, b.compressed) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    "augmentation", [UNCHANGED, SHIFTED, Augmentation(2, flip=True, cutout=3, shared=False), SMALLER, MIXED]
)
def test_a_resident_cache_gives_the_same_batches_as_a_mapped_one(augmentation):
    """Batches that the device gathers and crops are equal to the bit, for every third image, too."""
    split = numbered()
    cached = Cached({20: split.images, 60: 255 - split.images})
    resident = Resident.upload(split, cached, CPU)
    for step in (1, 3):
        part = split.every(step)
        expected, batches = (make_batches(part, source.every(step), augmentation) for source in (cached, resident))
        assert len(expected) == len(batches) > 0
        for a, b in zip(expected, batches, strict=True):
            assert are_equal(a, b)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("kind", ["cache", "resident", "online"])
def test_a_gpu_gets_the_batches_of_the_cpu(kind):
    """The pixels are equal for batches that are copied to, gathered on, or compressed on the GPU."""
    split, gpu = numbered(size=16), torch.device("cuda")
    cached = Cached({20: split.images, 60: 255 - split.images})
    source = Online((20, 60), "4:2:0") if kind == "online" else cached
    gpu_source = Resident.upload(split, cached, gpu) if kind == "resident" else source
    expected = make_batches(split, source, SHIFTED)
    rng = np.random.default_rng(0)
    batches = list(epoch(split, gpu_source, SHIFTED, batch_size=10, rng=rng, device=gpu))
    for a, b in zip(expected, batches, strict=True):
        assert are_equal(a, b)


def test_mapped_pages_are_dropped_between_batches(tmp_path, monkeypatch):
    """An epoch reads a whole memory-mapped file, but little of it stays in the memory of the process."""
    import psutil

    count, side = 400, 128
    np.save(tmp_path / "images.npy", np.zeros((count, side, side, 3), np.uint8))
    monkeypatch.setattr("fct.train.batches.MAPPED_LIMIT", 0)
    make_batches(numbered(), Cached({50: numbered().images}), batch_size=8)  # load modules before the measurement
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    split = Split("train", images, np.zeros(count, np.int64), np.full(count, 100), None)
    before = psutil.Process().memory_info().rss
    for _ in epoch(split, Cached({50: images}), UNCHANGED, batch_size=8, rng=np.random.default_rng(0), device=CPU):
        pass
    assert psutil.Process().memory_info().rss - before < images.nbytes / 2


def test_tensors_are_channels_last_views_of_the_pixels():
    """[B, H, W, C] bytes become [B, C, H, W] in channels-last memory without a copy."""
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    tensor = to_device(images, CPU)
    assert tensor.shape == (2, 3, 4, 4)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert tensor.data_ptr() == images.ctypes.data


VARIED = Augmentation(2, flip=True, cutout=3, shared=False, colour_jitter=0.3, policy="trivial-augment", mixup=0.4)


@pytest.mark.parametrize(
    "augmentation", [SHIFTED, RESIZED, MIXED, VARIED], ids=["shifted", "resized", "mixed", "varied"]
)
@pytest.mark.parametrize("kind", ["cache", "online"])
def test_the_images_of_all_processes_are_those_of_one(augmentation, kind):
    """Each process makes every third image of each batch, as one process makes it."""
    split = numbered(size=16)
    cache = {quality: roundtrip(split.images, quality, "4:2:0") for quality in (20, 60)}
    source = Cached(cache) if kind == "cache" else Online((20, 60), "4:2:0")

    def made(group):
        rng = np.random.default_rng(0)
        return list(epoch(split, source, augmentation, batch_size=10, rng=rng, device=CPU, group=group))

    whole = made(Group())
    for rank in range(3):
        for batch, part in zip(whole, made(Group(rank, 3)), strict=True):
            assert are_equal(batch.of(torch.arange(rank, 10, 3)), part)
