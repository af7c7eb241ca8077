"""The `compute` section of params.yaml: where work is done. It decides no result, so no stage of dvc.yaml has it."""

from __future__ import annotations

from typing import Literal

from fct.core.params import Name, Section, load


class ComputeParams(Section):
    """Where work is done."""

    engine: Literal["local", "ray"]
    address: Name  # of the Ray cluster


class _Params(Section):
    compute: ComputeParams


def read_compute() -> ComputeParams:
    """Return the section `compute` of params.yaml. Missing keys have the package's defaults.

    Raises:
        FctError: params.yaml cannot be read, or a value is impossible.
    """
    return load(_Params, with_defaults=("compute",)).compute
