"""Error messages for people in Prefect's UI, as on the terminal."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from prefect import State, get_run_logger
from prefect.states import Failed

from fct.core.errors import FctError

Parameters = ParamSpec("Parameters")


def fail_with_message(flow: Callable[Parameters, State[Any]]) -> Callable[Parameters, State[Any]]:
    """Make a flow fail with the message of an `FctError` instead of a traceback."""

    @wraps(flow)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> State[Any]:
        try:
            return flow(*args, **kwargs)
        except FctError as error:
            get_run_logger().error(str(error))
            return Failed(message=str(error))

    run.__signature__ = inspect.signature(flow, eval_str=True)  # type: ignore[attr-defined] # Prefect would look here
    return run
