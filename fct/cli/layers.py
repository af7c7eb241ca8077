"""The command `fct layers`: the inner layers of a backbone as a table, to choose method.layers from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from fct.core.params import Section, load, present_or_defaults
from fct.core.paths import SPLITS
from fct.methods.params import MethodParams
from fct.models import backbones
from fct.models.features import output_shapes
from fct.models.params import BlockParams, ModelParams
from fct.nn.layout import Layout, layout_of
from fct.nn.residual import ResidualMappingBlock
from fct.splits.store import read_meta

SIZE, CHANNELS = 32, 3  # of the images, if there are no data yet
CLASSES = 10  # if there are no data yet; the number changes the last layer alone
STAGES = 3  # the least number of parts that count as the stages of a model
MOST_STAGES = 6  # of more parts, such as blocks, only some are marked
HEADINGS = ("layer", "module", "output", "parameters", "a block adds", "")
RIGHT = ("parameters", "a block adds")


class Params(Section):
    """The sections of params.yaml that `fct layers` reads."""

    model: ModelParams
    method: MethodParams


class Layer(NamedTuple):
    """One module of a backbone."""

    name: str
    kind: str  # name of the class of the module
    shape: (
        tuple[int, ...] | None
    )  # of its output for one image, without the batch; None if the output is not one tensor
    parameters: int  # number of parameters, with those of the modules inside
    block: int | None  # parameters of a residual mapping block behind it; None if no block fits there
    is_stage: bool  # whether it is one of those to try first


def format_layers(model: str | None, *, size: int | None, channels: int | None, width: int | None, every: bool) -> str:
    """Return a table with one line per layer.

    Arguments are those of `fct layers`. None takes the value from params.yaml or from the data. If there is no
    params.yaml, the package's defaults take its place.
    """
    params = load(Params, present_or_defaults())
    data = read_meta() if (SPLITS / "meta.json").exists() else {}
    size, channels = size or data.get("size", SIZE), channels or data.get("channels", CHANNELS)
    is_configured = model is None or model == params.model.name
    name = model or params.model.name
    backbone = backbones.build_backbone(
        name,
        width=width or params.model.width,
        classes=len(data.get("classes", range(CLASSES))),
        channels=channels,
        size=size,
        stem=params.model.stem if is_configured else "own",
    )
    rows = [HEADINGS]
    for layer in list_layers(backbone, params.method.block, channels=channels, size=size, every=every):
        shape = " x ".join(map(str, layer.shape)) if layer.shape else "-"
        block = "-" if layer.block is None else f"{layer.block:,}"
        rows.append((layer.name, layer.kind, shape, f"{layer.parameters:,}", block, "stage" if layer.is_stage else ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{name}: {channels} x {size} x {size} pixels, {_count(backbone):,} parameters"]
    for row in rows:
        cells = zip(HEADINGS, row, widths, strict=True)
        padded = (cell.rjust(width) if heading in RIGHT else cell.ljust(width) for heading, cell, width in cells)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def list_layers(backbone: nn.Module, block: BlockParams, *, channels: int, size: int, every: bool) -> list[Layer]:
    """Return the layers of `backbone` in the order of its definition.

    Args:
        backbone: float [B, channels, size, size] -> logits.
        block: parameters of the residual mapping blocks whose cost is shown.
        channels: of the images.
        size: height and width of the images in pixels.
        every: list every module; else only the stages, the modules beside them and those around them.
    """
    names = [name for name, _ in backbone.named_modules() if name]
    shapes = output_shapes(backbone, names, channels=channels, size=size)
    costs = {name: _cost(backbone.get_submodule(name), shapes[name], block) for name in names}
    trunk, stages = _stages_to_try(backbone, shapes)
    outer = [
        trunk[:end] for end, letter in enumerate(f"{trunk}.") if letter == "."
    ]  # the trunk and the modules around it
    listed = [name for name in names if every or name.rpartition(".")[0] in ("", *outer)]
    layers = []
    for name in listed:
        module, shape = backbone.get_submodule(name), shapes[name]
        layers.append(
            Layer(name, type(module).__name__, shape and shape[1:], _count(module), costs[name], name in stages)
        )
    return layers


def stages_of(backbone: nn.Module, *, channels: int, size: int) -> tuple[list[str], str]:
    """Return the names of the layers to try first, in order, and of the classifier.

    Args:
        backbone: float [B, channels, size, size] -> logits.
        channels: of the images.
        size: height and width of the images in pixels.
    """
    names = [name for name, _ in backbone.named_modules() if name]
    shapes = output_shapes(backbone, names, channels=channels, size=size)
    _, stages = _stages_to_try(backbone, shapes)
    head = [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    return stages, head


def _stages_to_try(backbone: nn.Module, shapes: Mapping[str, tuple[int, ...] | None]) -> tuple[str, list[str]]:
    """Return the name of the module that holds the stages, and the names of those to try first."""
    usable = {name for name, shape in shapes.items() if _layout(backbone.get_submodule(name), shape)}
    trunk, parts = _stages(backbone, usable)
    return trunk, _representatives(parts, shapes)


def _stages(backbone: nn.Module, usable: set[str]) -> tuple[str, list[str]]:
    """Return the name of the module that holds the stages, and the names of the stages.

    The search begins at the backbone and goes on into the part with the most parameters. It ends at the first module
    with at least STAGES parts that are made of layers and give a feature: a ResNet itself, the `features` of a
    MobileNet, the layers of a ViT's encoder. A plain chain such as a VGG has no stages.
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
        name = max(parts, key=lambda path: _count(inside[path]))


def _representatives(parts: list[str], shapes: Mapping[str, tuple[int, ...] | None]) -> list[str]:
    """Return the parts to try first: all if they are few, else the last before each change of resolution.

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
    return not norm and _count(module) > 0 and any(True for _ in module.children())


def _cost(module: nn.Module, shape: tuple[int, ...] | None, block: BlockParams) -> int | None:
    """Return how many parameters a residual mapping block behind `module` has, or None if no block fits there."""
    layout = _layout(module, shape)
    if shape is None or layout is None:
        return None
    return _count(ResidualMappingBlock(shape[layout.axis], layout, width=block.width, quality=block.quality))


def _layout(module: nn.Module, shape: tuple[int, ...] | None) -> Layout | None:
    """Return the layout of the module's output, if a residual mapping block fits there."""
    return layout_of(shape, module) if shape and len(shape) > 2 else None


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
