"""Starts the processes of a training on this host, and ends all of them when one ends early.

The processes are the command of this process again, with the variables that torchrun sets. torchrun itself is not used:
its processes live on after it is killed (pytorch #150916), and it tells of a killed process by a traceback. Here the
kernel ends the processes together with the one that started them.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import torch

from fct.core.errors import FAILED, INTERRUPTED, FctError
from fct.core.params import location
from fct.train.group import LOCAL_RANK, RANK, SIZE, STORE, Group, LostProcessError, joined, rank_of_environment
from fct.train.lock import training_lock
from fct.train.params import TrainParams

POLL = 0.1  # seconds between two looks at the processes
GRACE = 3.0  # seconds in which the other processes can report their own errors, after one has ended by itself
LOST = 76  # exit status, between our processes alone: another process ended first, and has the reason
CONSEQUENCES = (LOST, -signal.SIGABRT)  # torch's threads abort a process when the connection to another one breaks
PR_SET_PDEATHSIG = 1  # of prctl(2)
LOOPBACK = "lo"
OF_TORCHRUN = "TORCHELASTIC_RUN_ID"  # in the environment of its processes


def run_training(params: TrainParams, body: Callable[[Group], None]) -> None:
    """Call `body` in all processes of a training, under the lock of trainings in this working copy.

    With one process, or in a process that a launcher started, `body` is called here. Otherwise this process becomes the
    launcher: it starts `params.processes` processes, and waits for them.

    Raises:
        FctError: `body` raised it, a process was killed, or there are too few GPUs.
    """
    ranked, is_ours = rank_of_environment(), STORE in os.environ
    if params.processes > 1 and ranked is None:
        with training_lock():
            _launch(params.processes)
        return
    if OF_TORCHRUN in os.environ:
        _end_with_parent()
    locks = not is_ours and (ranked is None or ranked[0] == 0)
    try:
        with training_lock() if locks else nullcontext(), joined(params) as group:
            body(group)
    except LostProcessError:
        if is_ours:
            _end(LOST)
        raise


def _launch(count: int) -> None:
    """Run `count` processes to their end.

    Raises:
        FctError: one of them failed. The first one has then printed its own error, and this process ends with the same
            status; the error of another one is raised here.
    """
    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and gpus < count:
        raise FctError(
            f"{location('train.processes')}: {count} processes need a GPU each, and {gpus} can be seen here. Set it to "
            f"{gpus} or fewer, or start the stage on several machines with a launcher such as torchrun."
        )
    with TemporaryDirectory(prefix="fct-train-") as name:
        folder, processes = Path(name), list[subprocess.Popen[bytes]]()
        try:
            processes.extend(_start(rank, count, folder) for rank in range(count))
            failed = _wait(processes)
        except KeyboardInterrupt:  # the terminal has interrupted all processes; the first one says so
            if _wait(processes, GRACE).get(0) == INTERRUPTED:
                sys.exit(INTERRUPTED)
            raise
        finally:
            for process in processes:
                process.kill()
                process.wait()
        if failed:
            _fail(failed, count, folder)


def _start(rank: int, count: int, folder: Path) -> subprocess.Popen[bytes]:
    cores = str(max(1, len(os.sched_getaffinity(0)) // count))
    threads = {name: os.environ.get(name, cores) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    # torch would warn that it need not have looked for unused weights; fct.train.loop says why it must.
    log = {"TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR")}
    network = {"GLOO_SOCKET_IFNAME": LOOPBACK, "NCCL_SOCKET_IFNAME": LOOPBACK}
    place = {RANK: str(rank), LOCAL_RANK: str(rank), SIZE: str(count), STORE: str(folder / "store")}
    with _output(folder, rank).open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]],
            env=os.environ | threads | log | network | place,
            stdin=subprocess.DEVNULL,
            stdout=output if rank else None,  # the first process speaks for all
            stderr=output if rank else None,
            preexec_fn=_Ending(),  # noqa: PLW1509  # it only makes two system calls, as a fork beside threads may
        )


def _output(folder: Path, rank: int) -> Path:
    return folder / f"output-{rank}"


class _Ending:
    """Lets a new process end with this one. The library is loaded before the fork."""

    def __init__(self) -> None:
        self.libc, self.parent = ctypes.CDLL(None), os.getpid()

    def __call__(self) -> None:
        self.libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self.parent:  # it has ended since the fork
            os._exit(FAILED)


def _end(status: int) -> NoReturn:
    """End this process at once: at a usual exit, torch can abort for the broken connection."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(processes: list[subprocess.Popen[bytes]], timeout: float = math.inf) -> dict[int, int]:
    """Wait until all processes have ended, or some time after one has failed, or for `timeout` seconds.

    Returns:
        The exit status of each process that failed, by rank, in the order in which they ended. It is minus the number
        of the signal that killed the process.
    """
    failed: dict[int, int] = {}
    deadline = time.monotonic() + timeout
    while True:
        running = False
        for rank, process in enumerate(processes):
            status = process.poll()
            running |= status is None
            if status and rank not in failed:
                failed[rank] = status
                was_killed = status < 0 and status not in CONSEQUENCES
                deadline = min(deadline, time.monotonic() + (0 if was_killed else GRACE))
        if not running or time.monotonic() >= deadline:
            return failed
        time.sleep(POLL)


def _fail(failed: dict[int, int], count: int, folder: Path) -> None:
    """Report the first of the failures that is a reason of its own."""

    def order(rank: int) -> tuple[bool, ...]:
        status = failed[rank]
        has_printed = rank == 0 and status > 0  # which need not be said again
        return status in CONSEQUENCES, status == LOST, not has_printed

    rank = min(failed, key=order)
    status = failed[rank]
    if status < 0:
        raise LostProcessError(
            f"Process {rank} of the {count} processes of the training was killed by {signal.Signals(-status).name}"
            f"{'; the system does so when memory is short' if status == -signal.SIGKILL else ''}. "
            "Run the command again: the training goes on after its last epoch."
        )
    if status == LOST:
        raise LostProcessError(
            "The processes of the training lost the connection to each other. Run the command again: the training goes "
            "on after its last epoch."
        )
    if rank:
        output = _output(folder, rank).read_text(errors="replace")
        message = re.split(r"^error: ", output, flags=re.MULTILINE)
        if len(message) > 1:
            error = FctError(f"In process {rank} of the {count} processes of the training: {message[-1].strip()}")
            error.status = status
            raise error
        print(output, file=sys.stderr)  # the traceback of a fault of ours
    sys.exit(status)
