"""The `jpeg` section of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fct.core.params import Section

Quality = Annotated[int, Field(ge=1, le=100)]  # on the scale of the Independent JPEG Group
Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]


class JpegParams(Section):
    """Options of JPEG compression, for all qualities."""

    subsampling: Subsampling
