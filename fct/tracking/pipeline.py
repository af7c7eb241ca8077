"""Pipeline runs: found or made by the first stage, joined by the later ones, never left RUNNING by the dead.

A run's tags say what it is:

    fct.kind       pipeline | stage | child
    fct.pipeline   on a pipeline run: the id it is joined by
    fct.stage      on a stage's run: the name of the stage
    fct.host, fct.pid, fct.started   the process at work in it; on a pipeline run, the last that joined
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from fct.tracking.process import Owner, pipeline_owner
from fct.tracking.server import Server

PARENT = "mlflow.parentRunId"
SEVERITY = ("RUNNING", "FAILED", "KILLED")  # the first that any stage has is the pipeline's, else FINISHED


def overall_status(stages: Iterable[tuple[str, str]]) -> str:
    """Return a pipeline run's status from its stages' runs, (name, status), oldest first; a rerun counts alone."""
    last = dict(stages)
    return next((status for status in SEVERITY if status in last.values()), "FINISHED") if last else "KILLED"


def join_run(server: Server, tags: Mapping[str, str]) -> str:
    """Return the id of this pipeline's run, RUNNING; make it, with `tags`, if this is the first stage."""
    name, owner = _key()
    found = [run for run in runs_named(server, name) if _is_of(owner, run)]
    mine = Owner.of(os.getpid()).tags()
    if not found:
        about = {"fct.kind": "pipeline", "fct.pipeline": name, "fct.origin": f"{owner.started:.2f}" if owner else ""}
        made = server.client.create_run(server.experiment, run_name="pipeline", tags={**tags, **about, **mine})
        return str(made.info.run_id)
    run = found[0]
    for key, value in mine.items():
        server.client.set_tag(run.info.run_id, key, value)
    if tags.get("dirty") == "true" and run.data.tags.get("dirty") != "true":
        server.client.set_tag(run.info.run_id, "dirty", "true")
    server.client.update_run(run.info.run_id, status="RUNNING")
    return str(run.info.run_id)


def runs_named(server: Server, name: str) -> list[Any]:
    """Return the pipelines' runs that are joined by `name`, oldest first."""
    return _search(server, f"tags.`fct.pipeline` = {quoted(name)}")


def update_status(server: Server, pipeline: str) -> None:
    """Give a pipeline run the status that its stages' runs come to."""
    under = _search(server, f"tags.`{PARENT}` = '{pipeline}' and tags.`fct.kind` = 'stage'")
    status = overall_status((run.data.tags["fct.stage"], run.info.status) for run in under)
    if status != "RUNNING":
        server.client.set_terminated(pipeline, status=status)


def close_dead_runs(server: Server) -> None:
    """Close as KILLED what is RUNNING in a process of this host that has ended: it had no chance to say so."""
    running = _search(server, "attributes.status = 'RUNNING' and tags.`fct.pid` != ''")
    dead = [run for run in running if (owner := Owner.read(run.data.tags)) and owner.is_gone()]
    pipelines = {run.info.run_id for run in dead if run.data.tags.get("fct.kind") == "pipeline"}
    for run in dead:
        if run.info.run_id not in pipelines:
            server.client.set_terminated(run.info.run_id, status="KILLED")
    of_stages = {run.data.tags[PARENT] for run in dead if run.data.tags.get("fct.kind") == "stage"}
    for pipeline in sorted(pipelines | of_stages):
        update_status(server, pipeline)


def run_that_made(server: Server, tag: str, digest: str) -> Any | None:
    """Return the latest stage's run that ended well and has `tag` = `digest`, or None."""
    found = _search(server, f"tags.`{tag}` = '{digest}' and attributes.status = 'FINISHED'", newest=True)
    return found[0] if found else None


def quoted(value: str) -> str:
    """Return `value` as a string in MLflow's search language."""
    return '"' + value.replace('"', "") + '"' if "'" in value else f"'{value}'"


def _key() -> tuple[str, Owner | None]:
    given = os.environ.get("FCT_PIPELINE_RUN")
    if given:
        return given, None
    owner = pipeline_owner()
    return f"{owner.host}:{owner.pid}", owner


def _is_of(owner: Owner | None, run: Any) -> bool:
    """Tell whether `run` is of this life of the owner's pid; a given id is enough by itself."""
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
