"""The flows reproduce, search, promote and rollback. The flow `intake` has its own module.

A flow works in the project's folder. It runs stages through DVC and promotions through the command `fct`, so it has the
same results as these commands.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

from prefect import State, flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from pydantic import Field, PositiveInt

from fct import tracking
from fct.core import environment, params
from fct.core.errors import FAILED, TRY_AGAIN, FctError
from fct.core.locks import locked
from fct.core.params import Section
from fct.core.paths import BEST_METHOD, RUN_REPORT, RUNNING_LOCK
from fct.registry.params import RegistryParams
from pipelines import closed, graph, pool, report
from pipelines.clone import Clone, open_clone
from pipelines.errors import fail_with_message
from pipelines.params import PipelineParams, apply_overrides
from pipelines.process import DELAYS, Commands, Ended
from pipelines.stage import CACHED, stage_task
from pipelines.watchdog import watchdog

GATE = "gate"  # the stage that writes the verdict
LEASE = 60  # seconds

Targets = Annotated[list[str], Field(examples=[["train"]])]
Overrides = Annotated[dict[str, Any], Field(examples=[{"train.epochs": 5, "method.weight": 1.0}])]


class Params(Section):
    """The sections of params.yaml that the flows read."""

    pipeline: PipelineParams
    registry: RegistryParams


@flow
@fail_with_message
def reproduce(
    *,
    targets: Targets = [],  # noqa: B006 Prefect shows defaults in its form
    overrides: Overrides = {},  # noqa: B006
    promote: bool = False,
    why: str = "",
) -> State[Any]:
    """Bring the pipeline up to date, judge the model and, if asked to, promote it.

    Each stage of dvc.yaml is a task. A stage that is up to date is shown as cached and does not run. The results are
    those of `dvc repro`. The tab "Artifacts" shows the verdict, accuracy by JPEG quality, the outcome of each stage,
    metrics beside the last run's and the champion's, and a link to the run in MLflow.

    Args:
        targets: Stages to bring up to date, with the stages that they need. Empty means all.
        overrides: Other values for keys of params.yaml, such as {"train.epochs": 5, "method.weight": 1.0}. Such a run
            does not change your files: it works in a temporary clone of the last commit. The git branch
            fct/<name of the run> gets its params, dvc.lock and metrics.
        promote: Promote the model if the gate says PASS.
        why: Reason, stored with the promoted version.
    """
    with run_lock(), _working_copy(overrides) as clone, _commands() as commands:
        return _reproduce(targets, commands, promote=promote, why=why, clone=clone)


@flow
@fail_with_message
def search(*, trials: PositiveInt, workers: PositiveInt | None = None) -> State[Any]:
    """Run more trials of the current study.

    Trials of earlier runs count: only the missing ones run. params.yaml and search/best.yaml do not change. The result
    is on the git branch fct/<name of the run>, for you to merge.

    Args:
        trials: Total number of trials in the study afterwards.
        workers: Processes that run trials at the same time, on this host or on the Ray cluster that params.yaml names.
            More than one need PostgreSQL (FCT_DATABASE_URL). Empty means compute.search_workers of params.yaml.
    """
    overrides = {"search.trials": trials} | ({"compute.search_workers": workers} if workers else {})
    with run_lock(), _cloned(overrides, f"Search with {trials} trials") as clone, _commands() as commands:
        state = _reproduce(["search"], commands, clone=clone)
        if state.is_completed():
            text = f"```yaml\n{BEST_METHOD.read_text()}```"
            create_markdown_artifact(text, key="best", description=f"The best of {trials} trials.")
        return state


@flow
@fail_with_message
def promote(*, why: str = "", again: bool = False) -> State[Any]:
    """Register the model that passed the gate; make it champion if it is not worse than the present one.

    The rules are those of `fct promote --commit`. A model that failed the gate is refused, and nothing is registered.

    Args:
        why: Reason, stored with the version.
        again: Allow a model that was rolled back before to become champion.
    """
    with run_lock(), _working_copy(), _commands() as commands:
        return _run_fct(commands, "promote", "--commit", "--why", why, *(["--again"] if again else []))


@flow
@fail_with_message
def rollback(*, why: str = "") -> State[Any]:
    """Make the previous champion champion again, as `fct rollback` does.

    Args:
        why: Reason, stored with the version that is rolled back.
    """
    with run_lock(), _working_copy(), _commands() as commands:
        return _run_fct(commands, "rollback", "--why", why)


def _reproduce(
    targets: Sequence[str],
    commands: Commands,
    *,
    promote: bool = False,
    why: str = "",
    clone: Clone | None = None,
) -> State[Any]:
    """Bring the stages of the current folder up to date, then show the results."""
    environment.write()
    stages, before = graph.plan(targets), report.numbers()
    if promote and GATE not in stages:
        raise FctError(
            f"promote: the targets {', '.join(targets)} leave out {GATE}. Add it: its verdict decides promotions."
        )
    states = _run_stages(stages, commands)
    _show(report.show_stages, states)
    if not all(state.is_completed() for state in states.values()):
        failed = [state for state in states.values() if state.is_failed() or state.is_crashed()]
        return Failed(message="\n".join(str(state.message) for state in failed))
    if clone:
        closed.check(UUID(_id()))
        clone.keep(f"Reproduce {', '.join(targets) or 'the pipeline'}")
        _show(report.show_branch, clone)
    _show(report.show_links, _id())
    _show(report.show_changes, before, report.numbers())
    ran = sum(state.name != CACHED for state in states.values())
    summary = f"{ran} of {len(stages)} stages ran, the others were up to date"
    if GATE not in stages:
        return Completed(message=summary)
    verdict = report.verdict()
    _show(report.show_verdict, verdict)
    _show(report.show_curve)
    if ran:  # otherwise the page has not changed
        _make_report(commands)
    if verdict["verdict"] != "PASS":
        missed = [check["name"] for check in verdict["checks"] if not check["passed"]]
        consequence = "; nothing is promoted, the champion stays" if promote else ""
        return Completed(name="GateFailed", message=f"gate: FAIL ({', '.join(missed)}){consequence}; {summary}")
    if promote:
        promoted = _run_fct(commands, "promote", "--commit", "--why", why)
        if not promoted.is_completed():
            return promoted
        summary = f"{promoted.message}; {summary}"
    return Completed(message=f"gate: PASS; {summary}")


def _run_stages(stages: Mapping[str, Sequence[str]], commands: Commands) -> dict[str, State[float]]:
    """Run each stage as a task, after the stages that it needs. Return the final state of each."""
    stale = graph.stale(list(stages), get_run_logger().info)
    cached: set[str] = set()  # up to date, like all stages that they need
    futures: dict[str, PrefectFuture[Any]] = {}
    for stage, needs in stages.items():
        if stage not in stale and cached.issuperset(needs):
            cached.add(stage)
        after = [futures[need] for need in needs]
        futures[stage] = stage_task(stage, commands).submit(stage in cached, wait_for=after, return_state=False)
    for future in futures.values():
        future.wait()
    return {stage: future.state for stage, future in futures.items()}


def _show(artifact: Callable[..., None], *arguments: object) -> None:
    """Create an artifact in the UI. If that fails, warn and continue the run."""
    try:
        artifact(*arguments)
    except Exception as error:  # noqa: BLE001 any answer of Prefect's or MLflow's server
        get_run_logger().warning("%s: %s", artifact.__name__, error)


def _run_fct(commands: Commands, *arguments: str) -> State[Any]:
    """Run a command of `fct` that changes the registry. Show its output and the roles of the versions after it."""
    with _registry_limit():
        closed.check(UUID(_id()))
        ended = _run_until_answered(commands, ["fct", *arguments])
    _show(report.show_registry)
    return _state_of(ended)


def _run_until_answered(commands: Commands, command: Sequence[str]) -> Ended:
    """Run a command. Repeat it while its exit status says that it may succeed later: a server may be restarting."""
    ended = commands.run(command, get_run_logger().info)
    for delay in DELAYS:
        if ended.status != TRY_AGAIN:
            break
        get_run_logger().warning("%s: once more in %.0f s", " ".join(command), delay)
        time.sleep(delay)
        ended = commands.run(command, get_run_logger().info)
    return ended


def _state_of(ended: Ended) -> State[Any]:
    """Return the state of a run whose command changed the registry, or refused to change it with "error:".

    A model that stays challenger, or no previous champion, is a result and not a crash, although the command ends with
    status 1.
    """
    message = "\n".join(ended.tail)
    is_refused = any(line.startswith("error: ") for line in ended.tail)
    if ended.status == 0 or (ended.status == FAILED and not is_refused):
        return Completed(message=message)
    return Failed(message=message.removeprefix("error: "))


def _make_report(commands: Commands) -> None:
    """Make the report, attach it to the run in MLflow, and link to it. If that fails, warn and continue the run."""
    command = ["fct", "report", "--attach", "--no-open", "--out", str(RUN_REPORT)]
    ended = commands.run(command, get_run_logger().info)
    if ended.status == 0:
        _show(report.show_page, ended.tail[-1], RUN_REPORT)
    else:
        get_run_logger().warning("no report was made: %s", "\n".join(ended.tail))


@contextmanager
def run_lock() -> Iterator[None]:
    """Let only one run at a time work in this project, since runs share files, checkpoints and search trials.

    Runs of a pool work in clones of their own, but share checkpoints and DVC's cache with the others of their host.
    """
    lock = pool.host_lock() if pool.is_pool_run() else RUNNING_LOCK
    with locked(lock, on_wait=lambda: get_run_logger().info("waiting for another run of this project to end")):
        yield


@contextmanager
def _registry_limit() -> Iterator[None]:
    """Let only one run at a time change the registry, across all projects and hosts of this Prefect server.

    A lock in the working copy would not apply to other hosts. The UI shows the limit under "Concurrency". If a run dies
    in this block, its place is free again when its lease ends.
    """
    limit = "registry-" + re.sub(r"[^\w-]+", "-", params.load(Params).registry.name)  # Prefect allows few characters
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(limit, 1)
    with concurrency(limit, lease_duration=LEASE, strict=True):
        yield


@contextmanager
def _commands() -> Iterator[Commands]:
    """Yield commands that share one pipeline run in MLflow. End those still running at the end of the block."""
    workers = params.load(Params).pipeline.workers
    with watchdog() as dog:
        commands = Commands({"FCT_PIPELINE_RUN": _id()}, workers, dog)
        with closed.watched(UUID(_id()), commands.stop):
            try:
                yield commands
            finally:
                if commands.stop():
                    tracking.close_dead_runs()  # a killed command could not close its run


@contextmanager
def _working_copy(overrides: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Clone | None]:
    """Yield the clone to work in, or None for the user's own files: a run on this machine that changes no params."""
    if overrides or pool.is_pool_run():
        with _cloned(overrides, f"Try {_format_overrides(overrides)}") as clone:
            yield clone
    else:
        yield None


@contextmanager
def _cloned(overrides: Mapping[str, Any], why: str) -> Iterator[Clone]:
    text = apply_overrides(overrides)
    if pool.is_pool_run():
        yield pool.prepare(_id(), str(runtime.flow_run.name), text if overrides else None, why)
        return
    data = graph.stale([stage for stage in graph.plan() if stage.endswith(".dvc")], get_run_logger().info)
    with open_clone(_id(), str(runtime.flow_run.name), text, why) as clone:
        if missing := [*clone.left_out, *sorted(data)]:
            message = "The run starts from the commit %s, which lacks your changes in %s"
            get_run_logger().warning(message, clone.commit[:10], ", ".join(missing))
        yield clone


def _id() -> str:
    """Return the id of this flow run. Its stages share a run in MLflow under this id."""
    return str(runtime.flow_run.id)


def _format_overrides(overrides: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in overrides.items())
