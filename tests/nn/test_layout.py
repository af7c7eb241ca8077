"""The layout of a feature follows from its shape, since images are square, or from the layer."""

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
    """Vectors, tokens and maps with channels second or last have a layout. Other shapes have none."""
    assert layout_of(shape, nn.Identity()) == layout


@pytest.mark.parametrize(
    ("module", "layout"),
    [
        (nn.Conv2d(8, 8, 1), (1, True)), (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(8)), (1, True)),
        (nn.Linear(8, 8), (3, False)), (nn.Sequential(nn.LayerNorm(8), nn.GELU()), (3, False)),
        (nn.ReLU(), None), (nn.Sequential(nn.Conv2d(8, 8, 1), nn.Linear(8, 8)), None),
    ],
)  # fmt: skip
def test_the_layer_decides_the_layout_of_a_cube(module, layout):
    """With as many channels as rows and columns, convolutions mean channels second, and linear layers last."""
    assert layout_of((1, 8, 8, 8), module) == layout


def test_a_layer_norm_of_maps_does_not_decide_the_layout():
    """ConvNeXt's LayerNorm2d is a subclass of a layer with channels last, but has channels second."""
    from torchvision.models.convnext import LayerNorm2d

    assert layout_of((1, 8, 8, 8), LayerNorm2d(8)) is None
