"""`finetune` is `standard` for half of a training, and compression as augmentation from then on."""

import pytest
import torch

from fct.methods import augment, finetune, standard
from fct.methods.batch import Context


@pytest.mark.parametrize(("progress", "phase"), [(0.0, standard), (0.49, standard), (0.5, augment), (0.99, augment)])
def test_the_middle_of_the_training_is_the_turn(make_network, batch, toy, progress, phase):
    """Before it the loss is that of raw images, after it that of images compressed with the given probability."""
    method = toy.method(name="finetune", probability=0.7)
    network = make_network().eval()
    torch.manual_seed(3)
    ours = finetune.loss(network, batch, method, Context(progress))
    torch.manual_seed(3)
    assert torch.equal(ours.total, phase.loss(network, batch, method).total)
