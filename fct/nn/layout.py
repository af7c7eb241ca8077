"""The layout of features: maps with channels second, tokens, and maps with channels last."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

CONVOLUTIONAL = (nn.Conv2d, nn.BatchNorm2d)  # modules that take channels second
LINEAR = (nn.Linear, nn.LayerNorm)  # modules that take channels last; some subclasses, as LayerNorm2d, do not


class Layout(NamedTuple):
    """The layout of a feature."""

    axis: int  # of the channels
    is_map: bool  # [B, C, H, W], the input of a convolution


def layout_of(shape: tuple[int, ...], module: nn.Module) -> Layout | None:
    """Return the layout of the output of `module` for one square image, or None if it is not clear.

    - [1, C] and [1, C, H, W], H = W: channels second.
    - [1, N, C]: tokens, channels last.
    - [1, H, W, C], H = W: channels last.
    - [1, K, K, K]: the layout of the layers inside `module`, if all have the same.

    An output of several rows for one image, as of attention within windows, is not a feature of the image.
    """
    if shape[:1] != (1,):
        return None
    if len(shape) == 2:
        return Layout(1, is_map=False)
    if len(shape) == 3:
        return Layout(2, is_map=False)
    if len(shape) != 4:
        return None
    is_second, is_last = shape[2] == shape[3], shape[1] == shape[2]
    if is_second and is_last:
        parts = list(module.modules())
        is_last = any(type(part) in LINEAR for part in parts)
        is_second = any(isinstance(part, CONVOLUTIONAL) for part in parts)
    if is_second == is_last:
        return None
    return Layout(1, is_map=True) if is_second else Layout(3, is_map=False)


def channels_second(feature: Tensor, layout: Layout) -> Tensor:
    """Return a feature as [B, C, ...], without a copy."""
    return feature.movedim(layout.axis, 1)


@torch.no_grad()
def shapes_of(
    backbone: nn.Module, layers: Sequence[str], *, channels: int, size: int
) -> dict[str, tuple[int, ...] | None]:
    """Return the shape of each layer's output for one image. It is None without a tensor, or without exactly one call.

    Raises:
        ValueError: the backbone does not take images of `size` pixels.
    """
    shapes: dict[str, tuple[int, ...] | None] = dict.fromkeys(layers)
    called: set[str] = set()

    def record_shape(layer: str, _module: nn.Module, _inputs: object, output: object) -> None:
        is_first = layer not in called  # a layer that is called twice, as a ReLU may be, has no single feature
        called.add(layer)
        shapes[layer] = tuple(output.shape) if is_first and isinstance(output, Tensor) else None

    handles = [backbone.get_submodule(layer).register_forward_hook(partial(record_shape, layer)) for layer in layers]
    training = backbone.training
    device = next((weight.device for weight in backbone.parameters()), None)
    try:
        backbone.eval()(torch.zeros(1, channels, size, size, device=device))
    except (RuntimeError, AssertionError) as error:  # the image is too small for a kernel or a patch
        reason = str(error).partition("\n")[0]
        raise ValueError(f"the model does not take images of {size} x {size} pixels ({reason})") from None
    finally:
        backbone.train(training)
        for handle in handles:
            handle.remove()
    return shapes


def layer_key(layer: str) -> str:
    """Return a layer's name as a valid key of ModuleDict."""
    return layer.replace(".", "/")


def layer_of(key: str) -> str:
    """Return the name of the layer with this key."""
    return key.replace("/", ".")
