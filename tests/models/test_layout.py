"""Where a feature has its channels follows from its shape, as images are square."""

import pytest
import torch

from fct.models.layout import channels_second, layout_of


@pytest.mark.parametrize(
    ("shape", "axis", "is_map"),
    [
        ((2, 5), 1, False), ((2, 16, 5), 2, False), ((2, 5, 8, 8), 1, True), ((2, 8, 8, 5), 3, False),
        ((2, 8, 8, 8), 1, True),
    ],
)  # fmt: skip
def test_the_layout_of_a_shape(shape, axis, is_map):
    """Vectors, tokens, maps, maps with channels last; a cube is a map."""
    assert layout_of(shape) == (axis, is_map)


def test_other_shapes_have_none():
    """A feature of five axes is nothing that blocks or distances know."""
    assert layout_of((1, 2, 3, 4, 5)) is None


def test_features_are_shown_with_their_channels_second():
    """Tokens are turned, maps stay as they are."""
    tokens, image = torch.rand(2, 16, 5), torch.rand(2, 5, 8, 8)
    assert torch.equal(channels_second(tokens), tokens.transpose(1, 2))
    assert channels_second(image) is image
