"""One MLflow run: its logging and its end."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fct.core.locks import locked
from fct.core.paths import TRACKING_LOCK
from fct.core.signals import Terminated
from fct.tracking import content, pipeline
from fct.tracking.process import Owner
from fct.tracking.server import Server, translate_errors

BATCH = 100  # params in one request, MLflow's limit


@dataclass(frozen=True)
class Run:
    """One MLflow run. Its methods raise `FctError` if the server fails for minutes."""

    server: Server
    id: str
    pipeline: str | None  # the id of the pipeline's run; None for a run below a stage

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers. The UI plots them against `step`, such as the epoch or the JPEG quality."""
        self._log(values, step, [self.id])

    def headline(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers on this run and on that of the pipeline."""
        self._log(values, step, self.both())

    def plot(self, path: Path) -> None:
        """Attach a file to this run and to the pipeline's."""
        with translate_errors(self.server.uri):
            for run in self.both():
                self.server.client.log_artifact(run, str(path), "plots")

    def tag(self, name: str, value: object) -> None:
        """Set a tag."""
        with translate_errors(self.server.uri):
            self.server.client.set_tag(self.id, content.mlflow_key(name), str(value))

    @contextmanager
    def child(
        self, name: str, params: Mapping[str, Any] | None = None, *, ends: tuple[type[BaseException], ...] = ()
    ) -> Iterator[Run]:
        """Open a child run of this one.

        Args:
            name: The run's name.
            params: The run's parameters, flat or nested.
            ends: Exceptions that count as a normal end, such as that of a pruned trial. Then the run is FINISHED, and a
                tag has the name of the exception.
        """
        tags = {"fct.kind": "child", pipeline.PARENT: self.id, **Owner.of(os.getpid()).tags(), **source()}
        with translate_errors(self.server.uri):
            created = self.server.client.create_run(self.server.experiment, run_name=name, tags=tags)
            run = Run(self.server, created.info.run_id, None)
            log_params(self.server, run.id, params or {})
        with closed_by(run, ends):
            yield run

    def close_dead_child(self, run: str) -> None:
        """Close as KILLED a run whose process on any host is dead. Do nothing if it is closed or not on this server."""
        with translate_errors(self.server.uri):
            if self.server.has_run(run) and self.server.client.get_run(run).info.status == "RUNNING":
                self.server.client.set_terminated(run, status="KILLED")

    def close_children(self) -> None:
        """Close as KILLED all runs below this one. Call this when no process works in one."""
        with translate_errors(self.server.uri):
            for run in pipeline.running_below(self.server, self.id):
                self.server.client.set_terminated(run, status="KILLED")

    def both(self) -> list[str]:
        """Return the ids of this run and of the pipeline's."""
        return [self.id, *([self.pipeline] if self.pipeline else [])]

    def _log(self, values: Mapping[str, float], step: int | None, runs: Sequence[str]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)  # milliseconds since 1970
        logged = [Metric(content.mlflow_key(name), float(value), now, step or 0) for name, value in values.items()]
        with translate_errors(self.server.uri):
            for run in runs:
                self.server.client.log_batch(run, metrics=logged)


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested params as text by `section.key`, with lists as JSON."""
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[content.mlflow_key(prefix + str(name))] = (
                value if isinstance(value, str) else json.dumps(value, default=str)
            )
    return flat


def log_params(server: Server, run: str, params: Mapping[str, Any]) -> None:
    """Log the params that the run lacks. Stages share some params, and MLflow refuses to change a logged one."""
    from mlflow.entities import Param

    logged = server.client.get_run(run).data.params
    new = [Param(name, value) for name, value in flatten(params).items() if name not in logged]
    for start in range(0, len(new), BATCH):
        server.client.log_batch(run, params=new[start : start + BATCH])


@contextmanager
def closed_by(run: Run, ends: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
    """Close the run at the end of the block, with its status, and update the status of its pipeline's run."""
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        with suppress(Exception):  # the first error is the one to report
            _close(run, "KILLED")
        raise
    except BaseException as error:
        with suppress(Exception):
            if isinstance(error, ends):
                run.tag("fct.ended", type(error).__name__)
            _close(run, "FINISHED" if isinstance(error, ends) else "FAILED")
        raise
    with translate_errors(run.server.uri):
        _close(run, "FINISHED")


def _close(run: Run, status: str) -> None:
    if run.pipeline is None:
        run.server.client.set_terminated(run.id, status=status)
        return
    with locked(TRACKING_LOCK):
        run.server.client.set_terminated(run.id, status=status)
        pipeline.update_status(run.server, run.pipeline)


def source() -> dict[str, str]:
    """Return the tags with which MLflow shows the user and the program."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in many containers
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": Path(sys.argv[0]).name, "mlflow.source.type": "LOCAL"}
