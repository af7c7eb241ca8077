"""The `int8` section of params.yaml."""

from __future__ import annotations

from pydantic import Field

from fct.core.params import Section


class Int8Params(Section):
    """The 8-bit form of the exported file."""

    images: int = Field(ge=1)  # of the train split, to calibrate on
    max_drop: float = Field(ge=0, le=1)  # accuracy, mean over the qualities, that it may lose, on the bound
