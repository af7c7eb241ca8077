"""SpeedNet: a fixed stem that decorrelates, stages that begin by handing on, small and grey images too."""

import pytest
import torch

from fct.core.errors import FctError
from fct.models import backbones
from fct.models.speednet import Stage, Stem


@pytest.mark.parametrize("channels", [1, 3])
def test_the_stems_filters_are_orthonormal_and_stay(channels):
    """Four filters a channel, at right angles, of length one; training leaves them alone."""
    weight = Stem(channels).conv.weight
    filters = weight.flatten(1)
    torch.testing.assert_close(filters @ filters.T, torch.eye(4 * channels), atol=1e-6, rtol=0)
    assert not weight.requires_grad


def test_the_first_filter_is_the_mean():
    """An even patch shows in the first filter and in no other."""
    seen = Stem(3).conv(torch.ones(1, 3, 2, 2)).flatten()
    assert seen[0].item() == pytest.approx(12**0.5)
    assert seen[1:].abs().max() < 1e-5


def test_a_stage_begins_by_handing_on():
    """Its convolutions start as the identity on the channels that come in."""
    stage = Stage(4, 8)
    image = torch.rand(1, 4, 8, 8)
    torch.testing.assert_close(stage.conv1(image)[:, :4], image)


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (28, 1), (32, 3)])
def test_images_become_logits(size, channels):
    """Small, grey and coloured images give logits, and every trained weight a gradient."""
    network = backbones.build_backbone("speednet", width=8, classes=5, channels=channels, size=size)
    logits = network(torch.rand(2, channels, size, size))
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    without = [name for name, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]
    assert without == []


def test_images_that_are_too_small_are_refused():
    """Three poolings need 16 pixels; the error says so before torch does."""
    with pytest.raises(FctError, match="speednet needs images of 16 pixels or more"):
        backbones.build_backbone("speednet", width=8, classes=5, channels=3, size=12)
