"""The `int8` section of params.yaml."""

from __future__ import annotations

from pydantic import Field

from fct.core.params import Section


class Int8Params(Section):
    """The section `int8`: the 8-bit form of the exported file."""

    images: int = Field(ge=1, le=10**9)  # number of images of the train split for calibration
    max_drop: float = Field(
        ge=0, le=1
    )  # largest loss of mean accuracy over the qualities, on the bound of the interval
