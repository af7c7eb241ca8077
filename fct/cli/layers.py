"""The command `fct layers`: the inner layers of a backbone as a table, to choose method.layers from."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from fct.cli.backbone import build_named
from fct.core.params import Section, load, present_or_defaults
from fct.core.paths import SPLITS
from fct.methods.params import MethodParams
from fct.models import backbones
from fct.models.features import output_shapes
from fct.models.layers import block_layout, count_weights, outer_layers, propose
from fct.models.params import BlockParams, ModelParams
from fct.nn.residual import ResidualMappingBlock
from fct.splits.store import read_meta

SIZE, CHANNELS = 32, 3  # of the images, if there are no data yet
CLASSES = 10  # if there are no data yet; the number changes the last layer alone
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
    image = {"classes": len(data.get("classes", range(CLASSES))), "channels": channels, "size": size}
    width = width or params.model.width
    if is_configured:
        backbone = backbones.build_backbone(name, width=width, stem=params.model.stem, **image)
    else:
        backbone = build_named(name, "MODEL", width=width, **image)
    rows = [HEADINGS]
    for layer in list_layers(backbone, params.method.block, channels=channels, size=size, every=every):
        shape = " x ".join(map(str, layer.shape)) if layer.shape else "-"
        block = "-" if layer.block is None else f"{layer.block:,}"
        rows.append((layer.name, layer.kind, shape, f"{layer.parameters:,}", block, "stage" if layer.is_stage else ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{name}: {channels} x {size} x {size} pixels, {count_weights(backbone):,} parameters"]
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
        channels: the number of channels of the images.
        size: height and width of the images in pixels.
        every: list every module; else only the stages, the modules beside them and those around them.
    """
    names = [name for name, _ in backbone.named_modules() if name]
    shapes = output_shapes(backbone, names, channels=channels, size=size)
    costs = {name: _cost(backbone.get_submodule(name), shapes[name], block) for name in names}
    proposal = propose(backbone, shapes)
    listed = names if every else outer_layers(backbone, proposal.trunk)
    layers = []
    for name in listed:
        module, shape = backbone.get_submodule(name), shapes[name]
        layers.append(
            Layer(
                name,
                type(module).__name__,
                shape and shape[1:],
                count_weights(module),
                costs[name],
                name in proposal.stages,
            )
        )
    return layers


def _cost(module: nn.Module, shape: tuple[int, ...] | None, block: BlockParams) -> int | None:
    """Return how many parameters a residual mapping block behind `module` has, or None if no block fits there."""
    layout = block_layout(module, shape)
    if shape is None or layout is None:
        return None
    return count_weights(ResidualMappingBlock(shape[layout.axis], layout, width=block.width, quality=block.quality))
