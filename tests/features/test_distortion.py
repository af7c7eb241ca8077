"""Feature distortion: 0 where compression changes nothing, relative to how far images are apart."""

import pytest
import torch

from fct.features import distortion as module
from fct.features.distortion import distortion
from fct.models.network import Network


@pytest.fixture
def network():
    """Its layer `scaled` gives the pixels times 3; `flat` averages over places."""
    backbone = torch.nn.Sequential()
    backbone.scaled = torch.nn.Conv2d(2, 2, 1, bias=False)
    backbone.flat = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with torch.no_grad():
        backbone.scaled.weight.copy_(3 * torch.eye(2)[:, :, None, None])
    return Network(backbone, mean=[0.0, 0.0], std=[1 / 255] * 2, layers=["scaled"]).eval()


@pytest.fixture
def raw():
    return torch.randint(0, 200, (10, 4, 4, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()


def measure(network, raw, views, layers=("scaled",)):
    return distortion(network, raw, torch.full((len(raw),), 100).numpy(), views, layers)


def test_by_hand(network, raw):
    """Squared change over squared distance from each channel's mean, by layer and quality."""
    found = measure(network, raw, {10: raw + 7, 90: raw}, ["scaled", "flat"])
    pixels = raw.astype(float)
    spread = ((pixels - pixels.mean((0, 1, 2), keepdims=True)) ** 2).mean()
    assert found["scaled"] == pytest.approx({10: 49 / spread, 90: 0}, rel=1e-5)
    means = pixels.mean((1, 2))
    assert found["flat"] == pytest.approx({10: 49 / ((means - means.mean(0)) ** 2).mean(), 90: 0}, rel=1e-4)


def test_it_knows_no_batches(network, raw, monkeypatch):
    """The result does not depend on how many images are forwarded at a time."""
    views = {10: 255 - raw}
    whole = measure(network, raw, views)["scaled"][10]
    monkeypatch.setattr(module, "BATCH", 3)
    assert measure(network, raw, views)["scaled"][10] == pytest.approx(whole, rel=1e-5)


def test_a_feature_that_never_changes_is_not_distorted(network, raw):
    """Images that are all one colour have no spread to divide by; the result is still a number."""
    same = raw * 0 + 9
    assert measure(network, same, {10: same}) == {"scaled": {10: 0.0}}
