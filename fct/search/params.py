"""The `search` section of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fct.core.params import Name, Section, Seed
from fct.methods.params import Distance, Target
from fct.models.params import check_unique

Pruner = Literal["none", "hyperband", "successive-halving", "median"]
Candidates = Annotated[list[Name], AfterValidator(check_unique)] | None  # None: those that `fct.models.layers` proposes


class Range(Section):
    """The range of the consistency weight, searched on a log scale."""

    low: float = Field(gt=0, le=1e6)
    high: float = Field(gt=0, le=1e6)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self


class SearchParams(Section):
    """The size of the search and its search space."""

    trials: int = Field(ge=1, le=10_000)
    images: int = Field(ge=2, le=10**9)
    epochs: int = Field(ge=1, le=100_000)
    pruner: Pruner
    max_raw_drop: float = Field(ge=0, le=1)  # accuracy
    min_gain: float = Field(ge=0, le=1)  # accuracy
    seed: Seed
    weight: Range
    layers: Candidates  # for method.layers, in addition to its own; []: method.layers stays as it is
    block_layers: Candidates  # for method.block.layers, likewise
    distances: Annotated[list[Distance], Field(min_length=1)]
    targets: Annotated[list[Target], Field(min_length=1)]
