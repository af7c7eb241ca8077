"""Where a feature has its channels: convolutional maps, tokens, and maps with channels last."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

CONVOLUTIONAL = (nn.Conv2d, nn.BatchNorm2d)  # modules that take channels second
LINEAR = (nn.Linear, nn.LayerNorm)  # modules that take channels last; their subclasses may not, as LayerNorm2d


class Layout(NamedTuple):
    """How a feature is laid out."""

    axis: int  # of the channels
    is_map: bool  # [B, C, H, W], which convolutions take


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
        ValueError: the backbone does not take images of `size` pixels.
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
        raise ValueError(f"the model does not take images of {size} x {size} pixels ({reason})") from None
    finally:
        backbone.train(training)
        for handle in handles:
            handle.remove()
    return shapes


def layer_key(layer: str) -> str:
    """Return a layer's name as a key that ModuleDict allows."""
    return layer.replace(".", "/")


def layer_of(key: str) -> str:
    """Return the layer whose key this is."""
    return key.replace("/", ".")
