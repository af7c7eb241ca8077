"""The `cache` section of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from fct.core.params import Section
from fct.splits.params import Quality


def _check_ascending(qualities: list[int]) -> list[int]:
    if sorted(set(qualities)) != qualities:
        raise ValueError("list each quality once, in ascending order")
    return qualities


class CacheParams(Section):
    """The compressed views that are made before the training."""

    qualities: Annotated[list[Quality], Field(min_length=1), AfterValidator(_check_ascending)]
    shard: Annotated[int, Field(ge=1, le=2**20)]  # MiB
