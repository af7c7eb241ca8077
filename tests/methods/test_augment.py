"""`augment` shows each image raw or compressed."""

import dataclasses

import pytest
import torch

from fct.methods import augment, standard


def as_compressed(batch):
    """The batch whose raw view is the compressed one."""
    return dataclasses.replace(batch, raw=batch.compressed, raw_quality=batch.quality)


@pytest.mark.parametrize("probability", [0, 1])
def test_the_ends_are_training_on_one_view(make_network, batch, toy, probability):
    """Probability 0 is `standard` to the bit, 1 is `standard` on the compressed view, its quality included."""
    seen = as_compressed(batch) if probability else batch
    method = toy.method(name="augment", probability=probability)
    loss = augment.loss(make_network(blocks=True), batch, method)
    expected = standard.loss(make_network(blocks=True), seen, toy.method(name="standard"))
    assert torch.equal(loss.total, expected.total)


def test_each_image_is_chosen_by_itself(batch, toy):
    """In one batch some images are raw and some compressed, each whole and told with its quality; as often as said."""
    seen = []

    class Watch(torch.nn.Module):
        def forward(self, image, quality):
            seen.append((image, quality))
            return torch.zeros(len(image), 3), {}

    for _ in range(200):
        augment.loss(Watch(), batch, toy.method(name="augment", probability=0.25))
    chosen = 0
    for image, quality in seen:
        compressed = (image == batch.compressed).all(dim=(1, 2, 3))
        assert (compressed ^ (image == batch.raw).all(dim=(1, 2, 3))).all()
        assert torch.equal(quality, torch.where(compressed, batch.quality, batch.raw_quality))
        chosen += int(compressed.sum())
    assert chosen / 1200 == pytest.approx(0.25, abs=0.06)  # 5 standard deviations
