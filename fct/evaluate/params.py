"""What params.yaml says about evaluation and the gate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from fct.core.params import Section
from fct.jpeg.params import Quality

Floor = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class EvaluateParams(Section):
    """The section `evaluate`: how the exported model is measured."""

    qualities: Annotated[tuple[Quality, ...], Field(min_length=1)]  # of the sweep, besides the raw images
    batch_size: Annotated[int, Field(ge=1)]  # images
    resamples: Annotated[int, Field(ge=100)]  # of the bootstrap over images
    confidence: Annotated[float, Field(gt=0, lt=1)]  # of every two-sided interval
    seed: Annotated[int, Field(ge=0)]  # of the bootstrap

    @field_validator("qualities")
    @classmethod
    def _unique(cls, qualities: tuple[int, ...]) -> tuple[int, ...]:
        twice = sorted({quality for quality in qualities if qualities.count(quality) > 1})
        if twice:
            raise ValueError(f"each quality once; {', '.join(map(str, twice))} stands there more than once")
        return qualities


class GateParams(Section):
    """The section `gate`: what a candidate must reach to be promoted, each judged on its confidence bound."""

    clean: Floor  # accuracy on the raw images
    mean: Floor  # mean accuracy over the qualities of the sweep
    worst: Floor  # accuracy at the quality where it is lowest
    parity: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # largest |logit difference| between onnx and torch
    file_mib: Annotated[float, Field(gt=0, allow_inf_nan=False)]  # size of the exported file
