"""A backbone is made by name, the own ones and torchvision's alike."""

import sys

import pytest
import torch

from fct.core.errors import FctError
from fct.models import backbones
from fct.models.resnet import ResNet


def test_own_names_give_own_networks():
    """resnet8 and its like are the project's, of the width that is asked for."""
    network = backbones.build_backbone("resnet8", width=6, classes=3, channels=1, size=32)
    assert isinstance(network, ResNet)
    assert network.stage3(network.stage2(network.stage1(torch.zeros(1, 6, 8, 8)))).shape[1] == 24


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny", "vit_b_16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_torchvisions_take_small_images_of_any_channels(name, channels):
    """Grey or colour at 32 pixels gives logits of the asked classes, and a gradient on every weight."""
    network = backbones.build_backbone(name, width=4, classes=7, channels=channels, size=32)
    logits = network(torch.rand(2, channels, 32, 32))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None] == []


def test_grey_is_shown_as_three_equal_channels():
    """A grey image is to a torchvision model what it is as an RGB image."""
    network = backbones.build_backbone("mobilenet_v3_small", width=4, classes=3, channels=1, size=32).eval()
    grey = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(network(grey), network.model(grey.repeat(1, 3, 1, 1)))


def test_an_auxiliary_head_is_left_out():
    """GoogLeNet, which returns a tuple while it trains, is a plain classifier here."""
    network = backbones.build_backbone("googlenet", width=4, classes=3, channels=3, size=32).train()
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "near"), [("resnet9", "resnet8"), ("mobilenetv3", "mobilenet_v3_small"), ("?", "resnet8")]
)
def test_an_unknown_name_shows_the_nearest(name, near):
    """A slip of the finger is answered with names that exist."""
    with pytest.raises(
        FctError, match=rf"model\.name: no model is called '{name.replace('?', '.')}'\. Nearest: .*{near}"
    ):
        backbones.build_backbone(name, width=4, classes=3, channels=3, size=32)


@pytest.mark.parametrize("name", ["timm/resnet18", "timm/vit_tiny_patch16_224", "timm/mobilenetv3_small_050"])
@pytest.mark.parametrize("channels", [1, 3])
def test_timms_models_are_made_for_the_images(name, channels):
    """By their name, with the images' channels, and with their size where a model has to know it."""
    network = backbones.build_backbone(name, width=4, classes=7, channels=channels, size=32)
    assert network(torch.rand(2, channels, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/resnet19", r"timm has no model 'resnet19'\. Nearest: timm/resnet18"),
        ("vit_b_16", "patches of 16 pixels; 30 pixels are no multiple"),
        ("timm/vit_tiny_patch16_224", "patches of 16 pixels; 30 pixels are no multiple"),
        ("timm/swin_tiny_patch4_window7_224", "patches of 4 pixels; 30 pixels are no multiple"),
    ],
)
def test_a_model_that_cannot_be_made_is_refused(name, said):
    """The error names the model, and why it is not to be had."""
    with pytest.raises(FctError, match=said):
        backbones.build_backbone(name, width=4, classes=3, channels=3, size=30)


def test_without_timm_its_models_say_how_to_get_it(monkeypatch):
    """Where it cannot be imported, the error names the extra."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(FctError, match=r"timm/resnet18 needs timm\. Install it: pip install 'fct\[timm\]'"):
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
    """Where the model's own would leave an eighth or a quarter of 32 pixels, the first layer has all, or half."""
    network = backbones.build_backbone(name, width=4, classes=3, channels=3, size=32, stem="small").eval()
    seen = []
    network.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape[-1]))
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 3)
    assert seen == [cells]


@pytest.mark.parametrize(("name", "said"), [("resnet8", "is for small images"), ("vit_b_16", "no stem that is known")])
def test_a_stem_that_cannot_be_made_small_is_refused(name, said):
    """The error names the key."""
    with pytest.raises(FctError, match=rf"model\.stem: .*{said}"):
        backbones.build_backbone(name, width=8, classes=3, channels=3, size=32, stem="small")
