"""Optimisers and schedules by name; weights in groups that learn at their own rate."""

import itertools
import math

import pytest
import torch
from torch import nn

from fct.core.errors import FctError
from fct.models.backbones import build_backbone
from fct.train.optimiser import make_optimiser


class Small(nn.Module):
    """A network of three layers, one of them a norm, and a block beside its backbone."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1))
        self.block = nn.Conv2d(4, 4, 1)


@pytest.fixture
def make(toy):
    def run(steps=10, network=None, **changed):
        return make_optimiser(network or Small(), [], toy.setup(**changed).train, steps)

    return run


def rates(schedule, optimiser, steps):
    """Return the learning rate of each step."""
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", "SGD"), ("adamw", "AdamW"), ("timm/lion", "Lion"), ("timm/lamb", "Lamb")]
)
def test_an_optimiser_has_its_name(make, name, kind):
    """Those of torch by their name, those of timm behind `timm/`, all with the rate of params.yaml."""
    optimiser, _ = make(optimiser=name, learning_rate=0.01, rate_schedule="cosine", warm_up=0.0)
    assert type(optimiser).__name__ == kind
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.01)


def test_an_unknown_optimiser_is_answered_with_the_nearest(make):
    """The error has names that exist."""
    with pytest.raises(FctError, match=r"train\.optimiser: timm has no optimiser 'loin'\. Nearest: timm/lion"):
        make(optimiser="timm/loin")


@pytest.mark.parametrize("name", ["sgd", "adamw", "timm/lion"])
def test_biases_and_norms_have_no_weight_decay(make, name):
    """Whatever the optimiser: weights of more than one dimension decay, the others do not."""
    optimiser, _ = make(optimiser=name, weight_decay=0.1)
    for group in optimiser.param_groups:
        assert {weight.ndim > 1 for weight in group["params"]} == {group["weight_decay"] > 0}


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_the_rate_rises_to_its_peak_and_falls(make, schedule):
    """It rises in the share `warm_up` of the steps, and ends far below its peak."""
    optimiser, plan = make(steps=100, rate_schedule=schedule, warm_up=0.3, learning_rate=0.5)
    found = rates(plan, optimiser, 100)
    peak = found.index(max(found))
    assert 28 <= peak <= 31
    assert max(found) == pytest.approx(0.5, rel=0.02)
    assert found[:peak] == sorted(found[:peak])
    assert found[peak:] == sorted(found[peak:], reverse=True)
    assert found[-1] < 0.005


def test_a_cosine_without_warm_up_begins_at_the_peak(make):
    """Half of the way through it is at half of the peak."""
    optimiser, plan = make(steps=99, rate_schedule="cosine", warm_up=0.0, learning_rate=0.5)
    found = rates(plan, optimiser, 99)
    assert found[0] == 0.5
    assert found[50] == pytest.approx(0.25 * (1 + math.cos(math.pi / 2)))


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet8", ["head", "stage3", "stage2", "stage1", "stem"]),
        ("resnet18", ["fc", "layer4.1", "layer4.0", "layer3.0", "layer1.0", "conv1"]),
        ("timm/vit_tiny_patch16_224", ["head", "blocks.11", "blocks.10", "blocks.0", "patch_embed"]),
    ],
)
def test_with_layer_decay_a_layer_learns_more_slowly_than_the_next(make, name, layers):
    """From the classifier down, each layer's rate is at most a half of the one above; blocks have the full rate."""
    network = Small()
    network.backbone = build_backbone(name, width=8, classes=3, channels=3, size=32)
    optimiser, _ = make(network=network, layer_decay=0.5, learning_rate=0.8, rate_schedule="cosine", warm_up=0.0)
    by_weight = {id(weight): group["lr"] for group in optimiser.param_groups for weight in group["params"]}
    assert len(by_weight) == len(list(network.parameters()))
    rate = {name: by_weight[id(weight)] for name, weight in network.named_parameters()}
    assert rate["block.weight"] == 0.8
    of_layers = [
        max(value for weight, value in rate.items() if weight.startswith(f"backbone.{layer}.")) for layer in layers
    ]
    assert of_layers[0] == 0.8
    assert all(below <= above / 2 for above, below in itertools.pairwise(of_layers))


def test_the_rates_of_layers_keep_their_ratio_under_a_schedule(make):
    """One cycle moves each group between its own limits."""
    optimiser, plan = make(layer_decay=0.5, learning_rate=0.8)
    ratios = []
    for _ in range(5):
        groups = [group["lr"] for group in optimiser.param_groups]
        ratios.append([rate / max(groups) for rate in groups])
        optimiser.step()
        plan.step()
    assert min(ratios[0]) < 1
    torch.testing.assert_close(torch.tensor(ratios[0]), torch.tensor(ratios[-1]))
