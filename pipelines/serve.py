"""The flows as Prefect shows and schedules them.

    python -m pipelines.serve     # until Ctrl-C; `make ui` runs it beside the servers

Runs are processes of this machine, in the current folder. One run of each flow is let in at a time and the others
queue; runs of different flows wait for each other, since they share files.
"""

from __future__ import annotations

from typing import Any

from prefect import Flow, serve
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType

from fct.core import params
from fct.core.errors import exit_on_error
from fct.core.locks import locked
from fct.core.paths import RUNNING_LOCK, SERVING_LOCK
from pipelines.flows import promote, reproduce, rollback, search
from pipelines.intake import intake
from pipelines.params import Scheduled, Schedules

FLOWS: tuple[Flow[..., Any], ...] = (reproduce, search, promote, rollback, intake)
ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)


def deployments() -> list[RunnerDeployment]:
    """Return every flow, ready to be served."""
    read = params.load(Schedules)
    return [
        _deployed(reproduce, "nightly", read.pipeline, promote=True),
        _deployed(search, "more-trials"),
        _deployed(promote, "by-hand"),
        _deployed(rollback, "by-hand"),
        _deployed(intake, "inbox", read.intake),
    ]


def _deployed(flow: Flow[..., Any], name: str, when: Scheduled | None = None, **by_schedule: Any) -> RunnerDeployment:
    """Return a flow under a name, with its schedule and the parameters of the runs that the schedule starts."""
    schedule = when and when.schedule and Cron(when.schedule, timezone=when.timezone, parameters=by_schedule)
    deployment = flow.to_deployment(
        name, schedule=schedule or None, concurrency_limit=ONE, entrypoint_type=EntrypointType.MODULE_PATH
    )
    assert isinstance(deployment, RunnerDeployment)  # not a coroutine: this is no event loop
    return deployment


def mark_dead_runs_crashed() -> None:
    """Mark as crashed the runs whose process ended without a word, or they would hold their place in the queue.

    To be called where no run is at work.
    """
    names = FlowFilterName(any_=[flow.name for flow in FLOWS])
    unfinished = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    with get_client(sync_client=True) as client:
        dead = client.read_flow_runs(
            flow_filter=FlowFilter(name=names),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=unfinished)),
        )
        for run in dead:
            client.set_flow_run_state(run.id, Crashed(message="its process was killed"), force=True)


def main() -> None:
    """Serve the deployments until told to stop."""
    with (
        exit_on_error(),
        locked(SERVING_LOCK, on_wait=lambda: print("waiting for another process that serves them to end")),
    ):
        with locked(RUNNING_LOCK, on_wait=lambda: print("waiting for a run to end")):
            mark_dead_runs_crashed()
        serve(*deployments(), print_starting_message=False)


if __name__ == "__main__":
    main()
