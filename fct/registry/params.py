"""What params.yaml says about the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fct.core.params import Section


class RegistryParams(Section):
    """The section `registry`: under which name models are registered."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[^/:]+$")]  # of the registered model; one task, one name
