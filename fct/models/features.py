"""The features of the layers that params.yaml names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from fct.core.errors import FctError
from fct.nn.layout import Layout, layout_of, shapes_of


class Feature(NamedTuple):
    """The output of a layer for one image."""

    shape: tuple[int, ...]
    layout: Layout


def output_shapes(
    backbone: nn.Module, layers: Sequence[str], *, channels: int, size: int
) -> dict[str, tuple[int, ...] | None]:
    """Return the shape of each layer's output, as `fct.nn.layout.shapes_of` does.

    Raises:
        FctError: the backbone does not take images of `size` pixels.
    """
    try:
        return shapes_of(backbone, layers, channels=channels, size=size)
    except ValueError as error:
        raise FctError(
            f"params.yaml: model.name: {error}. Choose another model, or larger images (data.folder.size)."
        ) from None


def features_of(
    backbone: nn.Module, layers: Sequence[str], *, key: str, channels: int, size: int
) -> dict[str, Feature]:
    """Return the feature of each layer for one image of `size` pixels. `key` of params.yaml names the layers.

    Raises:
        FctError: the backbone does not take such images, a layer's output is not a feature, or it is not clear which
            axis of the output has the channels.
    """
    features = {}
    for layer, shape in output_shapes(backbone, layers, channels=channels, size=size).items():
        layout = layout_of(shape, backbone.get_submodule(layer)) if shape else None
        if shape is None or layout is None:
            output = (
                f"a tensor of shape {list(shape)} for one image of {size} pixels"
                if shape
                else "no tensor, is not called, or is called more than once"
            )
            raise FctError(
                f"params.yaml: {key}: {layer!r} returns {output}. A feature is [B, C], tokens [B, N, C], or a map "
                "[B, C, H, W] or [B, H, W, C] with H = W and C not equal to H. `fct layers --all` lists all layers."
            )
        features[layer] = Feature(shape, layout)
    return features
