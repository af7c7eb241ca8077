"""SpeedNet has a fixed stem that decorrelates pixels, and stages that start as the identity."""

import pytest
import torch

from fct.core.errors import FctError
from fct.models import backbones
from fct.models.speednet import Stage, Stem


@pytest.mark.parametrize("channels", [1, 3])
def test_the_stems_filters_are_orthonormal_and_not_trained(channels):
    """There are four orthonormal filters per channel, without gradients."""
    weight = Stem(channels).conv.weight
    filters = weight.flatten(1)
    torch.testing.assert_close(filters @ filters.T, torch.eye(4 * channels), atol=1e-6, rtol=0)
    assert not weight.requires_grad


def test_the_first_filter_is_the_mean():
    """A constant patch gives a value in the first filter, and zero in all others."""
    outputs = Stem(3).conv(torch.ones(1, 3, 2, 2)).flatten()
    assert outputs[0].item() == pytest.approx(12**0.5)
    assert outputs[1:].abs().max() < 1e-5


def test_a_stage_starts_as_the_identity():
    """Its convolutions start as the identity on the input channels."""
    stage = Stage(4, 8)
    image = torch.rand(1, 4, 8, 8)
    torch.testing.assert_close(stage.conv1(image)[:, :4], image)


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (28, 1), (32, 3)])
def test_images_become_logits(size, channels):
    """Small images, grey or colour, give logits, and each trained weight gets a gradient."""
    network = backbones.build_backbone("speednet", width=8, classes=5, channels=channels, size=size)
    logits = network(torch.rand(2, channels, size, size))
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    without = [name for name, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]
    assert without == []


def test_images_that_are_too_small_are_an_error():
    """The error for fewer than 16 pixels has the smallest size."""
    with pytest.raises(FctError, match="speednet needs images of 16 pixels or more"):
        backbones.build_backbone("speednet", width=8, classes=5, channels=3, size=12)
