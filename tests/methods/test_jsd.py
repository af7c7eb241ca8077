"""`jsd` keeps the predictions of both views close to their mean."""

import dataclasses
import math

import torch

from fct.methods import jsd


def test_the_loss_is_cross_entropy_and_weighted_divergence(make_network, batch, toy):
    """The loss is equal to cross entropy and divergence computed by hand."""
    network = make_network().eval()  # batch statistics would mix the two
    raw = network(batch.raw, batch.raw_quality)[0].softmax(1)
    compressed = network(batch.compressed, batch.quality)[0].softmax(1)
    mean = (raw + compressed) / 2
    entropy = -raw[range(6), batch.labels].log().mean()
    divergence = sum((p * (p / mean).log()).sum(1).mean() for p in (raw, compressed)) / 2
    assert divergence > 1e-5
    loss = jsd.loss(network, batch, toy.method(name="jsd", weight=12))
    torch.testing.assert_close(loss.total, entropy + 12 * divergence)
    torch.testing.assert_close(loss.parts["divergence"], divergence)


def test_the_divergence_of_opposites_is_log_two(make_network, batch, toy):
    """The divergence of disjoint predictions is log 2, the maximum. That of equal predictions is 0."""

    class Certain(torch.nn.Module):
        def forward(self, image, quality):  # noqa: ARG002  # signature of a network
            raw, _ = torch.nn.functional.one_hot(torch.tensor([0, 1] * 6), 3).float().mul(1e4).chunk(2)
            return torch.cat([raw, raw.roll(1, 0)]), {}

    disjoint = jsd.loss(Certain(), batch, toy.method(name="jsd")).parts["divergence"]
    torch.testing.assert_close(disjoint, torch.tensor(math.log(2)))
    same = dataclasses.replace(batch, compressed=batch.raw, quality=batch.raw_quality)
    equal = jsd.loss(make_network().eval(), same, toy.method(name="jsd")).parts["divergence"]
    torch.testing.assert_close(equal, torch.tensor(0.0), atol=1e-6, rtol=0)
