"""The section `registry` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fct.core.params import Name, Section


class RegistryParams(Section):
    """The section `registry`: the name under which models are registered."""

    name: Annotated[Name, Field(pattern=r"^[^/:]*[^/:.][^/:]*$")]  # of the registered model; each task needs its own
