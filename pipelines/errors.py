"""Error messages for people in Prefect's UI, as on the terminal."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from prefect import State, get_run_logger
from prefect.states import Failed

from fct.core.errors import FctError
from fct.core.os_errors import describe_os_error

Parameters = ParamSpec("Parameters")


def fail_with_message(flow: Callable[Parameters, State[Any]]) -> Callable[Parameters, State[Any]]:
    """Make a flow fail with the message of an `FctError`, or of a file's `OSError`, instead of a traceback."""

    @wraps(flow)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> State[Any]:
        try:
            return flow(*args, **kwargs)
        except (FctError, OSError) as error:
            message = describe_os_error(error) if isinstance(error, OSError) else str(error)
            get_run_logger().error(message)
            return Failed(message=message)

    run.__signature__ = inspect.signature(flow, eval_str=True)  # type: ignore[attr-defined] # Prefect would look here
    return run
