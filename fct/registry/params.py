"""What params.yaml says about the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fct.core.params import Section


class RegistryParams(Section):
    """The section `registry`: under which name models are registered, and when one replaces another."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[^/:]+$")]  # of the registered model; one task, one name
    margin: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]  # accuracy that a new champion may be worse by
    confidence: Annotated[float, Field(gt=0, lt=1)]  # of the two-sided interval around the paired difference
