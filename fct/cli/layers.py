"""`fct layers`: the inner layers of a backbone as a table, for those who choose where features are pulled together."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from fct.core.params import Section, load
from fct.core.paths import SPLITS
from fct.methods.params import MethodParams
from fct.models import backbones
from fct.models.features import output_shapes
from fct.models.params import BlockParams, ModelParams
from fct.nn.layout import layout_of
from fct.nn.residual import ResidualMappingBlock
from fct.splits.store import read_meta

SIZE, CHANNELS = 32, 3  # of images where there are no data yet
CLASSES = 10  # likewise: they change the last layer alone
STAGES = 3  # as many stages as a model has at least
HEADINGS = ("layer", "module", "output", "parameters", "a block adds", "")
RIGHT = ("parameters", "a block adds")


class Params(Section):
    """What is read of params.yaml."""

    model: ModelParams
    method: MethodParams


class Layer(NamedTuple):
    """One module of a backbone."""

    name: str
    kind: str  # class of the module
    shape: tuple[int, ...] | None  # of its output for one image, without the batch; None where that is no tensor
    parameters: int  # its own and those of what is inside
    block: int | None  # parameters of a residual mapping block behind it; None where none can sit there
    is_stage: bool  # one of the parts that the model is divided into


def format_layers(model: str | None, *, size: int | None, channels: int | None, width: int | None, every: bool) -> str:
    """Return a line a layer; arguments as of `fct layers`, of which None takes what params.yaml and the data say."""
    read = load(Params)
    data = read_meta() if (SPLITS / "meta.json").exists() else {}
    size, channels = size or data.get("size", SIZE), channels or data.get("channels", CHANNELS)
    own = model is None or model == read.model.name
    name = model or read.model.name
    backbone = backbones.build_backbone(
        name,
        width=width or read.model.width,
        classes=len(data.get("classes", range(CLASSES))),
        channels=channels,
        size=size,
        stem=read.model.stem if own else "own",
    )
    rows = [HEADINGS]
    for layer in list_layers(backbone, read.method.block, channels=channels, size=size, every=every):
        shape = " x ".join(map(str, layer.shape)) if layer.shape else "-"
        block = "-" if layer.block is None else f"{layer.block:,}"
        rows.append((layer.name, layer.kind, shape, f"{layer.parameters:,}", block, "stage" if layer.is_stage else ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{name}: {channels} x {size} x {size} pixels, {_count(backbone):,} parameters"]
    for row in rows:
        cells = zip(HEADINGS, row, widths, strict=True)
        padded = (cell.rjust(wide) if heading in RIGHT else cell.ljust(wide) for heading, cell, wide in cells)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def list_layers(backbone: nn.Module, block: BlockParams, *, channels: int, size: int, every: bool) -> list[Layer]:
    """Return the layers of `backbone` in the order of its definition.

    Args:
        backbone: float [B, channels, size, size] -> logits.
        block: what the blocks are like that would sit there.
        channels: of the images.
        size: of the images, pixels, height and width.
        every: all of them, not only the stages, what lies beside them and what they lie in.
    """
    names = [name for name, _ in backbone.named_modules() if name]
    shapes = output_shapes(backbone, names, channels=channels, size=size)
    costs = {name: _cost(backbone.get_submodule(name), shapes[name], block) for name in names}
    trunk, stages = _stages(backbone, {name for name in names if costs[name] is not None})
    outer = [trunk[:end] for end, letter in enumerate(f"{trunk}.") if letter == "."]  # the trunk and what it lies in
    shown = [name for name in names if every or name.rpartition(".")[0] in ("", *outer)]
    found = []
    for name in shown:
        module, shape = backbone.get_submodule(name), shapes[name]
        found.append(
            Layer(name, type(module).__name__, shape and shape[1:], _count(module), costs[name], name in stages)
        )
    return found


def _stages(backbone: nn.Module, usable: set[str]) -> tuple[str, list[str]]:
    """Return the module that is divided into stages, and these.

    It is the outermost with at least STAGES parts that are made of layers and give a feature, looked for along the
    parts with the most parameters: a ResNet itself, the `features` of a MobileNet, the encoder's layers of a ViT. A
    plain chain, as a VGG is, has none.
    """
    name = ""
    best: tuple[str, list[str]] = ("", [])
    while True:
        children = backbone.get_submodule(name).named_children()
        inside = {f"{name}.{own}".lstrip("."): child for own, child in children}
        parts = [path for path, child in inside.items() if path in usable and _is_made_of_layers(child)]
        if len(parts) > len(best[1]):
            best = name, parts
        if len(best[1]) >= STAGES:
            return best
        if not parts:
            return best if len(best[1]) > 1 else (name, [])
        name = max(parts, key=lambda path: _count(inside[path]))


def _is_made_of_layers(module: nn.Module) -> bool:
    norm = isinstance(module, nn.BatchNorm2d)  # timm's have an activation inside
    return not norm and _count(module) > 0 and any(True for _ in module.children())


def _cost(module: nn.Module, shape: tuple[int, ...] | None, block: BlockParams) -> int | None:
    """Return how many parameters a residual mapping block behind `module` has, or None where none can sit there."""
    layout = layout_of(shape, module) if shape else None
    if shape is None or layout is None or len(shape) == 2:
        return None
    return _count(ResidualMappingBlock(shape[layout.axis], layout, width=block.width, quality=block.quality))


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
