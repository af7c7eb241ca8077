"""A process learns from its environment with whom it trains, and takes its images of each batch."""

import numpy as np
import pytest
import torch
from torch import distributed as dist

from fct.core.errors import FctError
from fct.train.crop import Augmentation
from fct.train.group import ALONE, Group, joined, rank_of_environment
from fct.train.params import TrainParams
from fct.train.pixels import Mix


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Stand outside of any launcher; return a function that sets variables."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "FCT_TRAIN_STORE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    return lambda **variables: [monkeypatch.setenv(name, value) for name, value in variables.items()]


@pytest.fixture
def joined_alone():
    """Make this process the only one of a real process group."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_without_a_launcher_a_process_is_alone(toy):
    """It joins nothing, and prints as usual."""
    with joined(toy.setup().train) as group:
        assert group == ALONE
        assert not dist.is_initialized()


@pytest.mark.parametrize(
    "variables",
    [{"RANK": "0"}, {"WORLD_SIZE": "2"}, {"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "x", "WORLD_SIZE": "2"}],
)
def test_half_an_environment_is_refused(environment, variables):
    """The error has both variables as they are, and says what they should be."""
    environment(**variables)
    with pytest.raises(FctError, match=r"RANK=.*, WORLD_SIZE=.*A launcher such as torchrun sets both"):
        rank_of_environment()


@pytest.mark.parametrize(("processes", "size"), [(1, 2), (2, 3), (2, 1)])
def test_the_launcher_must_start_as_many_processes_as_params_say(environment, toy, processes, size):
    """The number decides the weights, and params.yaml is where DVC sees it."""
    environment(RANK="0", WORLD_SIZE=str(size))
    with (
        pytest.raises(FctError, match=rf"train\.processes is {processes}, but the launcher started {size}"),
        joined(toy.setup(processes=processes).train),
    ):
        pass


def test_an_incomplete_environment_names_what_is_missing(environment, toy):
    """Without an address the processes cannot find each other."""
    environment(RANK="0", WORLD_SIZE="2")
    train = toy.setup(processes=2).train
    with pytest.raises(FctError, match=r"environment is not complete: .*MASTER_ADDR"), joined(train):
        pass


def test_each_image_of_a_batch_has_one_process():
    """Numbers that do not divide evenly differ by one image."""
    places = [Group(rank, 3).places(8).tolist() for rank in range(3)]
    assert places == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_a_batch_needs_two_images_for_each_process(toy):
    """The error names both keys; one process may have any batch."""
    with pytest.raises(ValueError, match=r"each needs at least 2 images: set batch_size to 8 or more \(it is 7\)"):
        toy.setup(processes=4, batch_size=7)
    values = toy.setup(batch_size=2).train.model_dump()
    assert TrainParams.model_validate(values).batch_size == 2


def test_statistics_are_averaged_and_weights_are_not(monkeypatch):
    """The sum over two equal processes, halved, is what was there; counts of batches stay whole numbers."""
    monkeypatch.setattr(Group, "sum", lambda _self, values: values * 3)  # another process with twice these values
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2, affine=False))
    network(torch.randn(4, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Group(0, 2).average_statistics(network)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name] * (1.5 if "running" in name else 1))


def test_mixed_images_of_two_processes_are_those_of_one():
    """Each process makes the partners of its images too, and mixes with them."""
    augmentation = Augmentation(0, flip=False, mixup=1.0)
    mix = Mix.draw(augmentation, 7, 4, np.random.default_rng(0))
    values = np.arange(7)
    for rank in range(2):
        places = Group(rank, 2).places(7)
        made = mix.with_partners(places)
        part = mix.of(made)
        mine = np.searchsorted(made, places)
        np.testing.assert_array_equal(values[made][part.partner[mine]], values[mix.partner[places]])
        np.testing.assert_array_equal(part.share[mine], mix.share[places])
        assert set(places) <= set(made)


@pytest.mark.usefixtures("joined_alone")
def test_a_group_of_one_computes_as_no_group():
    """The variance of all processes is that of the only one, and so is its gradient."""
    from fct import FeatureConsistencyLoss

    raw, compressed = torch.randn(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = []
    for group in (None, dist.group.WORLD):
        feature = raw.clone().requires_grad_()
        loss = FeatureConsistencyLoss(detach_target=False, group=group)(feature, compressed)
        loss.backward()
        found.append((loss.detach(), feature.grad))
    torch.testing.assert_close(found[0], found[1])
