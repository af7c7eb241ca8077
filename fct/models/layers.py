"""Proposes the layers of a backbone to try first: its stem, its stages and its head."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from torch import nn

from fct.models import backbones
from fct.models.features import output_shapes
from fct.nn.layout import Layout, layout_of

STAGES = 3  # fewer parts do not count as the stages of a model
MOST_STAGES = 6  # if there are more parts, such as blocks, only some are proposed

Shapes = Mapping[str, tuple[int, ...] | None]  # of each layer's output for one image; None if it is not one tensor


class Proposal(NamedTuple):
    """The layers of a backbone to try first."""

    trunk: str  # name of the module that holds the stages; empty for the backbone itself
    stem: str | None  # the last layer before the stages that gives a feature; None if there are no stages
    stages: list[str]  # in their order
    head: str  # the classifier

    @property
    def places(self) -> list[str]:
        """The stem and the stages: the layers behind which a residual mapping block fits."""
        return list(dict.fromkeys([*([self.stem] if self.stem else []), *self.stages]))


def propose_layers(backbone: nn.Module, *, channels: int, size: int) -> Proposal:
    """Return the layers to try first.

    Args:
        backbone: float [B, channels, size, size] -> logits.
        channels: the number of channels of the images.
        size: height and width of the images in pixels.
    """
    names = [name for name, _ in backbone.named_modules() if name]
    return propose(backbone, output_shapes(backbone, names, channels=channels, size=size))


def propose(backbone: nn.Module, shapes: Shapes) -> Proposal:
    """Return the layers to try first, for a backbone whose layers have outputs of these shapes."""
    usable = [name for name, shape in shapes.items() if block_layout(backbone.get_submodule(name), shape)]
    trunk, parts = _find_stages(backbone, usable)
    parts = parts or [name for name in usable if name.rpartition(".")[0] == trunk]  # a plain chain
    stem = _find_stem(backbone, trunk, parts, usable)
    return Proposal(trunk, stem, _representatives(parts, shapes), backbones.head_name(backbone))


def outer_layers(backbone: nn.Module, trunk: str) -> list[str]:
    """Return the names of the modules in `trunk` and in the modules around it, in the order of their definition."""
    around = ["", *(trunk[:end] for end, letter in enumerate(f"{trunk}.") if letter == ".")]
    return [name for name, _ in backbone.named_modules() if name and name.rpartition(".")[0] in around]


def block_layout(module: nn.Module, shape: tuple[int, ...] | None) -> Layout | None:
    """Return the layout of the module's output, if a residual mapping block fits there."""
    return layout_of(shape, module) if shape and len(shape) > 2 else None


def count_weights(module: nn.Module) -> int:
    """Return the number of parameters of a module, with those of the modules inside."""
    return sum(weight.numel() for weight in module.parameters())


def _find_stages(backbone: nn.Module, usable: Collection[str]) -> tuple[str, list[str]]:
    """Return the name of the module that holds the stages, and the names of the stages.

    The search begins at the backbone and continues in the part with the most parameters. It ends at the first module
    with at least STAGES parts that are made of layers and give a feature: a ResNet itself, the `features` of a
    MobileNet, the layers of a ViT's encoder. A plain chain such as a VGG has none.
    """
    name = "" if backbones.unwrap_grey(backbone) is backbone else "model"  # inside the wrapper for grey images
    best: tuple[str, list[str]] = ("", [])
    while True:
        children = backbone.get_submodule(name).named_children()
        inside = {f"{name}.{child_name}".lstrip("."): child for child_name, child in children}
        parts = [path for path, child in inside.items() if path in usable and _is_made_of_layers(child)]
        if len(parts) > len(best[1]):
            best = name, parts
        if len(best[1]) >= STAGES:
            return best
        if not parts:
            return best if len(best[1]) > 1 else (name, [])
        name = max(parts, key=lambda path: count_weights(inside[path]))


def _find_stem(backbone: nn.Module, trunk: str, parts: list[str], usable: Collection[str]) -> str | None:
    """Return the last layer before the stages that gives a feature, beside them or around them.

    If there is none, for example if the stem is the first of many equal parts, it is the first part.
    """
    if not parts:
        return None
    outer = outer_layers(backbone, trunk)
    before = outer[: outer.index(parts[0])]
    beside = [name for name in before if name in usable and not f"{trunk}.".startswith(f"{name}.")]
    return beside[-1] if beside else parts[0]


def _representatives(parts: list[str], shapes: Shapes) -> list[str]:
    """Return the parts to try first: all of a few, or else the last one before each change of resolution.

    Where the resolution never changes, as in a transformer, these are four parts that are evenly spread.
    """
    if len(parts) <= MOST_STAGES:
        return parts
    resolutions = [(shape[2:] if len(shape) == 4 else shape) if (shape := shapes[part]) else None for part in parts]
    last = [
        part
        for part, own, following in zip(parts, resolutions, [*resolutions[1:], None], strict=True)
        if own != following
    ]
    quarters = [parts[round(quarter * len(parts) / 4) - 1] for quarter in (1, 2, 3, 4)]
    return last if len(last) > 1 else quarters


def _is_made_of_layers(module: nn.Module) -> bool:
    norm = isinstance(module, nn.BatchNorm2d)  # timm's norms have an activation inside
    return not norm and count_weights(module) > 0 and any(True for _ in module.children())
