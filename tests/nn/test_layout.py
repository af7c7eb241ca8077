"""Where a feature has its channels follows from its shape, as images are square, or from the layer."""

import pytest
from torch import nn

from fct.nn.layout import layout_of


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
