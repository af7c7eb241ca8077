"""Asks MLflow's registry for things that may not exist, or that another host may have created first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


def if_exists(ask: Callable[[], Answer]) -> Answer | None:
    """Return the answer to a request, or None if what it asks for does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def create_if_missing(client: Any, name: str, **properties: str) -> None:
    """Create a registered model, unless there is one of this name."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, **properties)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another host was faster
            raise
