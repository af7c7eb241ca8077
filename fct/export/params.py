"""The `export` section of params.yaml."""

from __future__ import annotations

from pydantic import Field

from fct.core.params import Section


class ExportParams(Section):
    """How the ONNX file is checked against the network it came from."""

    images: int = Field(ge=2)  # real images it is compared on
    tolerance: float = Field(gt=0)  # largest difference of a logit
