"""Norms that see the whole batch compute what those before them do, once the training has ended."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from fct.models import backbones
from fct.train.sync import synchronise_norms


@pytest.mark.parametrize("name", ["resnet8", "timm/test_efficientnet"])
def test_only_the_kind_of_the_norms_changes(name):
    """Names, values and outputs stay; the norms of timm contain activations, which stay too."""
    backbone = backbones.build_backbone(name, width=4, classes=3, channels=3, size=32).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    state, logits = {key: value.clone() for key, value in backbone.state_dict().items()}, backbone(images)
    network = SimpleNamespace(backbone=backbone, blocks=None)
    synchronise_norms(network)
    norms = [module for module in network.backbone.modules() if isinstance(module, _BatchNorm)]
    assert norms
    assert all(isinstance(norm, torch.nn.SyncBatchNorm) for norm in norms)
    synchronised = network.backbone.state_dict()
    assert synchronised.keys() == state.keys()
    assert all(torch.equal(synchronised[key], value) for key, value in state.items())
    torch.testing.assert_close(network.backbone(images), logits)
