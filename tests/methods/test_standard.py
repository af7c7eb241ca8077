"""`standard` is cross entropy on raw images."""

import dataclasses

import torch

from fct.methods import standard
from fct.methods.params import STANDARD


def by_hand(logits, labels):
    """Mean of -log softmax at the label, from its definition."""
    return (logits.exp().sum(1).log() - logits[range(len(labels)), labels]).mean()


def test_the_loss_is_the_cross_entropy_of_raw_images(make_network, batch, toy):
    """Each raw image is seen with its own quality; the part is the whole."""
    network = make_network(blocks=True)
    expected = by_hand(network(batch.raw, batch.raw_quality)[0], batch.labels)
    loss = standard.loss(make_network(blocks=True), batch, toy.method(name="standard"))
    torch.testing.assert_close(loss.total, expected)
    assert loss.parts == {"cross_entropy": loss.total}


def test_compressed_images_are_not_looked_at(make_network, batch, toy):
    """Whatever the compressed view is, the loss is the same to the bit."""
    other = dataclasses.replace(batch, compressed=255 - batch.compressed, quality=101 - batch.quality)
    both = [standard.loss(make_network(), each, toy.method(name="standard")).total for each in (batch, other)]
    assert torch.equal(*both)


def test_it_needs_no_more_than_its_name(make_network, batch, toy):
    """What the baseline is trained with gives the loss that the whole section gives."""
    both = [standard.loss(make_network(), batch, each).total for each in (STANDARD, toy.method(name="standard"))]
    assert torch.equal(*both)
