"""The cross entropy that all methods share, with label smoothing."""

import math

import pytest
import torch

from fct.methods.batch import Context, mean_cross_entropy
from fct.methods.registry import METHODS


def test_smoothed_labels_by_hand():
    """Smoothing 0.2 of two classes gives weights 0.9 and 0.1: 0.9 ln 4/3 + 0.1 ln 4 for probabilities 3/4 and 1/4."""
    logits = torch.tensor([[math.log(3), 0.0]])
    loss = mean_cross_entropy(logits, torch.tensor([0]), Context(label_smoothing=0.2))
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
