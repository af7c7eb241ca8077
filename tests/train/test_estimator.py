"""The estimator is taught after the network, by the same images and views, and leaves it as it is."""

import pytest
import torch

from fct.models.device import to_device
from fct.train.assemble import make_network, open_data
from fct.train.estimator import fit_estimator


def fitted(toy, unknown_quality="estimate", **changed):
    """Return an untrained network that went through `fit_estimator`, its weights before, and what it saw."""
    setup, plain = toy.setup(), toy.method()
    method = toy.method(block=plain.block.model_dump() | {"unknown_quality": unknown_quality}, **changed)
    data, meta = open_data(setup)
    network, _ = make_network(setup, method, data.train, meta)
    before = {name: value.clone() for name, value in network.eval().state_dict().items()}
    fit_estimator(network, data, method, setup.train)
    return network, before, data


def test_what_jpeg_did_is_seen_in_pixels(toy):
    """On images of another split, what was compressed at 20 is told from 60, and 60 from raw."""
    network, _, data = fitted(toy)
    views = [data.val_views[20], data.val_views[60], data.val.images]
    with torch.inference_mode():
        told = [network.estimator(network.normalised(to_device(view.copy(), torch.device("cpu")))) for view in views]
    assert told[0].mean() + 10 < told[1].mean()
    assert told[1].mean() + 10 < told[2].mean()


def test_the_networks_own_weights_stay(toy):
    """Not a bit of them moves, running statistics included."""
    network, before, _ = fitted(toy)
    assert not network.training
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


def test_the_same_training_gives_the_same_estimator(toy):
    """The seed decides it, whatever was drawn before."""
    one, _, _ = fitted(toy)
    torch.rand(7)
    other, _, _ = fitted(toy)
    same = zip(one.estimator.parameters(), other.estimator.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in same)


@pytest.mark.parametrize("changed", [{"unknown_quality": "bypass"}, {"name": "fct"}])
def test_there_is_none_where_none_is_wanted(toy, changed):
    """Where unknown qualities bypass the blocks, or there are no blocks, nothing is fitted."""
    assert fitted(toy, **changed)[0].estimator is None
