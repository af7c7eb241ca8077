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
from pipelines import graph
from pipelines.process import Commands, Ended, StoppedError

CACHED = "Cached"  # the state of a stage that DVC has already
TEMPORARY = "TemporaryFailure"  # the state of one that may well succeed later
DELAYS = [5.0, 30.0, 120.0]  # seconds before each new try


def is_temporary(ended: Ended) -> bool:
    """Tell whether the same command may well succeed later: a lock was taken, or the stage said so by its status.

    Everything else (bad input, a diverging loss, no memory) would fail again.
    """
    said = "\n".join(ended.tail)
    statuses = re.findall(r"exited with (-?\d+)", said)  # DVC's words for the stage's own status
    return str(TRY_AGAIN) in statuses or graph.is_busy(said)


def _is_temporary(_task: Task[..., object], _run: TaskRun, state: State[object]) -> bool:
    return state.name == TEMPORARY


def stage_task(stage: str, commands: Commands) -> Task[[bool], State[float]]:
    """Return the task that brings one stage up to date, to be started when those that it needs are.

    Its argument tells that the stage is known to be up to date. Its state says what became of it, and its result is the
    seconds that it took.
    """

    @task(
        name=stage,
        cache_policy=NO_CACHE,  # DVC is the cache
        persist_result=False,
        retries=len(DELAYS),
        retry_delay_seconds=DELAYS,
        retry_condition_fn=_is_temporary,
        task_run_name=stage,
    )
    def reproduce_stage(is_cached: bool) -> State[float]:  # noqa: FBT001 Prefect's call
        start = time.perf_counter()
        try:
            if is_cached or stage not in graph.stale([stage], get_run_logger().info):
                return Completed(name=CACHED, message=f"{stage} is up to date", data=0.0)
            ended = commands.run(command(stage), get_run_logger().info)
        except StoppedError as error:
            return Cancelled(message=str(error))
        except (FctError, OSError) as error:  # a damaged dvc.lock, no DVC on PATH
            return Failed(message=f"{stage} failed: {error}")
        seconds = time.perf_counter() - start
        if ended.status == 0:
            return Completed(message=f"{stage} ran for {seconds:.1f} s", data=seconds)
        name = TEMPORARY if is_temporary(ended) else "Failed"
        return Failed(name=name, message=f"{stage} failed: {_reason(ended)}", data=seconds)

    return reproduce_stage


def command(stage: str) -> Sequence[str]:
    """Return what brings one stage up to date.

    DVC lets go of its lock while a stage runs and takes it again to write dvc.lock; without --wait-for-lock it would
    give up after three seconds, and a finished training with it.
    """
    return ["dvc", "--wait-for-lock", "repro", "--single-item", stage]


def _reason(ended: Ended) -> str:
    """Return what a command said about its failure: its errors for people, or else DVC's, or else its last words."""
    said = "\n".join(ended.tail)
    ours = re.search(r"^error: .*(?:\n {2,}.*)*", said, re.MULTILINE)
    theirs = re.search(r"^ERROR: .*", said, re.MULTILINE)
    found = ours or theirs
    return found.group().partition(": ")[2] if found else " / ".join(ended.tail[-3:]) or f"exit status {ended.status}"
