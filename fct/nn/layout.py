"""The layers of a model, and the layout of their features: maps, tokens, maps with channels last."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
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

    @property
    def ndim(self) -> int:
        """Return the number of axes of the feature."""
        return 4 if self.is_map else self.axis + 1


LAYOUTS = {
    "vector": Layout(1, is_map=False),  # [B, C]
    "map": Layout(1, is_map=True),  # [B, C, H, W]
    "tokens": Layout(2, is_map=False),  # [B, N, C]
    "channels-last": Layout(3, is_map=False),  # [B, H, W, C]
}


class ImageSizeError(ValueError):
    """The model does not take images of this size."""


class Feature(NamedTuple):
    """The output of a layer for one image."""

    shape: tuple[int, ...]
    layout: Layout


def named_layout(name: str) -> Layout:
    """Return the layout "vector", "map", "tokens" or "channels-last".

    Raises:
        ValueError: no layout has this name.
    """
    if name not in LAYOUTS:
        raise ValueError(f"layout is {name!r}; it is one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def layout_of(shape: tuple[int, ...], module: nn.Module, *, is_square: bool = True) -> Layout | None:
    """Return the layout of the output of `module` for one image, or None if it is not clear.

    - [1, C]: channels second.
    - [1, N, C]: tokens, channels last.
    - [1, C, H, W] and [1, H, W, C]: for a square image H = W, which shows which axis has the channels. If it does not,
      or if the image is not square, it is the layout of the layers inside `module`, if all have the same.

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
    if (is_second and is_last) or not is_square:
        parts = list(module.modules())
        is_last = any(type(part) in LINEAR for part in parts)
        is_second = any(isinstance(part, CONVOLUTIONAL) for part in parts)
    if is_second == is_last:
        return None
    return Layout(1, is_map=True) if is_second else Layout(3, is_map=False)


def channels_second(feature: Tensor, layout: Layout) -> Tensor:
    """Return a feature as [B, C, ...], without a copy."""
    return feature.movedim(layout.axis, 1)


def check_layers(model: nn.Module, layers: Iterable[str]) -> None:
    """Check that each of `layers` is the name of a module of `model`.

    Raises:
        TypeError: a name is not a string.
        ValueError: no module has a name. The message lists the nearest names.
    """
    names = [name for name, _ in model.named_modules() if name]
    for layer in layers:
        if not isinstance(layer, str):
            raise TypeError(f"a layer is {type(layer).__name__}; give its name, as model.named_modules() has it.")
        if layer not in names:
            if not names:
                raise ValueError(f"no layer is called {layer!r}: the model has no layers.")
            near = difflib.get_close_matches(layer, names, n=3)
            hint = f"Nearest: {', '.join(near)}" if near else f"The outermost layers: {', '.join(_outer(names)[:8])}"
            raise ValueError(f"no layer is called {layer!r}. {hint}.")


def _outer(names: Sequence[str]) -> list[str]:
    """Return the outermost of the layers, or those inside if a wrapper is the only one."""
    levels = [[name for name in names if name.count(".") == depth] for depth in range(len(names))]
    return next((level for level in levels if len(level) > 1), levels[0])


def features_of(model: nn.Module, layers: Sequence[str], *, channels: int, size: int) -> dict[str, Feature]:
    """Return the feature of each layer for one image of `size` pixels.

    Raises:
        ValueError: the model does not take such images, there is no such layer, a layer's output is not a feature, or
            it is not clear which axis of the output has the channels.
    """
    check_layers(model, layers)
    features = {}
    for layer, shape in shapes_of(model, layers, channels=channels, size=size).items():
        layout = layout_of(shape, model.get_submodule(layer)) if shape else None
        if shape is None or layout is None:
            output = (
                f"a tensor of shape {list(shape)} for one image of {size} pixels"
                if shape
                else "no tensor, is not called, or is called more than once"
            )
            raise ValueError(
                f"{layer!r} returns {output}. A feature is [B, C], tokens [B, N, C], or a map [B, C, H, W] or "
                "[B, H, W, C] with H = W and C not equal to H."
            )
        features[layer] = Feature(shape, layout)
    return features


@torch.no_grad()
def shapes_of(
    backbone: nn.Module, layers: Sequence[str], *, channels: int, size: int
) -> dict[str, tuple[int, ...] | None]:
    """Return the shape of each layer's output for one image; None if it is not a tensor, or not called exactly once.

    Raises:
        ImageSizeError: the backbone does not take images of `size` pixels.
    """
    shapes: dict[str, tuple[int, ...] | None] = dict.fromkeys(layers)
    called: set[str] = set()

    def record_shape(layer: str, _module: nn.Module, _inputs: object, output: object) -> None:
        is_first = layer not in called  # a layer that is called twice, as a ReLU may be, has no single feature
        called.add(layer)
        shapes[layer] = tuple(output.shape) if is_first and isinstance(output, Tensor) else None

    handles = [backbone.get_submodule(layer).register_forward_hook(partial(record_shape, layer)) for layer in shapes]
    training = {module: module.training for module in backbone.modules()}  # some may be frozen, as batch norms are
    like = float_weight(backbone)
    try:
        backbone.eval()(like.new_zeros(1, channels, size, size))
    except (RuntimeError, AssertionError) as error:  # the image is too small for a kernel or a patch
        reason = str(error).partition("\n")[0]
        raise ImageSizeError(f"the model does not take images of {size} x {size} pixels ({reason})") from None
    finally:
        for module, mode in training.items():
            module.training = mode
        for handle in handles:
            handle.remove()
    return shapes


def float_weight(model: nn.Module) -> Tensor:
    """Return the first weight that is a float: its device and its type are those of the model's images."""
    return next((weight for weight in model.parameters() if weight.is_floating_point()), torch.empty(0))


def layer_key(layer: str) -> str:
    """Return a layer's name as a valid key of ModuleDict."""
    return layer.replace(".", "/")


def layer_of(key: str) -> str:
    """Return the name of the layer with this key."""
    return key.replace("/", ".")
