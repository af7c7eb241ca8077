"""The moving average follows the weights, quickly at first."""

import pytest
import torch
from torch import nn

from fct.train.average import average_of


def moved(decay, values):
    """Return the average after the weight has had each of `values`."""
    network = nn.Linear(1, 1, bias=False)
    average = average_of(network, decay)
    for value in values:
        nn.init.constant_(network.weight, value)
        average.update_parameters(network)
    return float(average.module.weight)


def test_it_begins_with_the_weights_after_the_first_step():
    """What the network was before counts for nothing."""
    assert moved(0.9, [3.0]) == 3.0


def test_it_keeps_little_at_first():
    """After the second step 2/11 of the old value are left, whatever the decay."""
    assert moved(0.999, [0.0, 11.0]) == pytest.approx(9.0)


def test_it_keeps_the_decay_later():
    """With a decay of a half, the second step already counts as much as all before it."""
    assert moved(0.1, [0.0, 10.0]) == pytest.approx(9.0)


def test_the_average_is_not_trained():
    """No optimiser can take its weights."""
    assert not any(weight.requires_grad for weight in average_of(nn.Linear(2, 2), 0.9).parameters())
    assert all(weight.requires_grad for weight in nn.Linear(2, 2).parameters())
    assert torch.is_grad_enabled()
