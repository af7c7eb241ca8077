"""What a network does when something about the quality is changed."""

import numpy as np
import pytest
import torch

from benchmarks.comparison import measure, probes
from benchmarks.comparison.measure import classify
from benchmarks.comparison.settings import read
from fct.cache.params import CacheParams
from fct.nn.estimator import QualityEstimator
from fct.splits.store import open_split
from fct.train.assemble import make_network, open_data

SETTINGS = read()


@pytest.fixture
def network(toy):
    """Return a network with blocks of random weights, and an estimator."""
    setup, method = toy.setup(), toy.method()
    data, meta = open_data(setup)
    torch.manual_seed(0)
    made, _ = make_network(setup, method, data.train, meta)
    for block in made.blocks.values():
        torch.nn.init.normal_(block.expand.weight, std=0.3)
    made.estimator = QualityEstimator(3)
    return made.eval()


@pytest.fixture
def settings(toy):
    cache = CacheParams.model_validate(SETTINGS.cache.model_dump() | {"qualities": toy.qualities})
    return SETTINGS.model_copy(update={"cache": cache})


def test_each_quality_is_told_rightly_wrongly_and_not_at_all(network, settings):
    """With blocks and an estimator there are six ways, and the estimates' quantiles ascend."""
    found = probes.probe(settings, network)
    assert set(found) == {"told", "estimates", "misled", "renormed"}
    assert set(found["told"]) == set(found["estimates"]) == set(found["renormed"]) == {"q20", "q60"}
    assert set(found["told"]["q20"]) == {*probes.TOLD, "estimated"}
    low, middle, high = found["estimates"]["q60"]
    assert 0 <= low <= middle <= high <= 100
    assert set(found["misled"]) == {"q20", "q60", *(f"{name}/{n}" for name in probes.MISLEADING for n in (1, 2, 3))}
    assert found["misled"]["q20"]["tables"] == found["told"]["q20"]["right"]


def test_what_is_told_reaches_the_blocks(network, settings, monkeypatch):
    """The network is called with the quality, with 0, with 50, and with 20 more and less."""
    seen = []
    monkeypatch.setattr(
        measure, "classify", lambda _network, split, _size: seen.append(split.quality[0]) or split.labels
    )
    probes.probe(settings, network)
    assert {20, 60, 0, 50, 40, 1, 80} <= {int(each) for each in seen}


def test_without_blocks_only_norms_are_looked_at(toy, settings):
    """A quality changes nothing in a network that takes none."""
    setup, method = toy.setup(), toy.method(name="fct")
    data, meta = open_data(setup)
    network, _ = make_network(setup, method, data.train, meta)
    assert set(probes.probe(settings, network.eval())) == {"renormed"}


def test_norms_have_the_statistics_of_the_images(network):
    """They are the means over batches of what each norm sees; the weights and the network itself stay."""
    split = open_split("train")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    changed = probes.renormed(network, split, len(split))
    inputs = []
    first = next(module for module in changed.modules() if isinstance(module, torch.nn.BatchNorm2d))
    first.register_forward_hook(lambda _module, args, _output: inputs.append(args[0]))
    classify(changed, split, len(split))
    np.testing.assert_allclose(first.running_mean, inputs[0].mean((0, 2, 3)), atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(torch.equal(weight, before[name]) for name, weight in changed.named_parameters())
    assert not changed.training
