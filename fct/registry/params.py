"""The section `registry` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from fct.core.params import Name, Section


def _check_characters(name: str) -> str:
    if "/" in name or ":" in name or not name.strip("."):
        raise ValueError("MLflow takes no name with a slash or a colon, or of dots alone; choose another")
    return name


class RegistryParams(Section):
    """The section `registry`: the name under which models are registered."""

    name: Annotated[Name, AfterValidator(_check_characters)]  # of the registered model; each task needs its own
