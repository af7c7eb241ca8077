"""`jsd` pulls the predictions of both views to their mean."""

import dataclasses
import math

import torch

from fct.methods import jsd


def test_the_loss_is_cross_entropy_and_weighted_divergence(make_network, batch, toy):
    """By hand: minus the log probability of the label, and half the divergences of both predictions from their mean."""
    network = make_network().eval()  # batch statistics would mix the two
    raw = network(batch.raw, batch.raw_quality)[0].softmax(1)
    compressed = network(batch.compressed, batch.quality)[0].softmax(1)
    mean = (raw + compressed) / 2
    entropy = -raw[range(6), batch.labels].log().mean()
    divergence = sum((each * (each / mean).log()).sum(1).mean() for each in (raw, compressed)) / 2
    assert divergence > 1e-5
    found = jsd.loss(network, batch, toy.method(name="jsd", weight=12))
    torch.testing.assert_close(found.total, entropy + 12 * divergence)
    torch.testing.assert_close(found.parts["divergence"], divergence)


def test_the_divergence_of_opposites_is_log_two(make_network, batch, toy):
    """It is bounded: predictions that exclude each other are log 2 apart, equal ones 0."""

    class Sure(torch.nn.Module):
        def forward(self, image, quality):  # noqa: ARG002  # a network's
            raw, _ = torch.nn.functional.one_hot(torch.tensor([0, 1] * 6), 3).float().mul(1e4).chunk(2)
            return torch.cat([raw, raw.roll(1, 0)]), {}

    apart = jsd.loss(Sure(), batch, toy.method(name="jsd")).parts["divergence"]
    torch.testing.assert_close(apart, torch.tensor(math.log(2)))
    same = dataclasses.replace(batch, compressed=batch.raw, quality=batch.raw_quality)
    together = jsd.loss(make_network().eval(), same, toy.method(name="jsd")).parts["divergence"]
    torch.testing.assert_close(together, torch.tensor(0.0), atol=1e-6, rtol=0)
