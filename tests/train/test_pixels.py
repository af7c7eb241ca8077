"""Random changes of pixels: all views of an image alike, each image on its own, drawn from the epoch's generator."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from fct.splits.store import Split
from fct.train.batches import Cached, epoch
from fct.train.colours import OPERATIONS, jitter
from fct.train.crop import Augmentation
from fct.train.pixels import Mix, change

PLAIN = Augmentation(0, flip=False)
CHANGES = {
    "jitter": {"colour_jitter": 0.5},
    "rand-augment": {"policy": "rand-augment"},
    "trivial-augment": {"policy": "trivial-augment"},
    "erasing": {"erasing": 1.0},
}
CHANGES["all"] = {name: value for changed in CHANGES.values() for name, value in changed.items()}


def noise(count=24, channels=3, size=16):
    pixels = np.random.default_rng(0).integers(1, 256, (count, size, size, channels), np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def changed(images, seed=0, **keys):
    return change(replace(PLAIN, **keys), [images, images], np.random.default_rng(seed))


@pytest.mark.parametrize("keys", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_both_views_are_changed_alike_and_follow_from_the_generator(keys, channels):
    """Equal views stay equal, most images change, and the same seed gives the same pixels, whatever torch's seed."""
    images = noise(channels=channels)
    first, second = changed(images, **keys)
    assert first.dtype == torch.uint8
    assert first.shape == images.shape
    assert torch.equal(first, second)
    assert (first != images).any(3).any(2).any(1).float().mean() > 0.5
    torch.manual_seed(5)
    assert torch.equal(first, changed(images, **keys)[0])
    assert not torch.equal(first, changed(images, seed=1, **keys)[0])


def test_jitter_is_torchvisions_with_factors_for_each_image():
    """Brightness, contrast and saturation one after the other, as its functions compute them in floating point."""
    images = noise(6)
    (result,) = jitter(0.4, [images], np.random.default_rng(0))
    factors = np.random.default_rng(0).uniform(0.6, 1.4, (3, 6))
    assert len(np.unique(factors)) == 18
    for image, after, (brightness, contrast, saturation) in zip(images, result, factors.T, strict=True):
        pixels = functional.adjust_brightness(image.float() / 255, brightness)
        pixels = functional.adjust_saturation(functional.adjust_contrast(pixels, contrast), saturation)
        assert (after - pixels * 255).abs().max() <= 1


@pytest.mark.parametrize("number", range(len(OPERATIONS)))
@pytest.mark.parametrize("policy", ["rand-augment", "trivial-augment"])
def test_an_operation_changes_more_the_stronger_it_is(number, policy):
    """At strength 0 nothing changes but for operations without one; at full strength all but the identity do."""
    operation, images = OPERATIONS[number], noise(4)
    most = operation.most[policy]
    if most:
        assert (operation.apply(images, 0.0).int() - images.int()).abs().max() <= (255 if number == 11 else 0)
    full = operation.apply(images, most)
    assert full.shape == images.shape
    assert full.dtype == torch.uint8
    assert torch.equal(full, images) == (number == 0)


def test_erasing_blackens_a_box_of_some_images():
    """With probability one half, about half of the images have one black box, of 2 to 33 % of the area."""
    images = torch.full((400, 3, 32, 32), 200, dtype=torch.uint8)
    result = changed(images, erasing=0.5)[0]
    black = (result == 0).all(1)
    assert (result[:, 0] != 0).logical_or(black).all()
    area = black.float().mean((1, 2))
    assert (area > 0).float().mean() == pytest.approx(0.5, abs=0.08)
    assert 0.01 < area[area > 0].min() < area.max() < 0.36
    for box in black[area > 0]:
        assert box.sum() == box.any(0).sum() * box.any(1).sum()


def labelled(count=40, size=8):
    """Return images of one grey each, whose value is twice their label's number."""
    labels = np.arange(count)
    images = np.broadcast_to((2 * labels)[:, None, None, None], (count, size, size, 3)).astype(np.uint8)
    return Split("train", images, labels, np.where(labels % 2, 70, 90), None)


def mixed_batches(augmentation, count=40, batch_size=11):
    split = labelled(count)
    views = {quality: split.images + np.uint8(100) for quality in (20, 60)}
    rng = np.random.default_rng(0)
    return list(epoch(split, Cached(views), augmentation, batch_size=batch_size, rng=rng, device=torch.device("cpu")))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("keys", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}], ids=str)
def test_all_views_are_mixed_with_the_same_partner_by_the_labels_share(keys, shared):
    """The mean of each view is that of both images, weighted by the shares of their labels."""
    for batch in mixed_batches(replace(PLAIN, shared=shared, **keys)):
        own, partners, share = batch.labels, batch.partners.labels, batch.partners.share
        expected = 2 * (own * (1 - share) + partners * share)
        assert (own != partners).sum() >= len(own) - 1  # the last of an odd number is alone
        assert ((share >= 0) & (share <= 1)).all()
        for view, offset in ((batch.raw, 0), (batch.reference, 0), (batch.compressed, 100)):
            torch.testing.assert_close(view.float().mean((1, 2, 3)), expected + offset, atol=0.51, rtol=0)
        assert (batch.raw is batch.reference) == shared


def test_partners_share_the_quality_of_their_compressed_views():
    """The image that another is mixed with has the same quality, and both qualities are drawn."""
    drawn = set()
    for batch in mixed_batches(replace(PLAIN, mixup=1.0)):
        quality = dict(zip(batch.labels.tolist(), batch.quality.tolist(), strict=True))
        assert [quality[label] for label in batch.partners.labels.tolist()] == batch.quality.tolist()
        drawn |= set(quality.values())
    assert drawn == {20, 60}


def test_the_larger_share_tells_the_raw_quality():
    """Files of quality 70 and 90 are mixed; the network is told that of the image which is seen more of."""
    for batch in mixed_batches(replace(PLAIN, mixup=1.0)):
        seen = torch.where(batch.partners.share <= 0.5, batch.labels, batch.partners.labels)
        assert torch.equal(batch.raw_quality, torch.where(seen % 2 == 1, 70, 90))


def test_cutmix_takes_a_square_and_mixup_all_pixels():
    """A pixel of cutmix is of one of both images, and all pixels of mixup are alike."""
    cut = torch.cat([batch.raw for batch in mixed_batches(replace(PLAIN, cutmix=1.0))])
    blended = torch.cat([batch.raw for batch in mixed_batches(replace(PLAIN, mixup=1.0))])
    assert max(len(image.unique()) for image in cut) == 2
    assert all(len(image.unique()) == 1 for image in blended)


def test_partners_are_pairs_and_without_alpha_there_are_none():
    """The partner's partner is the image itself."""
    assert Mix.draw(PLAIN, 10, 8, np.random.default_rng(0)) is None
    partner = Mix.draw(replace(PLAIN, mixup=0.3), 11, 8, np.random.default_rng(0)).partner
    assert (partner[partner] == np.arange(11)).all()
    assert (partner == np.arange(11)).sum() == 1
