"""Register the flows for a work pool, whose workers may be on any host.

    python -m pipelines.deploy     # or `make deploy`: registers, prints how to start a worker, and ends

The pool is `pipeline.pool` of params.yaml, on the Prefect server at PREFECT_API_URL. Workers clone the present branch
from the git remote `origin`. Automations of Prefect mark runs as crashed if their process or host has died.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from urllib.parse import urlsplit

import click
import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectAlreadyExists
from prefect.runner.storage import GitRepository

from fct.core import params
from fct.core.database import without_password
from fct.core.errors import FctError, UnreachableError, exit_on_error
from fct.core.params import location
from fct.vcs import git
from pipelines import pool
from pipelines.params import Schedules
from pipelines.serve import ON_ANY_HOST, on_any_host

HEARTBEAT = 30  # seconds between two signs of life of a run
SILENCE = timedelta(minutes=3)  # without one, after which a run counts as dead
STARTING = timedelta(minutes=10)  # from pending to running: a clone of the repository, and imports
RETRIES = 7  # of a request to the server, after 2, 4, 8, ... seconds: it may be down for minutes
ENDED = ("Completed", "Failed", "Crashed", "Cancelled", "GateFailed")  # names of final states
WAITING = ("Scheduled", "Late", "AwaitingConcurrencySlot", "AwaitingRetry", "Paused", "Suspended", "Cancelling")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Register the flows for the work pool `pipeline.pool` of params.yaml, at PREFECT_API_URL.

    Prints how to start a worker, and ends. Workers clone the present branch from the git remote `origin`.
    """
    with exit_on_error():
        schedules = params.load(Schedules)
        name = schedules.pipeline.pool
        if name is None:
            raise FctError(f"{location('pipeline.pool')} is null. Give the pool a name, such as gpus, and commit.")
        if not os.environ.get("PREFECT_API_URL"):
            raise FctError(
                "PREFECT_API_URL is not set. Set it to the Prefect server's API, such as http://HOST:4200/api."
            )
        source = _source()
        with _errors_of_the_server(), get_client(sync_client=True) as client:
            with suppress(ObjectAlreadyExists):
                client.create_work_pool(WorkPoolCreate(name=name, type="process"))
            for deployment in deployments(schedules, name, source):
                deployment.apply()
            for automation in automations():
                _replace(client, automation)
        count = len(ON_ANY_HOST)
        print(f"{count} deployments are registered for the pool {name}. Start a worker on each host, in a clone:")
        print(f"prefect worker start --pool {name} --limit 1")


@contextmanager
def _errors_of_the_server() -> Iterator[None]:
    """Turn errors of the Prefect server, or of the way to it, into an `FctError`."""
    server = f"PREFECT_API_URL={without_password(os.environ['PREFECT_API_URL'])}"
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise FctError(
                f"{server} refuses (HTTP status {status}). Set PREFECT_API_AUTH_STRING to user:password."
            ) from None
        raise UnreachableError(f"{server} fails with HTTP status {status}. See the server's log.") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise FctError(f"{server} is not an address. Set it to http://HOST:PORT/api.") from None
    except httpx.HTTPError as error:
        raise UnreachableError(f"{server} does not answer ({error}). Start the server, or check the address.") from None
    except DeploymentApplyError as error:
        raise FctError(f"{server} refuses a deployment: {error}") from None


def deployments(schedules: Schedules, name: str, source: GitRepository) -> list[RunnerDeployment]:
    """Return the deployment of every flow that can run on any host."""
    made = on_any_host(schedules)
    environment = {
        pool.VARIABLE: name,
        "PYTHONPATH": ".",  # the clone's code, not the worker's
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT),
        "PREFECT_CLIENT_MAX_RETRIES": str(RETRIES),
    }
    for deployment in made:
        deployment.work_pool_name = name
        deployment.job_variables = {"env": environment}
        deployment.storage = source
    return made


def automations() -> Iterator[AutomationCore]:
    """Yield automations that mark runs as crashed whose process or host has died.

    The server refuses this for a run that has ended, so a late event cannot crash a completed run.
    """
    yield _crashes(
        "fct: close runs without a sign of life",
        after=["heartbeat", "Running"],
        expect=["heartbeat", *ENDED, *WAITING],
        within=SILENCE,
        message="no sign of life: its process or host has died",
    )
    yield _crashes(
        "fct: close runs that never start",
        after=["Pending"],
        expect=["Running", *ENDED, *WAITING],
        within=STARTING,
        message="never started: its worker has died",
    )


def _crashes(name: str, *, after: list[str], expect: list[str], within: timedelta, message: str) -> AutomationCore:
    return AutomationCore(
        name=name,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": ["flow"], "prefect.resource.name": [flow.name for flow in ON_ANY_HOST]}
            ),
            for_each={"prefect.resource.id"},
            after={f"prefect.flow-run.{event}" for event in after},
            expect={f"prefect.flow-run.{event}" for event in expect},
            threshold=1,
            within=within,
        ),
        actions=[ChangeFlowRunState(name="Crashed", state=StateType.CRASHED, message=message)],
    )


def _replace(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Create an automation, or replace the one of its name."""
    existing = client.read_automations_by_name(automation.name)
    if existing:
        client.update_automation(existing[0].id, automation)
    else:
        client.create_automation(automation)


def _source() -> GitRepository:
    """Return where workers clone from.

    Raises:
        FctError: there is no remote `origin`, its address has a password, or it lacks the present commit.
    """
    address = (git.run("remote", "get-url", "origin") or "").strip()
    branch = (git.run("rev-parse", "--abbrev-ref", "HEAD") or "").strip()
    if not address:
        raise FctError("There is no git remote `origin` for the workers to clone. Add one: git remote add origin URL")
    if urlsplit(address).password:
        raise FctError(
            "The address of the git remote `origin` has a password, which Prefect would show. Use ssh or a helper."
        )
    pushed = (git.run("ls-remote", "origin", f"refs/heads/{branch}") or "").partition("\t")[0]
    if pushed != (git.run("rev-parse", "HEAD") or "").strip():
        raise FctError(
            f"The branch {branch} of `origin` is not at your commit. Push it first: git push origin {branch}"
        )
    return GitRepository(url=address, branch=branch)


if __name__ == "__main__":
    main()
