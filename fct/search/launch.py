"""Starts the workers of a search: processes of this host, or tasks of a Ray cluster. Each is `fct search --join`."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib

from fct.core.database import VARIABLE, database_url
from fct.core.errors import TRY_AGAIN, FctError
from fct.engine.params import ComputeParams

RESTARTS = 3  # of a worker that was killed, on each place
GRACE = 7.0  # seconds between SIGTERM and SIGKILL
PATIENCE = 1.0  # seconds between two looks at the workers
ASKED_TO_END = (128 + signal.SIGHUP, 128 + signal.SIGTERM)  # exit statuses of a worker
PR_SET_PDEATHSIG = 1  # of Linux's prctl
PARENT = "FCT_SEARCH_PARENT"  # the pid of the process that started a worker
HANDED_ON = (  # the environment of a worker on another host
    *(VARIABLE, "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"),
    *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
)


def run_workers(count: int, compute: ComputeParams, on_look: Callable[[], object] = lambda: None) -> None:
    """Run `count` workers until the search that this process has opened is finished.

    Args:
        count: of workers.
        compute: where, and on how many GPUs each.
        on_look: called every second.

    Raises:
        FctError: FCT_DATABASE_URL is not set, there are too few GPUs, or a worker failed.
    """
    check_database(count)
    if compute.engine == "ray":
        _run_on_ray(count, compute, on_look)
    else:
        _run_here(count, compute.gpus_per_trial, on_look)


def check_database(count: int) -> None:
    """Check that several workers have a database.

    Raises:
        FctError: FCT_DATABASE_URL is not set.
    """
    if count > 1 and database_url() is None:
        raise FctError(
            f"{count} workers need a PostgreSQL database. Set {VARIABLE} to postgresql://user:password@host:5432/fct, "
            "or search with one worker: compute.search_workers: 1."
        )


def die_with_parent() -> bool:
    """Let the kernel end this worker when the process that started it ends, even by kill -9.

    Returns:
        Whether another process started this worker.
    """
    parent = os.environ.pop(PARENT, None)
    if parent is None:
        return False
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before
        raise SystemExit(128 + signal.SIGTERM)
    return True


def _run_here(count: int, gpus_per_trial: float, on_look: Callable[[], object]) -> None:
    places = [_threads(count) | gpu for gpu in assign_gpus(count, gpus_per_trial, visible_gpus())]
    workers = [_start(place) for place in places]
    restarts = [0] * count
    try:
        while any(worker.poll() is None for worker in workers):
            time.sleep(PATIENCE)
            on_look()
            for place, worker in enumerate(workers):
                if not worker.poll():
                    continue
                if not is_worth_another(worker.returncode):
                    raise FctError("a worker of the search failed. Its message is above.")
                if restarts[place] < RESTARTS:
                    status = worker.returncode
                    how = (
                        f"ended with status {status}" if status > 0 else f"was ended by {signal.Signals(-status).name}"
                    )
                    print(f"a worker of the search {how}; another one takes its place", file=sys.stderr)
                    restarts[place] += 1
                    workers[place] = _start(places[place])
    finally:
        _end(workers)


def is_worth_another(status: int) -> bool:
    """Return whether another worker may succeed after one ended so: by a signal, or because a server did not answer."""
    return status < 0 or status in ASKED_TO_END or status == TRY_AGAIN


def _start(place: Mapping[str, str]) -> subprocess.Popen[bytes]:
    environment = os.environ | place | {PARENT: str(os.getpid())}
    return subprocess.Popen([sys.executable, "-m", "fct.search", "--join"], env=environment, stdin=subprocess.DEVNULL)


def _end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask the workers to end, and kill those that do not."""
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + GRACE
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(max(0.0, deadline - time.monotonic()))
    for worker in workers:
        worker.kill()
        worker.wait()


def _threads(workers: int) -> dict[str, str]:
    """Return the environment in which a worker uses its share of the cores that this process may use."""
    share = str(max(1, joblib.cpu_count() // workers))
    return dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), share)


def visible_gpus() -> list[str]:
    """Return the names by which CUDA_VISIBLE_DEVICES knows the GPUs that this process may use."""
    import torch

    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = chosen.split(",") if chosen else [str(number) for number in range(count)]
    return [name.strip() for name in names[:count]]


def assign_gpus(workers: int, share: float, gpus: Sequence[str]) -> list[dict[str, str]]:
    """Return the environment in which each worker sees its GPU.

    Args:
        workers: their number.
        share: `compute.gpus_per_trial`.
        gpus: those of this host.

    Raises:
        FctError: there are too few GPUs.
    """
    if not gpus:
        return [{}] * workers
    if share == 0:
        return [{"CUDA_VISIBLE_DEVICES": ""}] * workers
    on_each = int(1 / share + 1e-9)
    if workers > on_each * len(gpus):
        raise FctError(
            f"{workers} workers with compute.gpus_per_trial: {share:g} need more than the {len(gpus)} GPUs of this "
            f"host. Use at most {on_each * len(gpus)} workers, or set compute.gpus_per_trial to a smaller share."
        )
    return [{"CUDA_VISIBLE_DEVICES": gpus[worker // on_each]} for worker in range(workers)]


def _run_on_ray(count: int, compute: ComputeParams, on_look: Callable[[], object]) -> None:
    """Run each worker as a task of a Ray cluster, which places it on a GPU and repeats it if its host dies."""
    from fct.core.paths import CACHE, SPLITS, STATE
    from fct.engine.cluster import connect

    with connect(compute.address, [SPLITS, CACHE], STATE):
        import ray

        resources: Any = ray.cluster_resources  # untyped
        has_gpus = resources().get("GPU", 0) > 0
        remote = ray.remote(
            num_cpus=1,
            num_gpus=compute.gpus_per_trial if has_gpus else 0,
            max_retries=RESTARTS,
            max_calls=1,  # a new process for each, which gives a GPU's memory back
            scheduling_strategy="SPREAD",
        )(join_on_node)
        environment = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
        # An argument, not Ray's runtime_env: that one is shown in its logs, and the environment has passwords.
        running = [remote.remote(str(Path.cwd()), environment) for _ in range(count)]
        try:
            while running:
                ended, running = ray.wait(running, timeout=PATIENCE)
                on_look()
                for status in ray.get(ended):
                    if status:
                        raise FctError("a worker of the search failed. Its message is in Ray's logs of the workers.")
        except ray.exceptions.RayError as error:
            raise FctError(f"Ray gave up on a worker of the search: {type(error).__name__}.") from None
        finally:
            for task in running:
                ray.cancel(task)


def join_on_node(folder: str, environment: Mapping[str, str]) -> int:
    """Run one worker on a node of Ray's, in a process of its own that ends with this one. Return its exit status."""
    os.chdir(folder)
    command = [sys.executable, "-m", "fct.search", "--join"]
    parent = {PARENT: str(os.getpid()), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    status = 0
    for _ in range(1 + RESTARTS):
        with subprocess.Popen(command, env=os.environ | dict(environment) | parent, stdin=subprocess.DEVNULL) as worker:
            try:
                status = worker.wait()
            finally:
                worker.terminate()
        if not is_worth_another(status):
            break
    return status
