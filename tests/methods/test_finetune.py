"""`finetune` is `standard` for half of a training, and compression as augmentation from then on."""

import pytest
import torch

from fct.methods import augment, finetune, standard
from fct.methods.batch import Context


@pytest.mark.parametrize(("progress", "phase"), [(0.0, standard), (0.49, standard), (0.5, augment), (0.99, augment)])
def test_the_loss_changes_in_the_middle_of_the_training(make_network, batch, toy, progress, phase):
    """The first half has the loss of `standard`, and the second half that of `augment`."""
    method = toy.method(name="finetune", probability=0.7)
    network = make_network().eval()
    torch.manual_seed(3)
    loss = finetune.loss(network, batch, method, Context(progress))
    torch.manual_seed(3)
    assert torch.equal(loss.total, phase.loss(network, batch, method).total)
