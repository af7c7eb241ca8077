"""The `compute` section of params.yaml: where work is done. It decides no result, so no stage of dvc.yaml has it."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from fct.core.params import Name, Section, load


def _check_address(address: str) -> str:
    if address in ("auto", "local"):
        return address
    with suppress(ValueError):  # a port that is no number, or too large
        parts = urlsplit(f"//{address.removeprefix('ray://')}")
        if parts.hostname and parts.port:
            return address
    raise ValueError("this must be auto, local or host:port, such as ray-head:6379")


class ComputeParams(Section):
    """Where work is done."""

    engine: Literal["local", "ray"]
    address: Annotated[Name, AfterValidator(_check_address)]  # of the Ray cluster
    search_workers: int = Field(ge=1, le=10_000)
    gpus_per_trial: float = Field(ge=0, le=1)


class _Params(Section):
    compute: ComputeParams


def read_compute() -> ComputeParams:
    """Return the section `compute` of params.yaml. Missing keys have the package's defaults.

    Raises:
        FctError: params.yaml cannot be read, or a value is impossible.
    """
    return load(_Params, with_defaults=("compute",)).compute
