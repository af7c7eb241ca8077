"""The `model` section of params.yaml, and `method.block`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fct.core.params import Section

Stem = Literal["own", "small"]


class ModelParams(Section):
    """Which backbone is trained, and from what."""

    name: str  # resnet8 | resnet20 | resnet56 | speednet | torchvision's | timm/...
    width: int = Field(ge=4, le=512)  # channels of the first stage of the own networks; others ignore it
    stem: Stem  # small: one that keeps the resolution of small images, where the model's own is for large ones
    weights: str | None  # a file in weights/ to start from


class BlockParams(Section):
    """Residual mapping blocks: where, how large, and how they know the quality (fct.models.residual)."""

    layers: Annotated[list[str], Field(min_length=1)]
    width: float = Field(gt=0, le=4)  # of the bottleneck, relative to the layer's channels
    quality: Literal["film", "plane", "table"]
    consistency: Literal["after", "before"]  # which feature the consistency term sees

    @model_validator(mode="after")
    def _no_layer_twice(self) -> Self:
        if len(set(self.layers)) != len(self.layers):
            raise ValueError("layers: name each layer once")
        return self
