"""`distill` pulls predictions, or the last feature, to those of a frozen teacher on the raw image."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity

from fct.losses.divergence import kl_divergence
from fct.methods import distill, fct, pair
from fct.methods.batch import Context


def teacher(make_network):
    """Another network: the first layer's weights differ."""
    network = make_network().eval().requires_grad_(False)
    torch.nn.init.normal_(network.backbone.stem[0].weight, generator=torch.Generator().manual_seed(5))
    return network


@pytest.mark.parametrize("match", ["logits", "features"])
def test_without_weight_it_is_pair_to_the_bit(make_network, batch, toy, gradients, match):
    """At weight 0 the loss and every gradient are those of `pair`."""
    one, other = make_network(), make_network()
    method = toy.method(name="distill", teacher="some.pt", match=match, weight=0)
    ours = distill.loss(one, batch, method, Context(teacher=teacher(make_network)))
    control = pair.loss(other, batch, method)
    assert torch.equal(ours.total, control.total)
    mine, theirs = gradients(one, ours.total), gradients(other, control.total)
    assert [name for name in theirs if not torch.equal(mine[name], theirs[name])] == []


def test_divergence_of_two_classes_by_hand():
    """T^2 KL(p || q) at T = 4, with p = (3/4, 1/4) and q = (1/2, 1/2): 16 (3/4 ln 3/2 + 1/4 ln 1/2)."""
    taught = torch.tensor([[4 * math.log(3), 0.0]])
    expected = 16 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert kl_divergence(torch.zeros(1, 2), taught, distill.TEMPERATURE).item() == pytest.approx(expected, rel=1e-5)


def test_logits_of_both_views_learn_from_the_teacher_on_the_raw_one(make_network, batch, toy):
    """The term is the mean of both views' divergence from what the teacher says of the raw image."""
    network, other = make_network().eval(), teacher(make_network)
    loss = distill.loss(network, batch, toy.method(name="distill", teacher="some.pt"), Context(teacher=other))
    taught = other(batch.raw, batch.raw_quality)[0]
    views = [(batch.raw, batch.raw_quality), (batch.compressed, batch.quality)]
    each = [kl_divergence(network(*view)[0], taught, distill.TEMPERATURE).item() for view in views]
    assert loss.parts["distillation"].item() == pytest.approx(sum(each) / 2, rel=1e-4)


def test_each_view_learns_from_the_teacher_on_its_own_crop(make_network, batch, toy):
    """Where views are cropped apart, the compressed one is held against the raw image of its crop."""
    network, other = make_network().eval(), teacher(make_network)
    batch = replace(batch, reference=batch.raw.flip(3))
    loss = distill.loss(network, batch, toy.method(name="distill", teacher="some.pt"), Context(teacher=other))
    pairs = [(batch.raw, batch.raw_quality, batch.raw), (batch.compressed, batch.quality, batch.reference)]
    each = [
        kl_divergence(network(view, quality)[0], other(shown, batch.raw_quality)[0], distill.TEMPERATURE).item()
        for view, quality, shown in pairs
    ]
    assert loss.parts["distillation"].item() == pytest.approx(sum(each) / 2, rel=1e-4)


def test_features_learn_at_the_last_layer(make_network, batch, toy):
    """With features, the term is 1 - cos between the compressed view's last feature and the teacher's raw one."""
    network, other = make_network().eval(), teacher(make_network)
    method = toy.method(name="distill", teacher="some.pt", match="features")
    loss = distill.loss(network, batch, method, Context(teacher=other))
    ours = network(batch.compressed, batch.quality)[1]["stage3"].flatten(1)
    theirs = other(batch.raw, batch.raw_quality)[1]["stage3"].flatten(1)
    expected = 1 - cosine_similarity(ours, theirs).mean().item()
    assert loss.parts["distillation"].item() == pytest.approx(expected, rel=1e-4)


def test_the_teacher_learns_nothing(make_network, batch, toy, gradients):
    """No gradient reaches the teacher's weights, even where they could take one."""
    network, other = make_network(), teacher(make_network).requires_grad_(True)
    loss = distill.loss(network, batch, toy.method(name="distill", teacher="some.pt"), Context(teacher=other))
    assert gradients(network, loss.total)
    assert all(weight.grad is None for weight in other.parameters())


def test_on_features_it_is_fct_to_the_bit(make_network, batch, toy, gradients):
    """It is `fct` with a frozen teacher, the cosine and the last layer alone, in the loss and every gradient."""
    one, other, frozen = make_network(), make_network(), Context(teacher=teacher(make_network))
    method = toy.method(name="distill", teacher="some.pt", match="features", weight=3.0)
    same = {"layers": ("stage3",), "distance": "cosine", "target": "teacher"}
    ours = distill.loss(one, batch, method, frozen)
    theirs = fct.loss(other, batch, method.model_copy(update={"name": "fct", **same}), frozen)
    assert torch.equal(ours.total, theirs.total)
    mine, its = gradients(one, ours.total), gradients(other, theirs.total)
    assert [name for name in its if not torch.equal(mine[name], its[name])] == []
