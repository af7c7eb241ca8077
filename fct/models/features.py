"""The features of the layers that params.yaml names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from fct.core.errors import FctError
from fct.core.params import location
from fct.nn import layout
from fct.nn.layout import Feature, ImageSizeError


def output_shapes(
    backbone: nn.Module, layers: Sequence[str], *, channels: int, size: int
) -> dict[str, tuple[int, ...] | None]:
    """Return the shape of each layer's output, as `fct.nn.layout.shapes_of` does.

    Raises:
        FctError: the backbone does not take images of `size` pixels.
    """
    try:
        return layout.shapes_of(backbone, layers, channels=channels, size=size)
    except ImageSizeError as error:
        raise _size_error(error) from None


def features_of(
    backbone: nn.Module, layers: Sequence[str], *, key: str, channels: int, size: int
) -> dict[str, Feature]:
    """Return the feature of each layer for one image of `size` pixels. `key` of params.yaml names the layers.

    Raises:
        FctError: the backbone does not take such images, there is no such layer, a layer's output is not a feature, or
            it is not clear which axis of the output has the channels.
    """
    try:
        return layout.features_of(backbone, layers, channels=channels, size=size)
    except ImageSizeError as error:
        raise _size_error(error) from None
    except ValueError as error:
        raise FctError(f"{location(key)}: {error} `fct layers` lists all layers.") from None


def _size_error(error: ImageSizeError) -> FctError:
    return FctError(f"{location('model.name')}: {error}. Choose another model, or larger images (data.folder.pixels).")
