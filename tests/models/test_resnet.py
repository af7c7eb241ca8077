"""The project's ResNets are those of the paper, with any width and number of channels."""

import pytest
import torch

from fct.models.resnet import DEPTHS, ResNet


@pytest.mark.parametrize(("name", "parameters"), [("resnet20", 272_474), ("resnet56", 855_770)])
def test_at_width_16_they_have_the_papers_size(name, parameters):
    """He et al. table 6: 0.27 M and 0.85 M; projection shortcuts add 2,752 weights to their 0.2697 and 0.8530 M."""
    network = ResNet(DEPTHS[name], width=16, classes=10, channels=3)
    weights = sum(weight.numel() for weight in network.parameters())
    assert weights == parameters


@pytest.mark.parametrize("name", DEPTHS)
def test_depth_counts_the_weighted_layers(name):
    """The name counts 3x3 convolutions and the head, but not projections."""
    network = ResNet(DEPTHS[name], width=4, classes=3, channels=1)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(convolutions) + 1 == int(name.removeprefix("resnet"))


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (4, 17)])
def test_any_channels_and_size_give_logits(channels, size):
    """Any number of channels, and even or odd sizes, give logits."""
    network = ResNet(8, width=4, classes=5, channels=channels)
    assert network(torch.zeros(2, channels, size, size)).shape == (2, 5)


def test_stages_widen_and_shrink():
    """The four inner layers have width, width, 2 and 4 width channels at sizes 1, 1, 1/2 and 1/4."""
    network = ResNet(8, width=4, classes=3, channels=3)
    x, shapes = torch.zeros(2, 3, 16, 16), []
    for layer in ("stem", "stage1", "stage2", "stage3"):
        x = network.get_submodule(layer)(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 16, 16), (4, 16, 16), (8, 8, 8), (16, 4, 4)]
