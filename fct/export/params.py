"""The `export` section of params.yaml."""

from __future__ import annotations

from pydantic import Field

from fct.core.params import Section


class Int8Params(Section):
    """The section `int8`: the 8-bit form of the exported file."""

    images: int = Field(ge=1)  # of the train split, to calibrate on
    worse: float = Field(ge=0, le=1)  # accuracy, mean over the qualities, that it may lose, on the bound


class ExportParams(Section):
    """How the ONNX file is checked against the network it came from."""

    images: int = Field(ge=2)  # real images it is compared on
    tolerance: float = Field(gt=0)  # largest difference of a logit
