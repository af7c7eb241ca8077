"""One stage of DVC's pipeline as one Prefect task."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from prefect import State, Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import Cancelled, Completed, Failed

from fct.core.errors import TRY_AGAIN, FctError
from fct.core.os_errors import describe_os_error
from pipelines import graph
from pipelines.process import DELAYS, Commands, Ended, StoppedError

CACHED = "Cached"  # the state of a stage that is up to date
TEMPORARY = "TemporaryFailure"  # the state of a stage that may succeed later


def is_temporary(ended: Ended) -> bool:
    """Return whether the same command may succeed later: a lock was held, or the exit status says so.

    After any other failure (bad input, a diverging loss, too little memory) it would fail again.
    """
    output = "\n".join(ended.tail)
    statuses = re.findall(r"exited with (-?\d+)", output)  # DVC's message has the stage's own status
    return str(TRY_AGAIN) in statuses or graph.is_busy(output)


def _is_temporary(_task: Task[..., object], _run: TaskRun, state: State[object]) -> bool:
    return state.name == TEMPORARY


def stage_task(stage: str, commands: Commands) -> Task[[bool], State[float]]:
    """Return the task that brings one stage up to date. Start it after the stages that it needs.

    Its argument says whether the stage is known to be up to date. Its state is the outcome of the stage, and its
    result is the time in seconds.
    """

    @task(
        name=stage,
        cache_policy=NO_CACHE,  # DVC is the cache
        persist_result=False,
        retries=len(DELAYS),
        retry_delay_seconds=list(DELAYS),
        retry_condition_fn=_is_temporary,
        task_run_name=stage.replace("{", "{{").replace("}", "}}"),  # Prefect formats it; a class may have braces
    )
    def reproduce_stage(is_cached: bool) -> State[float]:  # noqa: FBT001 Prefect's call
        start = time.perf_counter()
        try:
            if is_cached or stage not in graph.stale([stage], get_run_logger().info):
                return Completed(name=CACHED, message=f"{stage} is up to date", data=0.0)
            ended = commands.run(command(stage), get_run_logger().info)
            if ended.status == 0:
                graph.require_cached([stage])
        except StoppedError as error:
            return Cancelled(message=str(error))
        except OSError as error:  # a full disk, no DVC on PATH
            return Failed(message=f"{stage} failed: {describe_os_error(error)}")
        except FctError as error:  # a damaged dvc.lock, a full disk
            return Failed(message=f"{stage} failed: {error}")
        seconds = time.perf_counter() - start
        if ended.status == 0:
            return Completed(message=f"{stage} ran for {seconds:.1f} s", data=seconds)
        name = TEMPORARY if is_temporary(ended) else "Failed"
        return Failed(name=name, message=f"{stage} failed: {_reason(ended)}", data=seconds)

    return reproduce_stage


def command(stage: str) -> Sequence[str]:
    """Return the command that brings one stage up to date.

    DVC releases its lock while a stage runs and takes it again to write dvc.lock. Without --wait-for-lock it would give
    up after three seconds, and a finished training would be lost.
    """
    return ["dvc", "--wait-for-lock", "repro", "--single-item", graph.target(stage)]


def _reason(ended: Ended) -> str:
    """Return why a command failed: the error of this project, or else DVC's error, or else its last lines."""
    output = "\n".join(ended.tail)
    own_error = re.search(r"^error: .*(?:\n {2,}.*)*", output, re.MULTILINE)
    dvc_error = re.search(r"^ERROR: .*", output, re.MULTILINE)
    error = own_error or dvc_error
    return error.group().partition(": ")[2] if error else " / ".join(ended.tail[-3:]) or f"exit status {ended.status}"
