"""What a backbone is made of: its layers by name, for those who choose where features are pulled together."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from fct.models.layout import layout_of
from fct.models.network import shapes_of
from fct.models.params import BlockParams
from fct.models.residual import ResidualMappingBlock


class Layer(NamedTuple):
    """One module of a backbone."""

    name: str
    kind: str  # class of the module
    shape: tuple[int, ...] | None  # of its output for one image, without the batch; None where that is no tensor
    parameters: int  # its own and those of what is inside
    block: int | None  # parameters of a residual mapping block behind it; None where none can sit there


def layers_of(backbone: nn.Module, block: BlockParams, *, channels: int, size: int, depth: int | None) -> list[Layer]:
    """Return the layers of `backbone` in the order of its definition.

    Args:
        backbone: float [B, channels, size, size] -> logits.
        block: what the blocks are like that would sit there.
        channels: of the images.
        size: of the images, pixels, height and width.
        depth: how many names deep, such as 2 for features.3; all if None.
    """
    names = [name for name, _ in backbone.named_modules() if name and (depth is None or name.count(".") < depth)]
    shapes = shapes_of(backbone, names, channels=channels, size=size)
    return [_layer(backbone, name, shapes[name], block) for name in names]


def _layer(backbone: nn.Module, name: str, shape: tuple[int, ...] | None, block: BlockParams) -> Layer:
    module = backbone.get_submodule(name)
    layout = layout_of(shape) if shape else None
    cost = None
    if shape and layout and len(shape) > 2:
        cost = _count(ResidualMappingBlock(shape[layout.axis], block, layout))
    return Layer(name, type(module).__name__, shape and shape[1:], _count(module), cost)


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
