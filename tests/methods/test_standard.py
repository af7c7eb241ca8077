"""`standard` is cross entropy on raw images."""

import dataclasses

import torch

from fct.methods import standard
from fct.methods.params import STANDARD


def by_hand(logits, labels):
    """Return the mean of -log softmax at the label, from its definition."""
    return (logits.exp().sum(1).log() - logits[range(len(labels)), labels]).mean()


def test_the_loss_is_the_cross_entropy_of_raw_images(make_network, batch, toy):
    """The loss is the cross entropy of raw images with their own qualities, and has one part."""
    network = make_network(blocks=True)
    expected = by_hand(network(batch.raw, batch.raw_quality)[0], batch.labels)
    loss = standard.loss(make_network(blocks=True), batch, toy.method(name="standard"))
    torch.testing.assert_close(loss.total, expected)
    assert loss.parts == {"cross_entropy": loss.total}


def test_compressed_images_are_not_used(make_network, batch, toy):
    """The loss does not depend on the compressed view."""
    other = dataclasses.replace(batch, compressed=255 - batch.compressed, quality=101 - batch.quality)
    losses = [standard.loss(make_network(), view, toy.method(name="standard")).total for view in (batch, other)]
    assert torch.equal(*losses)


def test_it_needs_only_its_name(make_network, batch, toy):
    """The baseline's params give the same loss as a complete section."""
    methods = (STANDARD, toy.method(name="standard"))
    losses = [standard.loss(make_network(), batch, method).total for method in methods]
    assert torch.equal(*losses)
