"""`fct layers`: the inner layers of a backbone as a table."""

from __future__ import annotations

from fct import recipes
from fct.core.params import Section
from fct.data.store import SPLITS, read_meta
from fct.methods.params import MethodParams
from fct.models import backbones
from fct.models.listing import layers_of
from fct.models.params import ModelParams

SIZE, CHANNELS = 32, 3  # of images where there are no data yet
CLASSES = 10  # likewise: they change the last layer alone


class Params(Section):
    """What is read of params.yaml."""

    recipe: recipes.Name
    model: ModelParams
    method: MethodParams


def table(model: str | None, *, size: int | None, channels: int | None, depth: int | None) -> str:
    """Return a line a layer; arguments as of `fct layers`, of which None takes what params.yaml and the data say."""
    read = recipes.load(Params)
    data = read_meta() if (SPLITS / "meta.json").exists() else {}
    size, channels = size or data.get("size", SIZE), channels or data.get("channels", CHANNELS)
    own = model is None or model == read.model.name
    backbone = backbones.build(
        model or read.model.name,
        width=read.model.width,
        classes=len(data.get("classes", range(CLASSES))),
        channels=channels,
        size=size,
        stem=read.model.stem if own else "own",
    )
    rows = [("layer", "module", "output", "parameters", "a block adds")]
    for layer in layers_of(backbone, read.method.block, channels=channels, size=size, depth=depth):
        shape = " x ".join(map(str, layer.shape)) if layer.shape else "-"
        block = "-" if layer.block is None else f"{layer.block:,}"
        rows.append((layer.name, layer.kind, shape, f"{layer.parameters:,}", block))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, kind, shape, parameters, block in rows:
        left = f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}"
        lines.append(f"{left}  {parameters:>{widths[3]}}  {block:>{widths[4]}}")
    return "\n".join(lines)
