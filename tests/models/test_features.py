"""A layer that params.yaml names gives a feature, or is refused with the key."""

import pytest
import torch
from torch import nn

from fct.core.errors import FctError
from fct.models import backbones
from fct.models.features import features_of
from fct.nn.layout import Layout, channels_second


def test_a_feature_that_cannot_be_told_is_refused():
    """At 384 pixels a Swin gives 96 x 96 x 96: its first stage tells, the stem, which permutes, does not."""
    swin = backbones.build_backbone("swin_t", width=8, classes=3, channels=3, size=384)
    swin.features = swin.features[:2]
    swin.norm, swin.head = nn.Identity(), nn.LazyLinear(3)
    found = features_of(swin, ["features.1"], key="method.layers", channels=3, size=384)
    assert found == {"features.1": ((1, 96, 96, 96), (3, False))}
    with pytest.raises(FctError, match=r"method\.layers: 'features\.0' gives a tensor of shape \[1, 96, 96, 96\]"):
        features_of(swin, ["features.0"], key="method.layers", channels=3, size=384)


def test_attention_within_windows_is_no_feature():
    """Its rows are windows, not images."""
    swin = backbones.build_backbone("timm/swin_tiny_patch4_window7_224", width=8, classes=3, channels=3, size=56)
    with pytest.raises(FctError, match=r"'layers\.0\.blocks\.0\.attn' gives a tensor of shape \[4, 49, 96\]"):
        features_of(swin, ["layers.0.blocks.0.attn"], key="method.layers", channels=3, size=56)


@pytest.mark.parametrize("layer", ["self_attention", "self_attention.out_proj"])
def test_a_layer_that_gives_no_feature_is_refused(layer):
    """Attention gives a tuple, and its projection is never called: nothing that could be pulled at."""
    vit = backbones.build_backbone("vit_b_32", width=8, classes=3, channels=3, size=32)
    with pytest.raises(FctError, match=rf"method\.layers: '.*{layer}' gives no tensor"):
        features_of(vit, [f"encoder.layers.encoder_layer_0.{layer}"], key="method.layers", channels=3, size=32)


def test_a_layer_that_is_called_twice_is_refused():
    """A ReLU that a block of a ResNet uses again gives no one feature."""
    from torchvision import models

    network = models.resnet18(num_classes=3)
    with pytest.raises(FctError, match=r"'layer1\.0\.relu' gives no tensor, or does not run, or more than once"):
        features_of(network, ["layer1.0.relu"], key="method.layers", channels=3, size=32)


@pytest.mark.parametrize("name", ["alexnet", "inception_v3", "maxvit_t"])
def test_a_model_that_takes_no_such_images_says_so(name):
    """Less may be left of an image than a kernel or a window takes: the error names key and size."""
    backbone = backbones.build_backbone(name, width=8, classes=3, channels=3, size=32)
    with pytest.raises(FctError, match=r"model\.name: the model does not take images of 32 x 32 pixels"):
        features_of(backbone, [], key="method.layers", channels=3, size=32)


def test_features_are_shown_with_their_channels_second():
    """Tokens are turned, maps stay as they are."""
    tokens, image = torch.rand(2, 16, 5), torch.rand(2, 5, 8, 8)
    assert torch.equal(channels_second(tokens, Layout(2, is_map=False)), tokens.transpose(1, 2))
    assert torch.equal(channels_second(image, Layout(1, is_map=True)), image)
