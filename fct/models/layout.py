"""Where a feature has its channels: convolutional maps, tokens, and maps with channels last."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fct.core.errors import FctError

CONVOLUTIONAL = (nn.Conv2d, nn.BatchNorm2d)  # modules that take channels second
LINEAR = (nn.Linear, nn.LayerNorm)  # modules that take channels last; their subclasses may not, as LayerNorm2d


class Layout(NamedTuple):
    """How a feature is laid out."""

    axis: int  # of the channels
    is_map: bool  # [B, C, H, W], which convolutions take


class Feature(NamedTuple):
    """What a layer gives for one image."""

    shape: tuple[int, ...]
    layout: Layout


def layout_of(shape: tuple[int, ...], module: nn.Module) -> Layout | None:
    """Return the layout of what `module` gives for one square image, or None where that cannot be told.

    - [1, C] and [1, C, H, W], H = W: channels second.
    - [1, N, C]: tokens, channels last.
    - [1, H, W, C], H = W: channels last.
    - [1, K, K, K]: as the layers inside `module` have it, if they are of one kind.

    Several rows for one image, as of attention within windows, are no feature of the image.
    """
    if shape[:1] != (1,):
        return None
    if len(shape) == 2:
        return Layout(1, is_map=False)
    if len(shape) == 3:
        return Layout(2, is_map=False)
    if len(shape) != 4:
        return None
    second, last = shape[2] == shape[3], shape[1] == shape[2]
    if second and last:
        parts = list(module.modules())
        last = any(type(part) in LINEAR for part in parts)
        second = any(isinstance(part, CONVOLUTIONAL) for part in parts)
    if second == last:
        return None
    return Layout(1, is_map=True) if second else Layout(3, is_map=False)


def channels_second(feature: Tensor, layout: Layout) -> Tensor:
    """Return a feature as [B, C, ...], a view."""
    return feature.movedim(layout.axis, 1)


@torch.no_grad()
def shapes_of(
    backbone: nn.Module, layers: Sequence[str], *, channels: int, size: int
) -> dict[str, tuple[int, ...] | None]:
    """Return the shape of each layer's output for one image; None where it gives no tensor, or does not run once.

    Raises:
        FctError: the backbone does not take images of `size` pixels.
    """
    shapes: dict[str, tuple[int, ...] | None] = dict.fromkeys(layers)
    called: set[str] = set()

    def note(layer: str, _module: nn.Module, _inputs: object, output: object) -> None:
        once = layer not in called  # what is called again, as a ReLU may be, gives more than one feature
        called.add(layer)
        shapes[layer] = tuple(output.shape) if once and isinstance(output, Tensor) else None

    handles = [backbone.get_submodule(layer).register_forward_hook(partial(note, layer)) for layer in layers]
    training = backbone.training
    device = next((weight.device for weight in backbone.parameters()), None)
    try:
        backbone.eval()(torch.zeros(1, channels, size, size, device=device))
    except (RuntimeError, AssertionError) as error:  # less is left of the image than a kernel or a patch takes
        reason = str(error).partition("\n")[0]
        raise FctError(
            f"params.yaml: model.name: the model does not take images of {size} x {size} pixels ({reason}). Choose "
            "another, or larger images (data.folder.size)."
        ) from None
    finally:
        backbone.train(training)
        for handle in handles:
            handle.remove()
    return shapes


def features_of(
    backbone: nn.Module, layers: Sequence[str], *, key: str, channels: int, size: int
) -> dict[str, Feature]:
    """Return what each layer, read from `key` of params.yaml, gives for one image of `size` pixels.

    Raises:
        FctError: the backbone does not take such images, or a layer's output is no feature, or one whose channels
            cannot be told.
    """
    features = {}
    for layer, shape in shapes_of(backbone, layers, channels=channels, size=size).items():
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
