"""`distill` matches predictions, or the last feature, with those of a frozen teacher on the raw image."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity

from fct.losses.predictions import TEMPERATURE, kl_divergence
from fct.methods import distill, fct, pair
from fct.methods.batch import Context


def make_teacher(make_network):
    """Return a network with other weights in the first layer."""
    network = make_network().eval().requires_grad_(False)
    torch.nn.init.normal_(network.backbone.stem[0].weight, generator=torch.Generator().manual_seed(5))
    return network


@pytest.mark.parametrize("match", ["logits", "features"])
def test_with_weight_0_it_is_pair_to_the_bit(make_network, batch, toy, gradients, match):
    """At weight 0 the loss and every gradient are those of `pair`."""
    network, control_network = make_network(), make_network()
    method = toy.method(name="distill", teacher="some.pt", match=match, weight=0)
    loss = distill.loss(network, batch, method, Context(teacher=make_teacher(make_network)))
    control = pair.loss(control_network, batch, method)
    assert torch.equal(loss.total, control.total)
    actual, expected = gradients(network, loss.total), gradients(control_network, control.total)
    assert [name for name in expected if not torch.equal(actual[name], expected[name])] == []


def test_divergence_of_two_classes_by_hand():
    """T^2 KL(p || q) at T = 4, with p = (3/4, 1/4) and q = (1/2, 1/2): 16 (3/4 ln 3/2 + 1/4 ln 1/2)."""
    teacher_logits = torch.tensor([[4 * math.log(3), 0.0]])
    expected = 16 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    divergence = kl_divergence(teacher_logits, torch.zeros(1, 2), temperature=TEMPERATURE)
    assert divergence.item() == pytest.approx(expected, rel=1e-5)


def test_logits_of_both_views_are_compared_with_the_teachers_on_the_raw_image(make_network, batch, toy):
    """The term is the mean of both views' divergence from the teacher's prediction for the raw image."""
    network, teacher = make_network().eval(), make_teacher(make_network)
    loss = distill.loss(network, batch, toy.method(name="distill", teacher="some.pt"), Context(teacher=teacher))
    teacher_logits = teacher(batch.raw, batch.raw_quality)[0]
    views = [(batch.raw, batch.raw_quality), (batch.compressed, batch.quality)]
    divergences = [kl_divergence(teacher_logits, network(*view)[0], temperature=TEMPERATURE).item() for view in views]
    assert loss.parts["distillation"].item() == pytest.approx(sum(divergences) / 2, rel=1e-4)


def test_each_view_is_compared_with_the_teacher_on_its_own_crop(make_network, batch, toy):
    """With own crops, the compressed view is compared with the raw image in its crop."""
    network, teacher = make_network().eval(), make_teacher(make_network)
    batch = replace(batch, reference=batch.raw.flip(3))
    loss = distill.loss(network, batch, toy.method(name="distill", teacher="some.pt"), Context(teacher=teacher))
    pairs = [(batch.raw, batch.raw_quality, batch.raw), (batch.compressed, batch.quality, batch.reference)]
    divergences = []
    for view, quality, teacher_view in pairs:
        logits, teacher_logits = network(view, quality)[0], teacher(teacher_view, batch.raw_quality)[0]
        divergences.append(kl_divergence(teacher_logits, logits, temperature=TEMPERATURE).item())
    assert loss.parts["distillation"].item() == pytest.approx(sum(divergences) / 2, rel=1e-4)


def test_features_are_compared_at_the_last_layer(make_network, batch, toy):
    """With `match: features` the term is 1 - cos of the compressed view's last feature and the teacher's raw one."""
    network, teacher = make_network().eval(), make_teacher(make_network)
    method = toy.method(name="distill", teacher="some.pt", match="features")
    loss = distill.loss(network, batch, method, Context(teacher=teacher))
    student_feature = network(batch.compressed, batch.quality)[1]["stage3"].flatten(1)
    teacher_feature = teacher(batch.raw, batch.raw_quality)[1]["stage3"].flatten(1)
    expected = 1 - cosine_similarity(student_feature, teacher_feature).mean().item()
    assert loss.parts["distillation"].item() == pytest.approx(expected, rel=1e-4)


def test_the_teacher_gets_no_gradient(make_network, batch, toy, gradients):
    """The teacher's weights have no gradient, even if they require one."""
    network, teacher = make_network(), make_teacher(make_network).requires_grad_(True)
    loss = distill.loss(network, batch, toy.method(name="distill", teacher="some.pt"), Context(teacher=teacher))
    assert gradients(network, loss.total)
    assert all(weight.grad is None for weight in teacher.parameters())


def test_with_features_it_is_fct_to_the_bit(make_network, batch, toy, gradients):
    """Loss and gradients are those of `fct` with a frozen teacher, the cosine and only the last layer."""
    network, fct_network = make_network(), make_network()
    context = Context(teacher=make_teacher(make_network))
    method = toy.method(name="distill", teacher="some.pt", match="features", weight=3.0)
    equivalent = {"layers": ("stage3",), "distance": "cosine", "target": "teacher"}
    loss = distill.loss(network, batch, method, context)
    fct_loss = fct.loss(fct_network, batch, method.model_copy(update={"name": "fct", **equivalent}), context)
    assert torch.equal(loss.total, fct_loss.total)
    actual, expected = gradients(network, loss.total), gradients(fct_network, fct_loss.total)
    assert [name for name in expected if not torch.equal(actual[name], expected[name])] == []
