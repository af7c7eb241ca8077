"""Where a feature has its channels follows from its shape, as images are square, or from the layer."""

import pytest
import torch
from torch import nn

from fct.core.errors import FctError
from fct.models import backbones
from fct.models.layout import Layout, channels_second, features_of, layout_of


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((1, 5), (1, False)), ((1, 16, 5), (2, False)), ((1, 5, 8, 8), (1, True)), ((1, 8, 8, 5), (3, False)),
        ((1, 5, 1, 1), (1, True)), ((1, 1, 1, 5), (3, False)),
        ((1, 2, 3, 4, 5), None), ((1, 5, 8, 9), None), ((4, 16, 5), None), ((1,), None), ((), None),
    ],
)  # fmt: skip
def test_the_layout_of_a_shape(shape, layout):
    """Vectors, tokens, maps, maps with channels last; neither other axes, nor rows that are no images."""
    assert layout_of(shape, nn.Identity()) == layout


@pytest.mark.parametrize(
    ("module", "layout"),
    [
        (nn.Conv2d(8, 8, 1), (1, True)), (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(8)), (1, True)),
        (nn.Linear(8, 8), (3, False)), (nn.Sequential(nn.LayerNorm(8), nn.GELU()), (3, False)),
        (nn.ReLU(), None), (nn.Sequential(nn.Conv2d(8, 8, 1), nn.Linear(8, 8)), None),
    ],
)  # fmt: skip
def test_of_a_cube_the_layer_tells_the_layout(module, layout):
    """As many channels as rows and columns: convolutions have them second, linear layers last, others do not tell."""
    assert layout_of((1, 8, 8, 8), module) == layout


def test_a_layer_norm_of_maps_does_not_tell_the_layout():
    """ConvNeXt's turns its input: a subclass of a layer that has channels last, with channels second."""
    from torchvision.models.convnext import LayerNorm2d

    assert layout_of((1, 8, 8, 8), LayerNorm2d(8)) is None


def test_a_feature_that_cannot_be_told_is_refused():
    """At 384 pixels a Swin gives 96 x 96 x 96: its first stage tells, the stem, which permutes, does not."""
    swin = backbones.build("swin_t", width=8, classes=3, channels=3, size=384)
    swin.features = swin.features[:2]
    swin.norm, swin.head = nn.Identity(), nn.LazyLinear(3)
    found = features_of(swin, ["features.1"], key="method.layers", channels=3, size=384)
    assert found == {"features.1": ((1, 96, 96, 96), (3, False))}
    with pytest.raises(FctError, match=r"method\.layers: 'features\.0' gives a tensor of shape \[1, 96, 96, 96\]"):
        features_of(swin, ["features.0"], key="method.layers", channels=3, size=384)


def test_attention_within_windows_is_no_feature():
    """Its rows are windows, not images."""
    swin = backbones.build("timm/swin_tiny_patch4_window7_224", width=8, classes=3, channels=3, size=56)
    with pytest.raises(FctError, match=r"'layers\.0\.blocks\.0\.attn' gives a tensor of shape \[4, 49, 96\]"):
        features_of(swin, ["layers.0.blocks.0.attn"], key="method.layers", channels=3, size=56)


@pytest.mark.parametrize("layer", ["self_attention", "self_attention.out_proj"])
def test_a_layer_that_gives_no_feature_is_refused(layer):
    """Attention gives a tuple, and its projection is never called: nothing that could be pulled at."""
    vit = backbones.build("vit_b_32", width=8, classes=3, channels=3, size=32)
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
    backbone = backbones.build(name, width=8, classes=3, channels=3, size=32)
    with pytest.raises(FctError, match=r"model\.name: the model does not take images of 32 x 32 pixels"):
        features_of(backbone, [], key="method.layers", channels=3, size=32)


def test_features_are_shown_with_their_channels_second():
    """Tokens are turned, maps stay as they are."""
    tokens, image = torch.rand(2, 16, 5), torch.rand(2, 5, 8, 8)
    assert torch.equal(channels_second(tokens, Layout(2, is_map=False)), tokens.transpose(1, 2))
    assert torch.equal(channels_second(image, Layout(1, is_map=True)), image)
