"""Stops a flow run that the server has marked as ended while its process goes on.

An automation marks a run as crashed if it gives no sign of life (`pipelines.deploy`). The process may still live: its
host was suspended, or could not reach the server. The next run has begun since, so the closed one stops. It pushes and
promotes nothing more, and the server keeps the state that it has.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.exceptions import Abort, PrefectException
from prefect.states import Crashed

EVERY = 30.0  # seconds between two looks


def check(run: UUID) -> None:
    """Check that the server has not closed this run. Call this before what other runs and people see.

    Raises:
        Abort: the server has closed it. Prefect then ends the process and keeps the run's state.
    """
    with get_client(sync_client=True) as client:  # the flow's own: it waits for a server that restarts
        state = _final_state(client, run)
    if state is not None:
        _abort(state)


@contextmanager
def watched(run: UUID, stop: Callable[[], object], every: float = EVERY) -> Iterator[None]:
    """Call `stop`, from another thread, once the server has closed the run.

    Raises:
        Abort: at the end of the block, or instead of its error, if the server has closed the run.
    """
    over, states = threading.Event(), list[str]()

    def watch() -> None:
        while not over.wait(every):
            try:
                with get_client(sync_client=True, httpx_settings={}) as client:  # one of this thread, not the flow's
                    state = _final_state(client, run)
            except (httpx.HTTPError, PrefectException):  # the server restarts: look again later
                continue
            if state is not None:
                states.append(state)
                stop()
                return

    context = contextvars.copy_context()  # it has Prefect's settings
    thread = threading.Thread(target=context.run, args=(watch,), daemon=True, name="watch for a closed run")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if states:
            _abort(states[0])


def close_stages() -> None:
    """Mark stages as crashed that the server shows at work although their run has ended: it was killed with them."""
    ended = FlowRunFilterStateType(any_=list(TERMINAL_STATES))
    at_work = TaskRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])
    with get_client(sync_client=True) as client:
        left = client.read_task_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=ended)),
            task_run_filter=TaskRunFilter(state=TaskRunFilterState(type=at_work)),
        )
        for stage in left:
            client.set_task_run_state(stage.id, Crashed(message="its run was killed"), force=True)


def _final_state(client: SyncPrefectClient, run: UUID) -> str | None:
    """Return the name of the run's final state, or None while it has none."""
    state = client.read_flow_run(run).state
    return str(state.name) if state is not None and state.is_final() else None


def _abort(state: str) -> None:
    message = f"Prefect has closed this run as {state} while it gave no sign of life. It stops here."
    get_run_logger().error(message)
    raise Abort(message)
