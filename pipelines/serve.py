"""The deployments of the flows in Prefect, with their schedules.

    python -m pipelines.serve     # until Ctrl-C; `make ui` runs it beside the servers

Runs are processes on this machine, in the current folder. Only one run of a flow works at a time; the others queue.
Runs of different flows also wait for each other, since they share files.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click
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
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType

from fct.core import params
from fct.core.errors import exit_on_error
from fct.core.locks import locked
from fct.core.paths import RUNNING_LOCK, SERVING_LOCK
from fct.registry.params import RegistryParams
from pipelines import closed
from pipelines.flows import promote, reproduce, rollback, search
from pipelines.intake import intake
from pipelines.params import Scheduled, Schedules
from pipelines.watch import trigger, watch

ON_ANY_HOST: tuple[Flow[..., Any], ...] = (reproduce, search, promote, rollback)
FLOWS = (*ON_ANY_HOST, intake, watch)  # these two read folders of their host
RENAMED = ("promote/by-hand", "rollback/by-hand")  # former names: a database of Prefect may still have them
ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)


class Params(Schedules):
    """The sections of params.yaml that the deployments read."""

    registry: RegistryParams


def deployments() -> list[RunnerDeployment]:
    """Return the deployment of every flow."""
    schedules = params.load(Params)
    # Prefect makes the automations of a deployment anew each time, so a key that is false again leaves none.
    triggers = [trigger(schedules.registry.name)] if schedules.watch.reproduce else []
    return [
        *on_any_host(schedules, triggers),
        _deploy(intake, "inbox", schedules.intake),
        _deploy(watch, "served-images", schedules.watch),
    ]


def on_any_host(schedules: Schedules, triggers: Sequence[DeploymentEventTrigger] = ()) -> list[RunnerDeployment]:
    """Return the deployments of the flows that need no folder of one host. `triggers` start `reproduce`."""
    return [
        _deploy(reproduce, "nightly", schedules.pipeline, triggers, promote=True),
        _deploy(search, "more-trials"),
        _deploy(promote, "promote-by-hand"),
        _deploy(rollback, "rollback-by-hand"),
    ]


def _deploy(
    flow: Flow[..., Any],
    name: str,
    when: Scheduled | None = None,
    triggers: Sequence[DeploymentEventTrigger] = (),
    **by_schedule: Any,
) -> RunnerDeployment:
    """Return the deployment of a flow. Its schedule starts runs with the parameters `by_schedule`."""
    schedule = when and when.schedule and Cron(when.schedule, timezone=when.timezone, parameters=by_schedule)
    deployment = flow.to_deployment(
        name,
        schedule=schedule or None,
        triggers=list(triggers),
        concurrency_limit=ONE,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(deployment, RunnerDeployment)  # not a coroutine: this is no event loop
    return deployment


def mark_dead_runs_crashed() -> None:
    """Mark unfinished runs as crashed. Their processes are gone, and they would block the queue.

    Call this only while no run is at work.
    """
    names = FlowFilterName(any_=[flow.name for flow in FLOWS])
    unfinished = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    with get_client(sync_client=True) as client:
        dead_runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=names),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=unfinished)),
        )
        for run in dead_runs:
            client.set_flow_run_state(run.id, Crashed(message="its process was killed"), force=True)
    closed.close_stages()


def delete_renamed() -> None:
    """Delete the deployments under former names, since no process would run what they start."""
    with get_client(sync_client=True) as client:
        for name in RENAMED:
            with suppress(ObjectNotFound):
                client.delete_deployment(client.read_deployment_by_name(name).id)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Serve the flows as deployments of Prefect, with their schedules, until Ctrl-C."""
    with (
        exit_on_error(),
        locked(SERVING_LOCK, on_wait=lambda: print("waiting for another process that serves these deployments to end")),
    ):
        with locked(RUNNING_LOCK, on_wait=lambda: print("waiting for a run to end")):
            mark_dead_runs_crashed()
        delete_renamed()
        serve(*deployments(), print_starting_message=False)


if __name__ == "__main__":
    main()
