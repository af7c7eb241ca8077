"""The `method` section of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fct.core.params import Section

Distance = Literal["mse", "centred-mse", "cosine"]
Gradient = Literal["both", "raw-detached"]


class MethodParams(Section):
    """How raw and compressed views become a loss. Keys that a method has no use for are checked and ignored."""

    name: Literal["standard", "augment", "pair", "stability", "jsd", "fct", "fct-r"]
    probability: float = Field(ge=0, le=1)
    weight: float = Field(ge=0, allow_inf_nan=False)
    layers: Annotated[list[str], Field(min_length=1)]
    distance: Distance
    gradient: Gradient
    block_width: float = Field(gt=0, le=4)

    @model_validator(mode="after")
    def _no_layer_twice(self) -> Self:
        if len(set(self.layers)) != len(self.layers):
            raise ValueError("layers: name each layer once")
        return self
