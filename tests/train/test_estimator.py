"""The estimator is trained after the network, on the same images and views, and does not change it."""

import pytest
import torch
from torch.nn import functional

from fct.models.device import to_device
from fct.train.assemble import make_network, open_data
from fct.train.estimator import batch_size, fit_estimator


def fit(toy, unknown_quality="estimate", **changed):
    """Call `fit_estimator` for an untrained network. Return the network, its weights before, and the data."""
    setup, plain = toy.setup(), toy.method()
    method = toy.method(block=plain.block.model_dump() | {"unknown_quality": unknown_quality}, **changed)
    data, meta = open_data(setup)
    network, _ = make_network(setup, method, data.train, meta)
    before = {name: value.clone() for name, value in network.eval().state_dict().items()}
    fit_estimator(network, data, method, setup.train)
    return network, before, data


def test_the_estimate_rises_with_the_quality(toy):
    """On images of another split, estimates are lowest at quality 20, higher at 60, and highest on raw images."""
    network, _, data = fit(toy)
    views = [data.val_views[20], data.val_views[60], data.val.images]
    with torch.inference_mode():
        batches = [to_device(view.copy(), torch.device("cpu")) for view in views]
        estimates = [network.estimator(network.normalised(batch)) for batch in batches]
    assert estimates[0].mean() + 10 < estimates[1].mean()
    assert estimates[1].mean() + 10 < estimates[2].mean()


def test_one_image_in_three_is_raw(toy, monkeypatch):
    """With as many raw images as compressed ones, estimates of low qualities are too high."""
    told = []
    loss = functional.huber_loss
    monkeypatch.setattr(
        functional,
        "huber_loss",
        lambda estimate, quality, **how: told.append(quality) or loss(estimate, quality, **how),
    )
    fit(toy)
    qualities = torch.cat(told)
    raw = (qualities != 20) & (qualities != 60)  # some of their files are JPEGs of quality 75
    assert float(raw.float().mean()) == pytest.approx(1 / 3, abs=0.01)


def test_the_networks_own_weights_do_not_change(toy):
    """Weights and running statistics are equal to the bit."""
    network, before, _ = fit(toy)
    assert not network.training
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


def test_the_same_training_gives_the_same_estimator(toy):
    """The seed alone decides the estimator, not earlier random numbers."""
    first, _, _ = fit(toy)
    torch.rand(7)
    second, _, _ = fit(toy)
    pairs = zip(first.estimator.parameters(), second.estimator.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("changed", [{"unknown_quality": "bypass"}, {"name": "fct"}])
def test_without_need_there_is_no_estimator(toy, changed):
    """If unknown qualities bypass the blocks, or there are no blocks, no estimator is trained."""
    assert fit(toy, **changed)[0].estimator is None


@pytest.mark.parametrize(
    ("images", "batch", "expected"), [(50_400, 24, 24), (3_000, 24, 18), (96, 24, 16), (50_400, 128, 32)]
)
def test_the_estimator_sees_no_more_images_than_the_network_did(toy, images, batch, expected):
    """Three epochs of few images make small batches; of many, those of the training, up to 32."""
    assert batch_size(images, toy.setup(batch_size=batch).train) == expected
