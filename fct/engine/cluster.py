"""Tasks on a Ray cluster. The only module that imports Ray, and only when it is used."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

import joblib

from fct.core.bounded import bounded_map
from fct.core.errors import FctError, UnreachableError, install
from fct.core.params import location
from fct.engine.base import call
from fct.engine.shared import Probe, answer, has_answered, probing

Item = TypeVar("Item")
Result = TypeVar("Result")
RETRIES = 3  # of a task whose process or machine died
AHEAD = 4  # tasks for each core of the cluster that are submitted, or wait for the order
CONNECT_SECONDS = 10
PROBE_SECONDS = 120  # that a node has to answer; its first task starts a process and imports this package


class RayTasks:
    """Runs each task in a process of a Ray cluster, on one core. Ray repeats a task whose process or machine died."""

    name = "ray"

    def map(
        self, function: Callable[..., Result], items: Iterable[Item], *, threaded: bool = False
    ) -> Generator[Result]:
        """Yield `function(item)` for each item: `fct.engine.base.Engine.map`."""
        import ray

        remote = ray.remote(num_cpus=1, max_retries=RETRIES, scheduling_strategy="SPREAD")(_run)
        shared = ray.put(function)
        folder, threads = str(Path.cwd()), 1 if threaded else None
        cores = int(_call(ray.cluster_resources).get("CPU", 1))
        yield from bounded_map(
            lambda item: remote.remote(shared, item, folder, threads), _result, items, depth=max(1, cores) * AHEAD
        )


@contextmanager
def connect(address: str, reads: Sequence[Path], writes: Path) -> Iterator[RayTasks]:
    """Connect to a Ray cluster, check that all of its nodes share the folders, and disconnect at the end.

    Args:
        address: auto, local or host:port, as `compute.address`.
        reads: folders that tasks read.
        writes: a folder that tasks may write into.

    Raises:
        FctError: Ray is not installed or not running, or a node does not share a folder or has other code.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports its use to its makers otherwise
    os.environ.setdefault("RAY_gcs_server_request_timeout_seconds", "30")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning
    if address == "local":  # Ray listens on all addresses of this machine: without a token, anyone could run code on it
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", token_hex(32))
    try:
        import ray
    except ModuleNotFoundError:
        raise FctError(
            f"{location('compute.engine')}: ray is not installed. Install it: {install('ray')}, or "
            "set compute.engine: local."
        ) from None
    own: dict[str, Any] = {}
    if address == "local":
        own = {"num_cpus": joblib.cpu_count(), "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        _check_listening(_last_address() if address == "auto" else address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UnreachableError(
            f"{location('compute.address')}: {address}: no Ray cluster answers ({reason}). Start one with `ray start "
            "--head`, let this machine join it with `ray start --address=HOST:PORT`, or set compute.engine: local."
        ) from None
    try:
        _check_nodes(reads, writes)
        yield RayTasks()
    finally:
        ray.shutdown()


def _last_address() -> str:
    """Return the address that Ray takes for `auto`, if the environment or `ray start` named one. It may be outdated."""
    started = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")  # noqa: S108  # where Ray puts it
    return os.environ.get("RAY_ADDRESS") or (started.read_text().strip() if started.exists() else "auto")


def _check_listening(address: str) -> None:
    """Raise OSError unless something listens at host:port. Ray itself would wait for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def _check_nodes(reads: Sequence[Path], writes: Path) -> None:
    """Let each node read and write the folders.

    Raises:
        FctError: a node does not share a folder, or has other code. The message names the node.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=0, max_retries=RETRIES)(answer)
    with probing(reads, writes) as probe:
        nodes = {node["NodeID"]: node["NodeManagerHostname"] for node in _call(ray.nodes) if node["Alive"]}
        answers = {
            node: remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                probe, node
            )
            for node in nodes
        }
        ray.wait(list(answers.values()), num_returns=len(answers), timeout=PROBE_SECONDS)
        problems = [problem for node, ref in answers.items() if (problem := _problem(ref, probe, node))]
    if problems:
        raise FctError("\n       ".join([*problems, "Every node of the cluster needs this folder and this code."]))


def _problem(ref: Any, probe: Probe, node: str) -> str | None:
    """Return what is wrong with a node, or None if all is well or Ray has found it dead."""
    import ray

    alive = {each["NodeID"]: each["NodeManagerHostname"] for each in _call(ray.nodes) if each["Alive"]}
    if node not in alive:
        return None
    name = f"the Ray node {alive[node]} ({node[:8]})"
    try:
        problem = ray.get(ref, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return f"{name} did not answer within {PROBE_SECONDS} s."
    except ray.exceptions.RayError as error:
        return f"{name} cannot run a task of this project: {_reason(error)}"
    if problem is None and not has_answered(probe, node):
        problem = f"writes into another folder than {probe.writes} of this machine"
    return f"{name} {problem}." if problem else None


def _run(function: Callable[..., Any], item: Any, folder: str, threads: int | None) -> Any:
    """Run one task on a node, in the folder of the one that asks."""
    os.chdir(folder)
    return call(function, item, threads)


def _result(ref: Any) -> Any:
    import ray

    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise UnreachableError(
            f"Ray gave up on a task after {RETRIES} retries: {_reason(error)} What is finished stays; run the same "
            "command again."
        ) from None


def _call(function: Callable[..., Any]) -> Any:
    """Call a function of Ray that has no types."""
    return function()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
