"""What the layers that params.yaml names give for one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from fct.core.errors import FctError
from fct.nn.layout import Layout, layout_of, shapes_of


class Feature(NamedTuple):
    """What a layer gives for one image."""

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
            f"params.yaml: model.name: {error}. Choose another, or larger images (data.folder.size)."
        ) from None


def features_of(
    backbone: nn.Module, layers: Sequence[str], *, key: str, channels: int, size: int
) -> dict[str, Feature]:
    """Return what each layer, read from `key` of params.yaml, gives for one image of `size` pixels.

    Raises:
        FctError: the backbone does not take such images, or a layer's output is no feature, or one whose channels
            cannot be told.
    """
    features = {}
    for layer, shape in output_shapes(backbone, layers, channels=channels, size=size).items():
        layout = layout_of(shape, backbone.get_submodule(layer)) if shape else None
        if shape is None or layout is None:
            given = (
                f"a tensor of shape {list(shape)} for one image of {size} pixels"
                if shape
                else "no tensor, or does not run, or more than once"
            )
            raise FctError(
                f"params.yaml: {key}: {layer!r} gives {given}; a feature is [B, C], tokens [B, N, C], or a map "
                "[B, C, H, W] or [B, H, W, C] whose H = W is not C. `fct layers --all` shows what others give."
            )
        features[layer] = Feature(shape, layout)
    return features
