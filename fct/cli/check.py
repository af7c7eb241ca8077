"""The command `fct check`: params.yaml as it is, or as it would be with other values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fct import recipes
from fct.check import checks
from fct.core.errors import FctError
from fct.core.params import load
from fct.core.paths import PARAMS
from fct.engine.params import ComputeParams
from fct.registry.params import RegistryParams


class Params(checks.Params):
    """Every section that the stages and the registry read."""

    registry: RegistryParams
    compute: ComputeParams


def fault_with(values: Mapping[str, Any], path: Path = PARAMS) -> str | None:
    """Return why params.yaml would not pass `fct check` with other values, or None if it would. It does not change.

    Args:
        values: by key, dotted or nested.
        path: params.yaml.

    Raises:
        FctError: the file cannot be read or lacks a key.
    """
    with TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        trial.write_bytes(path.read_bytes())
        recipes.write(values, trial)
        try:
            checks.check(load(Params, trial))
        except FctError as error:
            return str(error).replace(str(trial), path.name)
    return None
