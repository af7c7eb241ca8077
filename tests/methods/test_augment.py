"""`augment` trains on each image either raw or compressed."""

import dataclasses

import pytest
import torch

from fct.methods import augment, standard


def as_compressed(batch):
    """Return a batch whose raw view is the compressed one."""
    return dataclasses.replace(batch, raw=batch.compressed, raw_quality=batch.quality)


@pytest.mark.parametrize("probability", [0, 1])
def test_probabilities_0_and_1_train_on_one_view(make_network, batch, toy, probability):
    """Probability 0 is `standard`, and 1 is `standard` on the compressed view and its quality, to the bit."""
    view = as_compressed(batch) if probability else batch
    method = toy.method(name="augment", probability=probability)
    loss = augment.loss(make_network(blocks=True), batch, method)
    expected = standard.loss(make_network(blocks=True), view, toy.method(name="standard"))
    assert torch.equal(loss.total, expected.total)


def test_each_image_is_compressed_independently(batch, toy):
    """A batch mixes raw and compressed images with their qualities, in the given proportion."""
    inputs = []

    class Spy(torch.nn.Module):
        def forward(self, image, quality):
            inputs.append((image, quality))
            return torch.zeros(len(image), 3), {}

    for _ in range(200):
        augment.loss(Spy(), batch, toy.method(name="augment", probability=0.25))
    count = 0
    for image, quality in inputs:
        compressed = (image == batch.compressed).all(dim=(1, 2, 3))
        assert (compressed ^ (image == batch.raw).all(dim=(1, 2, 3))).all()
        assert torch.equal(quality, torch.where(compressed, batch.quality, batch.raw_quality))
        count += int(compressed.sum())
    assert count / 1200 == pytest.approx(0.25, abs=0.06)  # 5 standard deviations
