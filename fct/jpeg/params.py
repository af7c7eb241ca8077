"""The `jpeg` section of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fct.core.params import Section

Quality = Annotated[int, Field(ge=1, le=100)]  # of the Independent JPEG Group's scale
Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]
FACTORS = {"4:2:0": (2, 2), "4:2:2": (1, 2), "4:4:4": (1, 1)}  # luma samples a chroma sample, down and across


class JpegParams(Section):
    """How images are compressed, whatever their quality."""

    subsampling: Subsampling
