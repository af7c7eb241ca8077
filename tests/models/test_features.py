"""A layer that params.yaml names returns a feature, or is an error that names the key."""

import pytest
import torch
from torch import nn

from fct.core.errors import FctError
from fct.models import backbones
from fct.models.features import features_of
from fct.nn.layout import Layout, channels_second


def test_a_feature_with_an_unclear_channel_axis_is_an_error():
    """At 384 pixels a Swin's features are 96 x 96 x 96: the channel axis is clear in stage 1, but not in the stem."""
    swin = backbones.build_backbone("swin_t", width=8, classes=3, channels=3, size=384)
    swin.features = swin.features[:2]
    swin.norm, swin.head = nn.Identity(), nn.LazyLinear(3)
    features = features_of(swin, ["features.1"], key="method.layers", channels=3, size=384)
    assert features == {"features.1": ((1, 96, 96, 96), (3, False))}
    with pytest.raises(FctError, match=r"method\.layers: 'features\.0' returns a tensor of shape \[1, 96, 96, 96\]"):
        features_of(swin, ["features.0"], key="method.layers", channels=3, size=384)


def test_attention_within_windows_is_not_a_feature():
    """Its first axis counts windows, not images."""
    swin = backbones.build_backbone("timm/swin_tiny_patch4_window7_224", width=8, classes=3, channels=3, size=56)
    with pytest.raises(FctError, match=r"'layers\.0\.blocks\.0\.attn' returns a tensor of shape \[4, 49, 96\]"):
        features_of(swin, ["layers.0.blocks.0.attn"], key="method.layers", channels=3, size=56)


@pytest.mark.parametrize("layer", ["self_attention", "self_attention.out_proj"])
def test_a_layer_without_a_feature_is_an_error(layer):
    """Attention returns a tuple, and its projection is never called."""
    vit = backbones.build_backbone("vit_b_32", width=8, classes=3, channels=3, size=32)
    with pytest.raises(FctError, match=rf"method\.layers: '.*{layer}' returns no tensor"):
        features_of(vit, [f"encoder.layers.encoder_layer_0.{layer}"], key="method.layers", channels=3, size=32)


def test_a_layer_that_is_called_twice_is_an_error():
    """A ReLU that a ResNet block uses twice has no single feature."""
    from torchvision import models

    network = models.resnet18(num_classes=3)
    with pytest.raises(FctError, match=r"'layer1\.0\.relu' .* is called more than once"):
        features_of(network, ["layer1.0.relu"], key="method.layers", channels=3, size=32)


@pytest.mark.parametrize("name", ["alexnet", "inception_v3", "maxvit_t"])
def test_a_model_that_does_not_take_such_images_is_an_error(name):
    """The error for images that are too small for a kernel or a window names key and size."""
    backbone = backbones.build_backbone(name, width=8, classes=3, channels=3, size=32)
    with pytest.raises(FctError, match=r"model\.name: the model does not take images of 32 x 32 pixels"):
        features_of(backbone, [], key="method.layers", channels=3, size=32)


def test_features_have_their_channels_second():
    """Tokens are transposed, and maps stay as they are."""
    tokens, image = torch.rand(2, 16, 5), torch.rand(2, 5, 8, 8)
    assert torch.equal(channels_second(tokens, Layout(2, is_map=False)), tokens.transpose(1, 2))
    assert torch.equal(channels_second(image, Layout(1, is_map=True)), image)
