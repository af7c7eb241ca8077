"""The layout of a feature follows from its shape, since images are square, or from the layer."""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

from fct.nn.layout import (
    LAYOUTS,
    ImageSizeError,
    Layout,
    channels_second,
    check_layers,
    features_of,
    layout_of,
    named_layout,
)


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


@pytest.mark.parametrize(
    ("shape", "module", "layout"),
    [
        ((1, 5, 8, 12), nn.Conv2d(5, 5, 1), (1, True)), ((1, 8, 12, 5), nn.Linear(5, 5), (3, False)),
        ((1, 8, 8, 5), nn.Conv2d(8, 8, 1), (1, True)), ((1, 5, 8, 12), nn.ReLU(), None),
        ((1, 5), nn.ReLU(), (1, False)), ((1, 16, 5), nn.ReLU(), (2, False)),
    ],
)  # fmt: skip
def test_the_layer_decides_the_layout_of_an_image_that_is_not_square(shape, module, layout):
    """If the image is not square, equal lengths say nothing, and maps have the layout of the layers in the module."""
    assert layout_of(shape, module, is_square=False) == layout


def test_a_layout_has_a_name_and_axes():
    """Names give layouts with as many axes as their features have; another name is an error that lists them."""
    assert {name: named_layout(name).ndim for name in LAYOUTS} == {
        "vector": 2, "map": 4, "tokens": 3, "channels-last": 4,
    }  # fmt: skip
    with pytest.raises(ValueError, match="layout is 'nhwc'; it is one of vector, map, tokens, channels-last"):
        named_layout("nhwc")


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_channels_become_second_without_a_copy(axis):
    """Channels of each layout move to axis 1, in the same memory."""
    feature = torch.randn(2, 3, 4, 5)[(slice(None),) * (axis + 1) + (0,) * (3 - axis)]
    moved = channels_second(feature, Layout(axis, is_map=False))
    assert torch.equal(moved, feature.movedim(axis, 1))
    assert moved.data_ptr() == feature.data_ptr()


def network():
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 4, 3, padding=1),
            norm=nn.BatchNorm2d(4),
            shared=nn.ReLU(),
            pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            head=nn.Linear(4, 2),
        )
    )


def test_a_wrong_name_lists_the_nearest():
    """Of layers, the nearest names are listed; without any that is near, the outermost ones."""
    check_layers(network(), ["conv", "pool.1"])
    with pytest.raises(ValueError, match=r"no layer is called 'pool.2'. Nearest: pool.1, pool.0, pool\."):
        check_layers(network(), ["conv", "pool.2"])
    with pytest.raises(ValueError, match=r"no layer is called 'xyz'. The outermost layers: conv, norm, "):
        check_layers(network(), ["xyz"])
    with pytest.raises(ValueError, match="the model has no layers"):
        check_layers(nn.ReLU(), ["relu"])


def test_layers_in_a_wrapper_are_listed():
    """If a model has one module alone, its name says nothing: the layers inside are listed."""
    for wrapped, listed in (
        (nn.Sequential(network()), r"0\.conv, 0\.norm, "),
        (nn.Sequential(nn.Sequential(network())), r"0\.0\.conv, 0\.0\.norm, "),
        (nn.Sequential(nn.ReLU()), r"0\."),
    ):
        with pytest.raises(ValueError, match=f"no layer is called 'xyz'. The outermost layers: {listed}"):
            check_layers(wrapped, ["xyz"])


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.Sequential(nn.ReLU()), 3, None])
def test_a_layer_is_given_by_its_name(layer):
    """A module or a number in the place of a name is a clear error."""
    with pytest.raises(TypeError, match=r"give its name, as model.named_modules"):
        check_layers(network(), [layer])


def test_features_of_layers():
    """Each layer has the shape and the layout of its output for one image."""
    features = features_of(network(), ["conv", "head"], channels=3, size=8)
    assert features == {"conv": ((1, 4, 8, 8), LAYOUTS["map"]), "head": ((1, 2), LAYOUTS["vector"])}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_looking_at_features_changes_nothing(dtype):
    """Modes of all modules, of frozen ones too, statistics, hooks and gradients stay; any precision will do."""
    model = network().to(dtype)
    model.norm.eval()
    modes, state = [module.training for module in model.modules()], copy.deepcopy(model.state_dict())
    features_of(model, ["conv"], channels=3, size=8)
    with pytest.raises(ImageSizeError):
        features_of(model, ["conv"], channels=1, size=8)
    assert [module.training for module in model.modules()] == modes
    torch.testing.assert_close(model.state_dict(), state, rtol=0, atol=0)
    assert not any(module._forward_hooks for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())


def test_a_layer_without_one_output_has_no_feature():
    """A layer that is called twice, that is not called, or that returns a tuple is refused by name."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.twice, self.never, self.cells = nn.Linear(4, 4), nn.ReLU(), nn.GRU(4, 4)

        def forward(self, x):
            return self.cells(self.twice(self.twice(x.flatten(2))))[0]

    for layer in ("twice", "never", "cells"):
        with pytest.raises(ValueError, match=f"'{layer}' returns no tensor, is not called, or is called more than"):
            features_of(Model(), [layer], channels=3, size=2)


def test_an_unclear_feature_is_refused():
    """The message has the shape, and what a feature is."""
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU())
    with pytest.raises(ValueError, match=r"'1' returns a tensor of shape \[1, 8, 8, 8\] for one image of 8 pixels"):
        features_of(model, ["1"], channels=3, size=8)
