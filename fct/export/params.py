"""The `export` section of params.yaml."""

from __future__ import annotations

from pydantic import Field

from fct.core.params import Section


class ExportParams(Section):
    """The section `export`: the comparison of the ONNX file with the network."""

    images: int = Field(ge=2, le=10**9)  # number of real images that they are compared on
    tolerance: float = Field(gt=0)  # largest allowed difference of a logit
