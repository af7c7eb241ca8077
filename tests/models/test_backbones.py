"""Backbones are made by name: the project's, torchvision's and timm's."""

import sys

import pytest
import torch

from fct.core.errors import FctError
from fct.models import backbones
from fct.models.resnet import ResNet


def test_names_of_the_project_give_its_networks():
    """resnet8 is the project's network, with the given width."""
    network = backbones.build_backbone("resnet8", width=6, classes=3, channels=1, size=32)
    assert isinstance(network, ResNet)
    assert network.stage3(network.stage2(network.stage1(torch.zeros(1, 6, 8, 8)))).shape[1] == 24


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny", "vit_b_16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_torchvision_models_take_small_images_of_any_channels(name, channels):
    """Grey or colour images of 32 pixels give logits of all classes, and each weight gets a gradient."""
    network = backbones.build_backbone(name, width=4, classes=7, channels=channels, size=32)
    logits = network(torch.rand(2, channels, 32, 32))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None] == []


def test_a_grey_image_becomes_three_equal_channels():
    """A torchvision model gets a grey image as an RGB image of equal channels."""
    network = backbones.build_backbone("mobilenet_v3_small", width=4, classes=3, channels=1, size=32).eval()
    grey = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(network(grey), network.model(grey.repeat(1, 3, 1, 1)))


def test_auxiliary_heads_are_not_built():
    """GoogLeNet has no auxiliary heads and returns logits, also in training."""
    network = backbones.build_backbone("googlenet", width=4, classes=3, channels=3, size=32).train()
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize(("name", "near"), [("resnet9", "resnet8"), ("mobilenetv3", "mobilenet_v3_small")])
def test_the_error_for_an_unknown_name_has_the_nearest(name, near):
    """The error for a misspelt name has the nearest existing names."""
    with pytest.raises(FctError, match=rf"model\.name: no model is called '{name}'\. Nearest: .*{near}"):
        backbones.build_backbone(name, width=4, classes=3, channels=3, size=32)


def test_the_error_for_a_name_that_is_near_to_none_says_where_names_come_from():
    """Names that only look like an answer would mislead."""
    with pytest.raises(FctError, match=r"no model is called '\?'\. It is one of resnet8, .*torchvision, or timm/"):
        backbones.build_backbone("?", width=4, classes=3, channels=3, size=32)


@pytest.mark.parametrize("name", ["timm/resnet18", "timm/vit_tiny_patch16_224", "timm/mobilenetv3_small_050"])
@pytest.mark.parametrize("channels", [1, 3])
def test_timm_models_fit_the_images(name, channels):
    """They have the images' channels, and their size if the model needs it."""
    network = backbones.build_backbone(name, width=4, classes=7, channels=channels, size=32)
    assert network(torch.rand(2, channels, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnet18.a1", r"timm has no weights 'a1' of resnet18\. It has timm/resnet18\.a1_in1k, "),
        ("timm/resnet19", r"timm has no model 'resnet19'\. Nearest: timm/resnet18"),
        ("vit_b_16", "patches of 16 pixels, but 30 is not a multiple"),
        ("timm/vit_tiny_patch16_224", "patches of 16 pixels, but 30 is not a multiple"),
        ("timm/swin_tiny_patch4_window7_224", "patches of 4 pixels, but 30 is not a multiple"),
    ],
)
def test_a_model_that_cannot_be_made_is_an_error(name, message):
    """The error names the model and the reason."""
    with pytest.raises(FctError, match=message):
        backbones.build_backbone(name, width=4, classes=3, channels=3, size=30)


def test_a_timm_model_without_timm_is_an_error(monkeypatch):
    """If timm is not installed, the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(FctError, match=r"resnet18 needs timm\. Install it: pip install '\.\[timm\]'"):
        backbones.build_backbone("timm/resnet18", width=4, classes=3, channels=3, size=32)


@pytest.mark.parametrize(
    ("name", "layer", "cells"),
    [
        ("resnet18", "layer1", 32), ("mobilenet_v3_small", "features.0", 32), ("efficientnet_b0", "features.0", 32),
        ("convnext_tiny", "features.0", 16),
        ("timm/resnet18", "layer1", 32), ("timm/resnet26d", "layer1", 32), ("timm/convnext_atto", "stem", 16),
        ("timm/mobilenetv3_small_050", "conv_stem", 32),
    ],
)  # fmt: skip
def test_a_small_stem_keeps_the_resolution(name, layer, cells):
    """The first layer keeps all 32 pixels, or half of them in ConvNeXts."""
    network = backbones.build_backbone(name, width=4, classes=3, channels=3, size=32, stem="small").eval()
    widths = []
    network.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: widths.append(output.shape[-1]))
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 3)
    assert widths == [cells]


@pytest.mark.parametrize(
    ("name", "message"), [("resnet8", "is made for small images"), ("vit_b_16", "cannot be made small")]
)
def test_a_stem_that_cannot_be_made_small_is_an_error(name, message):
    """The error names the key."""
    with pytest.raises(FctError, match=rf"model\.stem: .*{message}"):
        backbones.build_backbone(name, width=8, classes=3, channels=3, size=32, stem="small")
