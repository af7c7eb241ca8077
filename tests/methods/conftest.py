"""A small network and a batch of both views."""

import pytest
import torch

from fct.methods.batch import Batch
from fct.models.network import Network
from fct.models.params import BlockParams
from fct.models.resnet import ResNet


@pytest.fixture
def batch():
    """Return a batch of six images, two of which are from JPEG files."""
    generator = torch.Generator().manual_seed(0)
    raw, compressed = torch.randint(0, 256, (2, 6, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return Batch(
        raw=raw,
        raw_quality=torch.tensor([100, 90, 100, 100, 75, 100]),
        compressed=compressed,
        quality=torch.tensor([10, 20, 30, 40, 50, 60]),
        labels=torch.tensor([0, 1, 2, 0, 1, 2]),
        reference=raw,
    )


@pytest.fixture
def make_network():
    """Return a function that makes the same small network at each call. Its blocks, if any, have random weights."""

    def make(*, layers=("stage1", "stage3"), blocks=False):
        torch.manual_seed(0)
        backbone = ResNet(8, width=8, classes=3, channels=3)
        block = BlockParams(
            layers=list(layers), width=0.5, quality="film", consistency="after", unknown_quality="bypass"
        )
        network = Network(backbone, mean=[0.5] * 3, std=[0.25] * 3, layers=layers, block=block if blocks else None)
        for block in network.blocks.values() if network.blocks else ():
            torch.nn.init.normal_(block.expand.weight, std=0.1)
        return network

    return make


@pytest.fixture
def gradients():
    """Return a function that computes each parameter's gradient of a loss, by name."""

    def compute(network, loss):
        network.zero_grad()
        loss.backward()
        return {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}

    return compute
