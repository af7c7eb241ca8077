"""What Prefect runs: reproduce, search, promote, rollback; `intake` has a module of its own.

A flow stands in the project's folder. It decides nothing that `dvc repro` or `fct` would decide otherwise: stages run
through DVC, promotions through the command `fct`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

from prefect import State, flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from pydantic import Field, PositiveInt

from fct import tracking
from fct.core import environment, params
from fct.core.errors import FctError
from fct.core.locks import locked
from fct.core.params import Section
from fct.core.paths import BEST_METHOD, RUN_REPORT, RUNNING_LOCK
from fct.registry.params import RegistryParams
from pipelines import graph, report
from pipelines.clone import Clone, clone
from pipelines.errors import fail_with_message
from pipelines.params import PipelineParams, apply_overrides
from pipelines.process import Commands
from pipelines.stage import CACHED, stage_task

GATE = "gate"  # the stage that writes the verdict
LEASE = 60  # seconds

Targets = Annotated[list[str], Field(examples=[["train"]])]
Overrides = Annotated[dict[str, Any], Field(examples=[{"train.epochs": 5, "method.weight": 1.0}])]


class Read(Section):
    """What `reproduce` reads of params.yaml itself."""

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
    """Bring the pipeline up to date, judge the model and, if told so, promote it.

    Each stage of dvc.yaml is a task; one that is up to date is shown as cached and starts nothing. What comes out is
    what `dvc repro` would leave. The tab "Artifacts" shows the verdict, accuracy by JPEG quality, what each stage did,
    metrics beside the last run's and the champion's, and where the run is in MLflow.

    Args:
        targets: Stages to bring up to date, with what they need; all if empty.
        overrides: Other values for keys of params.yaml, such as {"train.epochs": 5, "method.weight": 1.0}. Such a run
            leaves your files alone: it works in a temporary clone of the last commit, and its params, dvc.lock and
            metrics go to a git branch called fct/ and the name of the run.
        promote: Promote the model if the gate says PASS.
        why: Kept with the promoted version, for those who come after you.
    """
    with run_lock(), ExitStack() as stack:
        made = stack.enter_context(_cloned(overrides, f"Try {_told(overrides)}")) if overrides else None
        commands = stack.enter_context(_commands())
        return _reproduce(targets, commands, promote=promote, why=why, made=made)


@flow
@fail_with_message
def search(*, trials: PositiveInt) -> State[Any]:
    """Run more trials of the current study.

    Trials of earlier runs count: only what is missing is run. params.yaml and search/best.yaml stay as they are; the
    result is on a git branch called fct/ and the name of the run, for you to merge.

    Args:
        trials: How many the study shall have in all.
    """
    overrides = {"search.trials": trials}
    with run_lock(), _cloned(overrides, f"Search with {trials} trials") as made, _commands() as commands:
        state = _reproduce(["search"], commands, made=made)
        if state.is_completed():
            text = f"```yaml\n{BEST_METHOD.read_text()}```"
            create_markdown_artifact(text, key="best", description=f"The best of {trials} trials.")
        return state


@flow
@fail_with_message
def promote(*, why: str = "", again: bool = False) -> State[Any]:
    """Register the model that passed the gate; make it champion if it is not worse than the present one.

    The rules are those of `fct promote --commit`: a model that failed the gate is refused and nothing is registered.

    Args:
        why: Kept with the version, for those who come after you.
        again: Make champion even a model that was rolled back before.
    """
    with run_lock(), _commands() as commands:
        return _fct(commands, "promote", "--commit", "--why", why, *(["--again"] if again else []))


@flow
@fail_with_message
def rollback(*, why: str = "") -> State[Any]:
    """Make the previous champion champion again, as `fct rollback` does.

    Args:
        why: Kept with the version that goes.
    """
    with run_lock(), _commands() as commands:
        return _fct(commands, "rollback", "--why", why)


def _reproduce(
    targets: Sequence[str],
    commands: Commands,
    *,
    promote: bool = False,
    why: str = "",
    made: Clone | None = None,
) -> State[Any]:
    """Bring the stages of the current folder up to date, then show what came of it."""
    environment.write()
    stages, before = graph.plan(targets), report.numbers()
    if promote and GATE not in stages:
        raise FctError(f"promote: the targets {', '.join(targets)} leave out {GATE}, whose verdict decides it.")
    states = _run(stages, commands)
    _show(report.show_stages, states)
    if not all(state.is_completed() for state in states.values()):
        ended_ill = [state for state in states.values() if state.is_failed() or state.is_crashed()]
        return Failed(message="\n".join(str(state.message) for state in ended_ill))
    if made:
        made.keep(f"Reproduce {', '.join(targets) or 'the pipeline'}")
        _show(report.show_branch, made)
    _show(report.show_links, _id())
    _show(report.show_changes, before, report.numbers())
    ran = sum(state.name != CACHED for state in states.values())
    done = f"{ran} of {len(stages)} stages ran, the others were up to date"
    if GATE not in stages:
        return Completed(message=done)
    verdict = report.verdict()
    _show(report.show_verdict, verdict)
    _show(report.show_curve)
    if ran:  # else the page is as it was
        _page(commands)
    if verdict["verdict"] != "PASS":
        missed = [check["name"] for check in verdict["checks"] if not check["passed"]]
        kept = "; nothing is promoted, the champion stays" if promote else ""
        return Completed(name="GateFailed", message=f"gate: FAIL ({', '.join(missed)}){kept}; {done}")
    if promote:
        promoted = _fct(commands, "promote", "--commit", "--why", why)
        if not promoted.is_completed():
            return promoted
        done = f"{promoted.message}; {done}"
    return Completed(message=f"gate: PASS; {done}")


def _run(stages: Mapping[str, Sequence[str]], commands: Commands) -> dict[str, State[float]]:
    """Run each stage as a task, after those that it needs; return how each ended."""
    stale = graph.stale(list(stages), get_run_logger().info)
    cached: set[str] = set()  # neither they nor what they need is stale
    futures: dict[str, PrefectFuture[Any]] = {}
    for stage, needs in stages.items():
        if stage not in stale and cached.issuperset(needs):
            cached.add(stage)
        after = [futures[each] for each in needs]
        futures[stage] = stage_task(stage, commands).submit(stage in cached, wait_for=after, return_state=False)
    for future in futures.values():
        future.wait()
    return {stage: future.state for stage, future in futures.items()}


def _show(artifact: Callable[..., None], *given: object) -> None:
    """Show something in the UI; that it cannot be shown spoils no run."""
    try:
        artifact(*given)
    except Exception as error:  # noqa: BLE001 whatever Prefect's or MLflow's server may answer
        get_run_logger().warning("%s: %s", artifact.__name__, error)


def _fct(commands: Commands, *arguments: str) -> State[Any]:
    """Run a command of `fct` that changes the registry; show what it says, and who is what afterwards."""
    with _registry_turn():
        ended = commands.run(["fct", *arguments], get_run_logger().info)
    _show(report.show_registry)
    said = "\n".join(ended.tail)
    return Completed(message=said) if ended.status == 0 else Failed(message=said.removeprefix("error: "))


def _page(commands: Commands) -> None:
    """Make the report, attach it to the run in MLflow, and link to it; that it cannot be made spoils no run."""
    asked = ["fct", "report", "--attach", "--no-open", "--out", str(RUN_REPORT)]
    ended = commands.run(asked, get_run_logger().info)
    if ended.status == 0:
        _show(report.show_page, ended.tail[-1], RUN_REPORT)
    else:
        get_run_logger().warning("there is no report: %s", "\n".join(ended.tail))


@contextmanager
def run_lock() -> Iterator[None]:
    """Let one run at a time work in this project: they share files, checkpoints and search trials."""
    with locked(RUNNING_LOCK, on_wait=lambda: get_run_logger().info("waiting for another run of this project to end")):
        yield


@contextmanager
def _registry_turn() -> Iterator[None]:
    """Let one run at a time change the registry, of all projects and hosts that share this Prefect server.

    A lock of the working copy cannot see other hosts; the limit shows in the UI under "Concurrency". A run that dies in
    here gives its place back when its lease ends.
    """
    limit = "registry-" + re.sub(r"[^\w-]+", "-", params.load(Read).registry.name)  # Prefect allows few characters
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(limit, 1)
    with concurrency(limit, lease_duration=LEASE, strict=True):
        yield


@contextmanager
def _commands() -> Iterator[Commands]:
    """Give commands one pipeline's run in MLflow; end those still at work however the block ends."""
    workers = params.load(Read).pipeline.workers
    commands = Commands({"FCT_PIPELINE_RUN": _id()}, workers)
    try:
        yield commands
    finally:
        if commands.stop():
            tracking.close_dead_runs()  # what was killed had no chance to close its run


@contextmanager
def _cloned(overrides: Mapping[str, Any], why: str) -> Iterator[Clone]:
    text = apply_overrides(overrides)
    data = graph.stale([stage for stage in graph.plan() if stage.endswith(".dvc")], get_run_logger().info)
    with clone(_id(), str(runtime.flow_run.name), text, why) as made:
        if lacks := [*made.left_out, *sorted(data)]:
            said = "The run starts from the commit %s, which lacks your changes in %s"
            get_run_logger().warning(said, made.commit[:10], ", ".join(lacks))
        yield made


def _id() -> str:
    """Return the id under which the stages of this flow run share a run in MLflow."""
    return str(runtime.flow_run.id)


def _told(overrides: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in overrides.items())
