"""The cross entropy that all methods share, with label smoothing."""

import math

import pytest
import torch

from fct.methods.batch import Batch, Context, Partners, mean_cross_entropy
from fct.methods.registry import METHODS


def labelled(labels, partners=None):
    """Return a batch of which only the labels matter."""
    labels = torch.tensor(labels)
    image, quality = torch.zeros(len(labels), 3, 8, 8, dtype=torch.uint8), torch.full((len(labels),), 100)
    return Batch(image, quality, image, quality, labels, image, partners)


def test_mixed_labels_count_by_their_share():
    """The loss of a mixed image is that of both labels, each times its share, for both views alike."""
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0], [0.0, 0.0, 3.0], [1.0, 1.0, 0.0]])
    partners = Partners(torch.tensor([2, 0]), torch.tensor([0.25, 1.0]))
    smoothed = Context(label_smoothing=0.1)
    loss = mean_cross_entropy(logits, labelled([0, 1], partners), smoothed)
    target = torch.tensor([[0.75, 0, 0.25], [1, 0, 0]]).repeat(2, 1)
    assert torch.isclose(loss, torch.nn.functional.cross_entropy(logits, target, label_smoothing=0.1))


def test_smoothed_labels_by_hand():
    """Smoothing 0.2 of two classes gives weights 0.9 and 0.1: 0.9 ln 4/3 + 0.1 ln 4 for probabilities 3/4 and 1/4."""
    logits = torch.tensor([[math.log(3), 0.0]])
    loss = mean_cross_entropy(logits, labelled([0]), Context(label_smoothing=0.2))
    assert loss.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4), rel=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_smooths_its_labels(name, make_network, batch, toy):
    """The part `cross_entropy` of each method's loss depends on the context's label smoothing."""
    method = toy.method(name=name, teacher="some.pt", target="raw-detached")
    teacher = make_network().eval()

    def compute(label_smoothing):
        torch.manual_seed(0)
        context = Context(teacher=teacher, label_smoothing=label_smoothing)
        return METHODS[name].loss(make_network(), batch, method, context).parts["cross_entropy"]

    assert not torch.isclose(compute(0.0), compute(0.3))
