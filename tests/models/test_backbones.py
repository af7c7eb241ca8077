"""A backbone is made by name, the own ones and torchvision's alike."""

import pytest
import torch

from fct.core.errors import FctError
from fct.models import backbones
from fct.models.resnet import ResNet


def test_own_names_give_own_networks():
    """resnet8 and its like are the project's, of the width that is asked for."""
    network = backbones.build("resnet8", width=6, classes=3, channels=1)
    assert isinstance(network, ResNet)
    assert network.stage3(network.stage2(network.stage1(torch.zeros(1, 6, 8, 8)))).shape[1] == 24


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
@pytest.mark.parametrize("channels", [1, 3])
def test_torchvisions_take_small_images_of_any_channels(name, channels):
    """Grey or colour at 32 pixels gives logits of the asked classes, and a gradient on every weight."""
    network = backbones.build(name, width=4, classes=7, channels=channels)
    logits = network(torch.rand(2, channels, 32, 32))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None] == []


def test_grey_is_shown_as_three_equal_channels():
    """A grey image is to a torchvision model what it is as an RGB image."""
    network = backbones.build("mobilenet_v3_small", width=4, classes=3, channels=1).eval()
    grey = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(network(grey), network.model(grey.repeat(1, 3, 1, 1)))


def test_an_auxiliary_head_is_left_out():
    """GoogLeNet, which returns a tuple while it trains, is a plain classifier here."""
    network = backbones.build("googlenet", width=4, classes=3, channels=3).train()
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "near"), [("resnet9", "resnet8"), ("mobilenetv3", "mobilenet_v3_small"), ("?", "resnet8")]
)
def test_an_unknown_name_shows_the_nearest(name, near):
    """A slip of the finger is answered with names that exist."""
    with pytest.raises(
        FctError, match=rf"model\.name: no model is called '{name.replace('?', '.')}'\. Nearest: .*{near}"
    ):
        backbones.build(name, width=4, classes=3, channels=3)
