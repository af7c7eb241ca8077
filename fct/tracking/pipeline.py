"""Pipeline runs: the first stage makes one, later stages join it, and runs of dead processes are closed.

The tags of a run:

    fct.kind       pipeline | stage | child
    fct.pipeline   on a pipeline run: the id by which stages join it
    fct.stage      on a stage's run: the name of the stage
    fct.host, fct.pid, fct.started   the process that works in it; on a pipeline run, the last one that joined
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from fct.tracking.process import Owner, pipeline_owner
from fct.tracking.server import Server

PARENT = "mlflow.parentRunId"
SEVERITY = (
    "RUNNING",
    "FAILED",
    "KILLED",
)  # the pipeline has the first of these that any stage has, or else FINISHED


def overall_status(stages: Iterable[tuple[str, str]]) -> str:
    """Return a pipeline run's status from its stages' runs, (name, status), oldest first. The last rerun counts."""
    last = dict(stages)
    return next((status for status in SEVERITY if status in last.values()), "FINISHED") if last else "KILLED"


def join_run(server: Server, tags: Mapping[str, str]) -> str:
    """Return the id of this pipeline's run and set it RUNNING. Create it, with `tags`, for the first stage."""
    name, owner = _key()
    runs = [run for run in runs_named(server, name) if _belongs_to(owner, run)]
    process_tags = Owner.of(os.getpid()).tags()
    if not runs:
        pipeline_tags = {
            "fct.kind": "pipeline",
            "fct.pipeline": name,
            "fct.origin": f"{owner.started:.2f}" if owner else "",
        }
        run = server.client.create_run(
            server.experiment, run_name="pipeline", tags={**tags, **pipeline_tags, **process_tags}
        )
        return str(run.info.run_id)
    run = runs[0]
    for key, value in process_tags.items():
        server.client.set_tag(run.info.run_id, key, value)
    if tags.get("dirty") == "true" and run.data.tags.get("dirty") != "true":
        server.client.set_tag(run.info.run_id, "dirty", "true")
    server.client.update_run(run.info.run_id, status="RUNNING")
    return str(run.info.run_id)


def runs_named(server: Server, name: str) -> list[Any]:
    """Return the pipeline runs with the id `name`, oldest first."""
    return _search(server, f"tags.`fct.pipeline` = {quoted(name)}")


def update_status(server: Server, pipeline: str) -> None:
    """Set the status of a pipeline run from those of its stages' runs."""
    stage_runs = _search(server, f"tags.`{PARENT}` = '{pipeline}' and tags.`fct.kind` = 'stage'")
    status = overall_status((run.data.tags["fct.stage"], run.info.status) for run in stage_runs)
    if status != "RUNNING":
        server.client.set_terminated(pipeline, status=status)


def close_dead_runs(server: Server) -> None:
    """Close as KILLED every RUNNING run whose process on this host has ended without closing it."""
    running = _search(server, "attributes.status = 'RUNNING' and tags.`fct.pid` != ''")
    dead = [run for run in running if (owner := Owner.read(run.data.tags)) and owner.is_gone()]
    pipelines = {run.info.run_id for run in dead if run.data.tags.get("fct.kind") == "pipeline"}
    for run in dead:
        if run.info.run_id not in pipelines:
            server.client.set_terminated(run.info.run_id, status="KILLED")
    parents = {run.data.tags[PARENT] for run in dead if run.data.tags.get("fct.kind") == "stage"}
    for pipeline in sorted(pipelines | parents):
        update_status(server, pipeline)


def running_below(server: Server, parent: str) -> list[str]:
    """Return the ids of the RUNNING runs below a run."""
    runs = _search(server, f"attributes.status = 'RUNNING' and tags.`{PARENT}` = '{parent}'")
    return [str(run.info.run_id) for run in runs]


def run_that_made(server: Server, tag: str, digest: str) -> Any | None:
    """Return the latest FINISHED run with `tag` = `digest`, or None."""
    runs = _search(server, f"tags.`{tag}` = '{digest}' and attributes.status = 'FINISHED'", newest=True)
    return runs[0] if runs else None


def quoted(value: str) -> str:
    """Return `value` as a string in MLflow's search language."""
    return '"' + value.replace('"', "") + '"' if "'" in value else f"'{value}'"


def _key() -> tuple[str, Owner | None]:
    pipeline_id = os.environ.get("FCT_PIPELINE_RUN")
    if pipeline_id:
        return pipeline_id, None
    owner = pipeline_owner()
    return f"{owner.host}:{owner.pid}", owner


def _belongs_to(owner: Owner | None, run: Any) -> bool:
    """Return whether `run` belongs to the process `owner`, and not to an older one with its pid; True without owner."""
    origin = run.data.tags.get("fct.origin")
    return owner is None or (bool(origin) and owner.is_same(Owner(owner.host, owner.pid, float(origin))))


def _search(server: Server, condition: str, *, newest: bool = False) -> list[Any]:
    """Return all runs of the experiment that meet `condition`, by start time, oldest first unless `newest`."""
    order = ["attributes.start_time DESC" if newest else "attributes.start_time ASC"]
    runs: list[Any] = []
    token: str | None = None
    while True:
        page = server.client.search_runs([server.experiment], condition, order_by=order, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs
